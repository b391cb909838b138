"""`lamina import` and `lamina export`: Parquet files and the indexes of hnswlib and faiss in, Parquet out."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import lamina
from lamina.errors import StorageError
from lamina.models import METRICS

PARQUET, FAISS = b"PAR1", b"I"  # what such files begin with


def add(commands: Any) -> None:
    """The two commands, to the others."""
    command = _command(commands, "import", _import, "a Parquet file, or an index of hnswlib or faiss, as a collection")
    command.add_argument("store", metavar="STORE", help="directory of the store; made if it is not there")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--collection", default="docs", help="a new one, there once all is in it (default: docs)")
    command.add_argument("--model", metavar="NAME", help="that made the vectors (default: as a file of lamina says)")
    command.add_argument("--metric", choices=METRICS, help="(default: as the file says; of Parquet, cosine)")
    for option in ("--id-field", "--text-field", "--vector-field"):
        command.add_argument(option, metavar="COLUMN", help=f"of a Parquet file: the column of the {option[2:-6]}")

    command = _command(commands, "export", _export, "the records of a collection as a Parquet file")
    command.add_argument("store", metavar="STORE")
    command.add_argument("file", metavar="FILE", help="replaced, if it is there")
    command.add_argument("--collection", help="(default: the only one)")


def _command(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:])
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _import(arguments: argparse.Namespace) -> int:
    from lamina.cli import unless_refused

    started, name = time.perf_counter(), arguments.collection
    head = _head(arguments.file)
    with unless_refused(arguments.store, name), lamina.open(arguments.store, create=True) as store:
        docs = (_from_parquet if head == PARQUET else _from_index)(store, head, arguments)
        rows, owed = len(docs), len(docs.owed())
    seconds = time.perf_counter() - started
    if arguments.json:
        print(json.dumps({"collection": name, "records": rows, "owed": owed, "seconds": round(seconds, 3)}))
    else:
        print(f"{rows:,} records in {name!r}, {owed:,} of them owed a vector, in {seconds:.1f} s")
    return 0


def _from_parquet(store: lamina.Store, head: bytes, arguments: argparse.Namespace) -> lamina.Collection:
    return store.from_parquet(
        arguments.file,
        arguments.collection,
        arguments.model,
        metric=arguments.metric,
        id_field=arguments.id_field,
        text_field=arguments.text_field,
        vector_field=arguments.vector_field,
        progress=True,
    )


def _from_index(store: lamina.Store, head: bytes, arguments: argparse.Namespace) -> lamina.Collection:
    from lamina import foreign
    from lamina.arrival import arriving

    if arguments.model is None:
        raise ValueError("an index does not say which model made its vectors: name it with --model")
    if arguments.id_field or arguments.text_field or arguments.vector_field:
        raise ValueError(f"{arguments.file} is no Parquet file: it has no columns to be named")
    read = foreign.read_faiss if head[:1] == FAISS else foreign.read_hnswlib
    rows = read(arguments.file)
    metric = arguments.metric or rows.metric
    if metric is None:
        raise ValueError("an index of hnswlib does not say its metric: give it with --metric")
    model = lamina.Model(arguments.model, dim=rows.vectors.shape[1], metric=metric)
    with arriving(store, arguments.collection, model) as docs:
        foreign.add(rows, docs, progress=True)
    return docs


def _export(arguments: argparse.Namespace) -> int:
    from lamina.cli import only

    started = time.perf_counter()
    with lamina.open(arguments.store, read_only=True) as store:
        name = only(store, arguments.collection)
        rows = store.get_collection(name).to_parquet(arguments.file, progress=True)
    size, seconds = os.path.getsize(arguments.file), time.perf_counter() - started
    if arguments.json:
        print(json.dumps({"collection": name, "records": rows, "bytes": size, "seconds": round(seconds, 3)}))
    else:
        print(f"{rows:,} records of {name!r}, {size:,} bytes, in {seconds:.1f} s")
    return 0


def _head(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise StorageError(f"{path}: not read: {error.strerror}", errno=error.errno, path=path) from error
