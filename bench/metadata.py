"""What metadata cost: a filter beside Arrow alone, a search beside the same with a filter that is kept, an update of
metadata beside an upsert with vectors.

Four columns of numbers and texts over the rows of a data set, in one segment. What a filter finds is held against
Arrow's own answer before it is timed; what is kept of earlier filters is the decoded columns, never an answer.

    python -m bench.metadata                                # a synthetic set
    LAMINA_BENCH_DATA=folder python -m bench.metadata docs_v2
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import lamina
from bench.aged import Line, table
from bench.data import DataSet, load

CHANGED = 1000
SOURCES = [f"source {number}" for number in range(20)]
FILE_ROOM = 64 << 10  # what a file may take for itself


def columns(rows: int) -> pa.Table:
    rng = np.random.default_rng(11)
    return pa.table(
        {
            "year": rng.integers(1990, 2030, rows),
            "price": rng.random(rows),
            "source": np.array(SOURCES)[rng.integers(0, len(SOURCES), rows)],
            "title": [f"title of number {number}" for number in range(rows)],
        }
    )


def seconds(call: Callable[..., Any], *arguments: Any, **named: Any) -> float:
    start = time.perf_counter()
    call(*arguments, **named)
    return time.perf_counter() - start


def at_least(metadata: pa.Table, year: int) -> Any:
    return pc.greater_equal(metadata["year"], year)


def one(metadata: pa.Table, source: str) -> Any:
    return pc.equal(metadata["source"], source)


def one_of(metadata: pa.Table, sources: list[str]) -> Any:
    return pc.is_in(metadata["source"], pa.array(sources))


def all_three(metadata: pa.Table, source: str, year: int, price: float) -> Any:
    return pc.and_(pc.and_(one(metadata, source), at_least(metadata, year)), pc.less(metadata["price"], price))


def asked() -> Iterator[tuple[str, dict[str, Any], Callable[[pa.Table], Any]]]:
    """Filters, with what each asks in Arrow's words; of each kind many, so that none is asked twice."""
    for n, name in enumerate(SOURCES):
        year, price, some = 1995 + n, (n + 0.5) / len(SOURCES), [name, SOURCES[n - 1], "none"]
        both = {"source": name, "year": {"$gte": year}, "price": {"$lt": price}}
        yield "a number", {"year": {"$gte": year}}, partial(at_least, year=year)
        yield "a text", {"source": name}, partial(one, source=name)
        yield "one of three texts", {"source": {"$in": some}}, partial(one_of, sources=some)
        yield "two numbers and a text", both, partial(all_three, source=name, year=year, price=price)


def first_uses(docs: lamina.Collection, metadata: pa.Table) -> list[Line]:
    """Counting what passes a new filter, records and vectors narrowed, beside the mask alone."""
    docs.count(filter={"year": 0, "price": 0, "source": "", "title": ""})
    ratios: dict[str, list[float]] = {}
    for kind, spelt, arrow in asked():
        compiled = lamina.Filter(spelt)
        ours, alone = seconds(docs.count, compiled), seconds(arrow, metadata)
        if docs.count(filter=compiled) != pc.sum(arrow(metadata)).as_py():
            raise AssertionError(f"{spelt} is answered otherwise than by Arrow")
        ratios.setdefault(kind, []).append(ours / alone)
    medians = {kind: statistics.median(found) for kind, found in ratios.items()}
    return [
        (f"first use of a filter of {kind}, Arrow's mask alone = 1", f"{ratio:.2f}", "≤ 3", ratio <= 3)
        for kind, ratio in medians.items()
    ]


def repeated(docs: lamina.Collection, queries: Any) -> Line:
    """A filter of everything, so that the search itself is the same."""
    compiled = docs.filter({})
    plain, filtered = [], []
    for query in np.concatenate([queries] * 5):
        docs.search(query, 10)  # what it touches is in the cache for both
        plain.append(seconds(docs.search, query, 10))
        filtered.append(seconds(docs.search, query, 10, filter=compiled))
    ratio = statistics.median(filtered) / statistics.median(plain)
    return "median search with a filter that is kept, without = 1", f"{ratio:.3f}", "≤ 1.25", ratio <= 1.25


def updates(store: lamina.Store, docs: lamina.Collection, data: DataSet, metadata: pa.Table, rounds: int) -> list[Line]:
    """The same thousand rows, by turns with new metadata alone and whole."""
    rng, count = np.random.default_rng(3), min(CHANGED, len(data.base) // 2)
    spent, logged, sealed = [], [], []
    for number in range(rounds):
        ids = rng.choice(len(data.base), count, replace=False)
        before = store.stats()["log_bytes"]
        update = seconds(docs.update, ids, metadata={"year": [number] * count})
        size = docs.get(ids, include="metadata").to_arrow().nbytes
        logged.append((store.stats()["log_bytes"] - before) / size)
        written, files = sealing(store)
        sealed.append((written - files * FILE_ROOM) / size)
        spent.append(update / seconds(docs.upsert, ids, data.base[ids], metadata.take(pa.array(ids))))
        sealing(store)
    share, (low, *_, high) = statistics.median(spent), sorted(spent)
    return [
        (
            f"update of metadata of {count} rows, upsert with vectors = 1",
            f"{share:.3f} ({low:.3f} to {high:.3f})",
            "≤ 0.05",
            share <= 0.05,
        ),
        ("log bytes of the update, the rows in Arrow = 1", f"{max(logged):.2f}", "≤ 3", max(logged) <= 3),
        ("sealed beyond 64 KiB a file, the same = 1", f"{max(sealed):.2f}", "≤ 3", max(sealed) <= 3),
    ]


def sealing(store: lamina.Store) -> tuple[int, int]:
    """Seals; returns the bytes of the files that it made, and how many."""
    folder = Path(store.path) / "files"
    before = set(folder.iterdir())
    store._shared.core.seal()
    made = [file.stat().st_size for file in folder.iterdir() if file not in before]
    return sum(made), len(made)


def measure(data: DataSet, folder: Path, rounds: int = 11) -> list[Line]:
    metadata = columns(len(data.base))
    model = lamina.Model("bench", dim=data.base.shape[1], metric=data.metric)
    with lamina.open(folder / "bench.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=model)
        docs.add(np.arange(len(data.base)), data.base, metadata)
        docs.optimize()
        found = [*first_uses(docs, metadata), repeated(docs, data.queries)]
        return found + updates(store, docs, data, metadata, rounds)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.metadata", description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", default="synthetic:50000:384", help="as bench.compare takes it")
    chosen = parser.parse_args(arguments)
    data = load(chosen.data)
    with tempfile.TemporaryDirectory(prefix="lamina-metadata-") as folder:
        lines = measure(data, Path(folder))
    print(*table(f"{len(data.base):,} rows, {data.name}", lines), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
