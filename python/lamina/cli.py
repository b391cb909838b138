"""The command line: `lamina refresh | search | migrate | import | export | info | verify | optimize | demo`.

Data go to stdout, progress, warnings and errors to stderr. Exit codes: 0 done, 1 failed, 2 used wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import lamina
from lamina import cli_exchange, cli_migrate
from lamina.errors import LaminaError, NotFoundError

FAILED_SHOWN = 10
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(format="lamina: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("lamina: stopped; what was written stays", file=sys.stderr)
        return 1
    except (LaminaError, OSError, ValueError, TypeError, ImportError) as error:
        print(f"lamina: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lamina", description="An embedded vector store that manages the embeddings.")
    top.add_argument("--version", action="version", version=f"lamina {lamina.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    command = _command(commands, refresh, "add and update from a file or folder, embedding only what changed")
    command.add_argument("store", metavar="STORE", help="directory of the store; made if it is not there")
    command.add_argument("source", metavar="SOURCE", help=".jsonl, .csv, .tsv or .parquet file, or a folder of texts")
    command.add_argument("--collection", default="docs", help="made if it is not there (default: docs)")
    command.add_argument(
        "--model",
        help="hash:DIM, sentence-transformers:NAME or module:callable (default: the collection's own, or hash:384)",
    )
    command.add_argument("--id-field", help='field that holds the id (default: "id" or "_id")')
    command.add_argument("--text-field", help='field that holds the text (default: "text", "content", …)')
    command.add_argument("--source-field", help="the field with the source of a chunk, where the id is one of a chunk")
    command.add_argument("--scope", default="default", help="what this source covers (default: default)")
    command.add_argument(
        "--delete", choices=("none", "missing"), default="none", help="delete what the source no longer has"
    )
    command.add_argument("--max-delete", type=_share, default=0.2, help="never more than this share (default: 0.2)")
    command.add_argument("--batch-size", type=_positive, help="texts embedded and written together (default: 512)")
    command.add_argument("--dry-run", action="store_true", help="embed and write nothing: say what would be done")
    command.add_argument("--budget", type=_budget, help="stop before it is exceeded: 2.50, 100000tokens or 60s")
    command.add_argument("--every", type=_seconds, help="again and again, as often as this: 30s, 5m, 2h or 1d")

    command = _command(commands, search, "find the records nearest to a text")
    command.add_argument("store", metavar="STORE")
    command.add_argument("query", metavar="TEXT")
    command.add_argument("--collection", help="(default: the only one)")
    command.add_argument("-k", type=_positive, default=10, help="how many (default: 10)")
    command.add_argument("--model", help="the embedder, if the store cannot bind it by itself: module:callable, …")
    command.add_argument("--filter", type=_filter, metavar="JSON", help='only these: {"year": {"$gte": 2020}}')
    breadth = command.add_mutually_exclusive_group()
    breadth.add_argument("--ef", type=_positive, help="breadth of the search")
    breadth.add_argument("--recall", type=float, help="share of the true neighbours to aim for (default: 0.95)")
    breadth.add_argument("--exact", action="store_true", help="compare with every record")

    command = _command(commands, count, "say how many records there are, or pass a filter")
    command.add_argument("store", metavar="STORE")
    command.add_argument("--collection", help="(default: the only one)")
    command.add_argument("--filter", type=_filter, metavar="JSON", help='only these: {"year": {"$gte": 2020}}')

    cli_migrate.add(commands, _budget, _positive)

    cli_exchange.add(commands)

    command = _command(commands, info, "say what a store holds, or how this build was made")
    command.add_argument("store", metavar="STORE", nargs="?")
    command.add_argument("--build", action="store_true", help="compiler and instruction sets of this build")

    command = _command(commands, verify, "read and check every byte")
    command.add_argument("store", metavar="STORE")
    command.add_argument("--max-seconds", type=float, help="stop about then; exit code 0 if all was sound so far")
    command.add_argument("--resume", action="store_true", help="go on where the last one stopped")

    command = _command(commands, repair, "make anew what is derived, where it is damaged")
    command.add_argument("store", metavar="STORE")

    command = _command(commands, optimize, "merge everything for the fastest reads")
    command.add_argument("store", metavar="STORE")
    command.add_argument("--collection", help="(default: all)")

    command = _command(commands, demo, "show on real texts what lamina is for, in a minute")
    command.add_argument("--keep", metavar="PATH", help="keep the store here (default: a temporary directory)")
    return top


def refresh(arguments: argparse.Namespace) -> int:
    if arguments.every is None:
        return _refresh_once(arguments)
    while True:
        started = time.monotonic()
        try:
            _refresh_once(arguments)
        except (LaminaError, OSError, ValueError) as error:
            print(f"lamina: {error}", file=sys.stderr)
        sys.stdout.flush()
        time.sleep(max(arguments.every - (time.monotonic() - started), 0.0))


def _refresh_once(arguments: argparse.Namespace) -> int:
    """One refresh. The store is open only meanwhile, so that others can write to it in between."""
    if not Path(arguments.source).exists():
        raise FileNotFoundError(f"no file or folder {arguments.source!r}")
    name = arguments.collection
    with unless_refused(arguments.store, name), lamina.open(arguments.store, create=True) as store:
        if name in store.list_collections():
            docs = store.get_collection(
                name, embed=None if arguments.model is None else _same(store, name, arguments.model)
            )
        else:
            docs = store.create_collection(name, model=model_of(arguments.model or "hash:384"))
        report = docs.refresh(
            arguments.source,
            scope=arguments.scope,
            delete=arguments.delete,
            max_delete=arguments.max_delete,
            batch_size=arguments.batch_size or "auto",
            dry_run=arguments.dry_run,
            budget=arguments.budget,
            id_field=arguments.id_field,
            text_field=arguments.text_field,
            source_field=arguments.source_field,
        )
        total, failed = len(docs), docs.failed()
    if arguments.json:
        print(json.dumps({**report.to_dict(), "records": total}))
    else:
        print(f"{report}; {total:,} records in {name!r}")
    for entry in failed[:FAILED_SHOWN]:
        print(f"lamina: {entry.id!r} failed: {entry.reason}", file=sys.stderr)
    if report.stopped:
        print(f"lamina: stopped: {report.stopped}", file=sys.stderr)
    return 0 if report.ok else 1


@contextlib.contextmanager
def unless_refused(path: str, name: str) -> Iterator[None]:
    """If this raises, an empty collection that was made inside is gone, and a store that was made for it."""
    was_there = os.path.exists(path)
    had = _names(path) if was_there else []
    try:
        yield
    except BaseException:
        with contextlib.suppress(LaminaError):
            if name in _names(path) and name not in had:
                with lamina.open(path) as store:
                    if not len(store.get_collection(name)):
                        store.drop_collection(name)
            if not was_there and not _names(path):
                shutil.rmtree(path, ignore_errors=True)
        raise


def _names(path: str) -> list[str]:
    try:
        with lamina.open(path, read_only=True) as store:
            return store.list_collections()
    except NotFoundError:
        return []


def search(arguments: argparse.Namespace) -> int:
    with lamina.open(arguments.store, read_only=True) as store:
        name = only(store, arguments.collection)
        docs = store.get_collection(name, embed=arguments.model)
        breadth = {"ef": arguments.ef, "recall": arguments.recall, "exact": arguments.exact}
        asked = {"filter": arguments.filter, "include": ("content", "metadata")}
        found = docs.search(arguments.query, arguments.k, **breadth, **asked)
        hits = cast(lamina.Hits, found)  # of one text
    if arguments.json:
        print(json.dumps(hits.to_list(), default=_written, ensure_ascii=False))
    else:
        for id, distance, content in zip(hits.ids, hits.distances, hits.content, strict=True):
            print(f"{distance:.4f}  {id}  {_shorten(content or '')}")
    return 0


def count(arguments: argparse.Namespace) -> int:
    with lamina.open(arguments.store, read_only=True) as store:
        found = store.get_collection(only(store, arguments.collection)).count(arguments.filter)
    print(json.dumps({"count": found}) if arguments.json else found)
    return 0


def info(arguments: argparse.Namespace) -> int:
    if arguments.build or arguments.store is None:
        if not arguments.build:
            parser().error("info needs a STORE, or --build")
        return _show(lamina.build_info(), arguments.json)
    with lamina.open(arguments.store, read_only=True) as store:
        shown: dict[str, Any] = {"path": store.path, **store.stats()}
        for name, collection in shown["collections"].items():
            collection["model"] = store.get_collection(name).model.identity()
    return _show(shown, arguments.json)


def verify(arguments: argparse.Namespace) -> int:
    started = time.perf_counter()
    with lamina.open(arguments.store, read_only=True) as store:
        report = store.verify(arguments.max_seconds, arguments.resume)
    seconds = time.perf_counter() - started
    if arguments.json:
        print(json.dumps({"ok": True, **report._asdict()}))
    elif report.complete:
        print(
            f"sound: {report.files} files, {report.bytes:,} bytes, {report.records:,} records and {report.vectors:,} "
            f"vectors checked in {seconds:.2f} s"
        )
    else:
        print(f"sound so far: {report.bytes:,} of {report.bytes_in_all:,} bytes ({seconds:.2f} s); go on with --resume")
    return 0


def repair(arguments: argparse.Namespace) -> int:
    with lamina.open(arguments.store) as store:
        report = store.repair()
    if arguments.json:
        print(json.dumps(report._asdict()))
    else:
        for word, found in (("made anew", report.repaired), ("lost", report.lost)):
            for collection, damage in found:
                print(f"{word}{collection and ', in ' + collection}: {damage}")
        if not report.repaired and not report.lost:
            print("nothing to repair")
    return 1 if report.lost else 0


def optimize(arguments: argparse.Namespace) -> int:
    with lamina.open(arguments.store) as store:
        names = [arguments.collection] if arguments.collection else store.list_collections()
        seconds = {}
        for name in names:
            started = time.perf_counter()
            store.get_collection(name).optimize()
            seconds[name] = round(time.perf_counter() - started, 3)
    if arguments.json:
        print(json.dumps({"seconds": seconds}))
    else:
        for name, took in seconds.items():
            print(f"{name}: optimized in {took:.1f} s")
    return 0


def demo(arguments: argparse.Namespace) -> int:
    from lamina.demo import run

    return run(arguments.keep)


def _command(commands: Any, run: Any, help: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        run.__name__, help=help, description=help[0].upper() + help[1:]
    )
    command.set_defaults(run=run)
    if run is not demo:
        command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a time as 30s, 5m, 2h or 1d")
    return float(number) * UNITS[unit]


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return value


def _filter(text: str) -> lamina.Filter:
    try:
        return lamina.Filter(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no filter: {error}") from error


def _budget(text: str) -> lamina.Budget:
    try:
        return lamina.Budget.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def model_of(spec: str) -> lamina.Model:
    """The model of an embedder's spec; one that does not say its dimension is tried."""
    embed = lamina.embedder(spec)
    dim = getattr(embed, "dim", None)
    return lamina.Model(spec, dim=len(embed(["lamina"])[0]) if dim is None else dim)


def _same(store: lamina.Store, name: str, spec: str) -> str:
    """The spec, if the collection's model is of that name (ModelMismatchError names both)."""
    stored = store.get_collection(name).model
    if stored.name != spec:
        store.get_collection(name, model=model_of(spec))
    return spec


def only(store: lamina.Store, name: str | None) -> str:
    names = store.list_collections()
    if name is None and len(names) != 1:
        raise ValueError(f"the store has {len(names)} collections: name one with --collection ({', '.join(names)})")
    return names[0] if name is None else name


def _show(shown: dict[str, Any], as_json: bool, indent: str = "") -> int:
    if as_json:
        print(json.dumps(shown))
        return 0
    for name, value in shown.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            _show(value, False, indent + "  ")
        else:
            print(f"{indent}{name}: {f'{value:,}' if type(value) is int else value}")
    return 0


def _written(value: Any) -> str:
    """What JSON has no word for; Arrow's scalars are times finer than Python's."""
    return str(value.cast("string") if hasattr(value, "as_py") else value)


def _shorten(text: str, width: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
