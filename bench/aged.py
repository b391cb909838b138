"""A collection that has changed, beside one that is built afresh from what is live: what both benchmarks of it share.

Ids are not rows of the data here: `rows[id]` is the row of the data whose vector the record has.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lamina
from bench.data import DataSet, Floats, Ids, exact
from bench.measure import Bench, Summary, on_one_core, paired
from bench.peers import LaminaCollection

K = 10
RECALL = 0.95
BATCH = 1000  # rows of a write

Line = tuple[str, str, str, "bool | None"]  # what, measured, wanted, whether it is so


def copy_store(source: Path, target: Path) -> None:
    """In pieces of a huge page, as it was written: some systems map it in what it came in."""

    def copy(one: str, other: str) -> None:
        with open(one, "rb") as read, open(other, "wb", buffering=0) as written:
            while piece := read.read(2 << 20):
                written.write(piece)

    shutil.copytree(source, target, copy_function=copy)


@dataclass(frozen=True)
class Aged(DataSet):
    """The data that are live, under their ids."""

    rows: Ids

    @staticmethod
    def of(data: DataSet, live: Ids, rows: Ids) -> Aged:
        """`live`: the ids that are live; exact answers are among their rows."""
        alive = rows[live]
        truth = alive[exact(data.metric, data.base[alive], data.queries)]
        return Aged(data.name, data.metric, data.base, data.queries, truth, rows)

    def recall(self, answers: Any, k: int) -> float:
        return super().recall(np.where(answers < 0, -1, self.rows[answers]), k)


@dataclass(frozen=True)
class Change:
    """A write: these ids go, and these come, with the vectors of these rows of the data."""

    gone: Ids
    came: Ids
    rows: Ids


def changes(total: int, live: int, share: int, rounds: int, in_place: bool) -> tuple[Ids, list[list[Change]], Ids, Ids]:
    """Rounds that each give up `share` random rows for as many of the data that are not live, in writes of BATCH.

    Returns the rows of the first ids, 0 to live - 1; the rounds; and at their end the live ids, and the row of each
    id. `in_place`: the ids stay, and get other vectors; otherwise ids are never used again.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(total)
    rows, spare, ids = order[:live].copy(), order[live:].copy(), np.arange(live)
    first, planned = rows.copy(), []
    for _ in range(rounds):
        at, taken = rng.choice(live, share, replace=False), rng.choice(len(spare), share, replace=False)
        gone, fresh = ids[at], spare[taken].copy()
        spare[taken] = rows[gone]
        if not in_place:
            ids[at] = np.arange(len(rows), len(rows) + share)
            rows = np.concatenate([rows, fresh])
        rows[ids[at]] = fresh
        parts = [slice(start, start + BATCH) for start in range(0, share, BATCH)]
        planned.append([Change(gone[part], ids[at][part], fresh[part]) for part in parts])
    return first, planned, ids, rows


def collection(path: Path, data: DataSet) -> tuple[lamina.Store, lamina.Collection]:
    """A new one, whose maintenance is done where it is called: so its work can be told from the searches'."""
    store = lamina.open(path, create=True, maintenance="manual")
    model = lamina.Model("bench", revision="1", dim=data.base.shape[1], metric=data.metric)
    return store, store.create_collection("bench", model=model)


def fill(docs: lamina.Collection, data: DataSet, rows: Ids) -> None:
    """Ids from 0."""
    for start in range(0, len(rows), 10_000):
        part = rows[start : start + 10_000]
        docs.add(np.arange(start, start + len(part)), data.base[part])


def rest(store: lamina.Store) -> None:
    """All maintenance that is due, as the thread of a store does it after each write."""
    while store.maintain(threads=1):
        pass


def write(store: lamina.Store, docs: lamina.Collection, data: DataSet, change: Change) -> None:
    """A write, and the maintenance that it makes due."""
    if np.array_equal(change.gone, change.came):
        docs.upsert(change.came, data.base[change.rows])
    else:
        docs.delete(change.gone)
        docs.add(change.came, data.base[change.rows])
    rest(store)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Of all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def bytes_written() -> int:
    """Bytes that this process has handed to the system in write calls (Linux)."""
    lines = Path(f"/proc/{os.getpid()}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def bench(docs: lamina.Collection, data: DataSet) -> Bench:
    peer = LaminaCollection(data.metric)
    peer.collection = docs
    return Bench(peer, data, K, threads=1)


def rate_ratio(one: Bench, other: Bench, pairs: int, seconds: float) -> Summary:
    """Queries per second at recall 0.95, one / other. ValueError where that recall is out of reach."""
    calls = []
    for side in (one, other):
        bracket = side.bracket(RECALL)
        if bracket is None:
            raise ValueError(f"{side.peer.name}: no recall of {RECALL}")
        calls.append(lambda side=side, bracket=bracket: side.rate_at(RECALL, bracket, seconds, False))
    with on_one_core():
        return paired(calls[0], calls[1], pairs)[0]


def found(search: Callable[[Floats], Any], data: Aged, ids: Ids) -> NDArray[np.bool_]:
    """Which of these are among the ten that their own vector finds; ten as near as it are as good."""
    there = np.zeros(len(ids), np.bool_)
    for start in range(0, len(ids), BATCH):
        wanted = ids[start : start + BATCH]
        own = data.base[data.rows[wanted]]
        answers = search(own)
        farthest = data.base[data.rows[answers[:, -1]]]
        as_near = np.abs(farthest - own).max(axis=1) < 1e-6
        there[start : start + BATCH] = (answers == wanted[:, None]).any(axis=1) | as_near
    return there


def table(title: str, lines: list[Line]) -> Iterator[str]:
    """In Markdown; where nothing is wanted there is no verdict."""
    yield f"| {title} | measured | wanted | |"
    yield "|---|---|---|---|"
    for what, measured, wanted, holds in lines:
        yield f"| {what} | {measured} | {wanted} | {'' if holds is None else 'yes' if holds else '**no**'} |"
