"""What it costs to renew a thousand rows of an optimized collection, and what fifty such refreshes leave behind.

Measured in a whole data set and in a quarter of it: the work should follow the thousand rows, not the collection. The
rows come from the data and the ones whose place they take become spare, so that no row is made up.

    python -m bench.refresh_cost                            # a synthetic set
    LAMINA_BENCH_DATA=folder python -m bench.refresh_cost sift
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import lamina
from bench.aged import (
    BATCH,
    RECALL,
    Aged,
    Change,
    K,
    Line,
    bench,
    bytes_written,
    changes,
    collection,
    copy_store,
    cpu_seconds,
    fill,
    rate_ratio,
    rest,
    table,
    write,
)
from bench.data import DataSet, Ids, load

REFRESHES = 50
COPIES = 5  # of the same collection, each refreshed once: the median counts


@dataclass(frozen=True)
class Size:
    """A collection of so many rows, at rest in a folder, and the refreshes that await it."""

    data: DataSet
    folder: Path
    first: Ids
    refreshes: list[Change]
    build_seconds: float  # of CPU time

    @staticmethod
    def build(folder: Path, data: DataSet) -> Size:
        live = len(data.base) - BATCH
        first, rounds, _, _ = changes(len(data.base), live, BATCH, REFRESHES, in_place=True)
        folder.mkdir()
        store, docs = collection(folder / "built", data)
        with store:

            def work() -> None:
                fill(docs, data, first)
                docs.optimize()
                rest(store)

            seconds = cpu_seconds(work)
        return Size(data, folder, first, [change for round in rounds for change in round], seconds)

    @contextmanager
    def copy(self, name: str) -> Iterator[tuple[lamina.Store, lamina.Collection]]:
        """As it was built, open, warm and at rest."""
        copy_store(self.folder / "built", self.folder / name)
        with lamina.open(self.folder / name, maintenance="manual") as store:
            docs = store.get_collection("bench")
            docs.warm()
            rest(store)
            yield store, docs
        shutil.rmtree(self.folder / name)

    def aged(self, refreshes: list[Change]) -> Aged:
        """What is live after them."""
        rows = self.first.copy()
        for change in refreshes:
            rows[change.came] = change.rows
        return Aged.of(self.data, np.arange(len(rows)), rows)

    @property
    def change_bytes(self) -> int:
        """Of a refresh: its vectors and ids."""
        return BATCH * (int(self.data.base.shape[1]) * 4 + 8)

    def one_refresh(self) -> tuple[float, float]:
        """CPU seconds, and bytes written as a multiple of the change: until it is searched and maintenance rests."""
        seconds, written = [], []
        for number in range(COPIES):
            with self.copy(f"copy-{number}") as (store, docs):
                before = bytes_written()
                seconds.append(cpu_seconds(partial(self.refresh, store, docs, 0)))
                written.append(bytes_written() - before)
        return float(np.median(seconds)), float(np.median(written)) / self.change_bytes

    def refresh(self, store: lamina.Store, docs: lamina.Collection, number: int) -> None:
        change = self.refreshes[number]
        write(store, docs, self.data, change)
        docs.search(self.data.base[change.rows[0]], k=K)


def searches(size: Size, pairs: int, seconds: float) -> list[Line]:
    """Before one refresh, and after it without `optimize()`."""
    with size.copy("before") as (_, docs), size.copy("after") as (store, refreshed):
        size.refresh(store, refreshed, 0)
        before, after = bench(docs, size.aged([])), bench(refreshed, size.aged(size.refreshes[:1]))
        ratio = rate_ratio(after, before, pairs, seconds)
        bracket = before.bracket(RECALL)
        assert bracket is not None
        breadth = bracket.high
        recalls = before.recall(breadth), after.recall(breadth)
    return [
        (
            f"recall@{K} at ef {breadth}, before and after",
            f"{recalls[0]:.4f}, {recalls[1]:.4f}",
            "at most 0.005 less",
            recalls[0] - recalls[1] <= 0.005,
        ),
        (f"queries/s at recall {RECALL}, before = 1", ratio.text(), "≥ 0.8", ratio.median >= 0.8),
    ]


def many(size: Size) -> list[Line]:
    """Fifty refreshes, one after the other."""
    segments = []
    with size.copy("many") as (store, docs):

        def work() -> None:
            for number in range(REFRESHES):
                size.refresh(store, docs, number)
                segments.append(store.stats()["collections"]["bench"]["vector_segments"])

        before = bytes_written()
        seconds = cpu_seconds(work)
        written = bytes_written() - before
        assert len(docs) == len(size.first)
    change = REFRESHES * size.change_bytes
    return [
        (f"{REFRESHES} refreshes: most segments", str(max(segments)), "≤ 8", max(segments) <= 8),
        (
            f"{REFRESHES} refreshes: bytes written",
            f"{written / 1e6:.0f} MB, {written / change:.1f} times the change",
            "",
            None,
        ),
        (f"{REFRESHES} refreshes: CPU time, fresh build = 1", f"{seconds / size.build_seconds:.2f}", "", None),
    ]


def quarter(data: DataSet) -> DataSet:
    """Answers are found anew where they are wanted."""
    return replace(data, base=data.base[: len(data.base) // 4])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.refresh_cost", description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", default="synthetic:100000:128:l2", help="as bench.compare takes it")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each half of a pair")
    chosen = parser.parse_args(arguments)
    data = load(chosen.data)
    with tempfile.TemporaryDirectory(prefix="lamina-refresh-") as folder:
        small = Size.build(Path(folder) / "small", quarter(data))
        size = Size.build(Path(folder) / "large", data)
        less, _ = small.one_refresh()
        seconds, written = size.one_refresh()
        share, growth = seconds / size.build_seconds, seconds / less
        lines = [
            ("CPU time of a refresh, fresh build = 1", f"{share:.4f}", "≤ 0.05", share <= 0.05),
            ("the same, in a quarter of the rows = 1", f"{growth:.2f}", "≤ 1.3", growth <= 1.3),
            ("CPU time of the fresh build, of the refresh", f"{size.build_seconds:.1f} s, {seconds:.3f} s", "", None),
            ("bytes written, the change = 1", f"{written:.2f}", "≤ 10", written <= 10),
            *searches(size, chosen.pairs, chosen.seconds),
            *many(size),
        ]
    print(*table(f"{BATCH:,} of {len(data.base):,} rows, {data.name}", lines), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
