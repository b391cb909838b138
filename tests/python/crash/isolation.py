"""Readers in eight processes beside a busy writer, with cleanup running: each sees whole batches, and never goes back.

    python tests/python/crash/isolation.py --steps 10000

The writer (this process) gives random batches of records the next round: its number is in their metadata, contents and
vectors, so that a batch in part, or a record put together from two writes, shows. Some batches are deleted whole. It
seals and merges meanwhile, and keeps no history; a thread of it cleans up all the time.

A step of a reader is an opening or a `reload()`, then a look at one batch: its records are all there or all gone, of
one round, and that is never older than one seen before. A snapshot that it holds over some reloads stays as it was. At
the end, with the readers gone, the space of all older versions is returned.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from command import run_as_command

import lamina

READERS = 8
BATCH = 50
BATCHES = 20
DIM = 16
MODEL = lamina.Model("rounds", dim=DIM, metric="l2")
VECTORS = np.random.default_rng(1).normal(size=(BATCHES * BATCH, DIM)).astype(np.float32)
RELOADS = 4  # between two openings
LOG_LIMIT = 1 << 16


def text(id: int, round: int) -> str:
    return f"record {id} as of round {round}"


def vectors(ids: Any, round: int) -> Any:
    return VECTORS[ids] * np.float32(1 + round)


def put(docs: lamina.Collection, batch: int, round: int) -> None:
    ids = np.arange(batch * BATCH, batch * BATCH + BATCH)
    docs.upsert(ids, vectors(ids, round), [{"round": round}] * BATCH, [text(id, round) for id in ids])


class Reader:
    """What one process has seen so far."""

    def __init__(self, path: str, seed: int) -> None:
        self._path = path
        self._random = random.Random(seed)
        self._version = 0
        self._versions: set[int] = set()
        self._rounds = [-1] * BATCHES

    def run(self, steps: int) -> int:
        """Returns how many versions it saw; AssertionError says what it should not have seen."""
        while steps > 0:
            with lamina.open(self._path, read_only=True) as store:
                docs = store.get_collection("docs")
                held = docs.snapshot()
                before = self._look(held)
                steps -= 1
                for _ in range(min(RELOADS, steps)):
                    store.reload()
                    self._look(docs.snapshot())
                    steps -= 1
                assert self._batch(held, before[0]) == before[1], "a snapshot changed"
        return len(self._versions)

    def _look(self, snapshot: Any) -> tuple[int, list[Any]]:
        """At a random batch, which is returned, and at what a search finds beside it."""
        version, count = snapshot.version, len(snapshot)
        assert version >= self._version, f"version {version} after {self._version}"
        self._version = version
        self._versions.add(version)
        assert count % BATCH == 0, f"{count} records: a batch in part"
        batch = self._random.randrange(BATCHES)
        records = self._batch(snapshot, batch)
        if records:
            round = records[0][1]
            assert round >= self._rounds[batch], f"batch {batch} of round {round} after {self._rounds[batch]}"
            self._rounds[batch] = round
        if count > 0:
            for hit in snapshot.search(VECTORS[batch * BATCH], k=3, include=["metadata", "content"]):
                assert hit.content == text(hit.id, hit.metadata["round"]), hit
        return batch, records

    def _batch(self, snapshot: Any, batch: int) -> list[Any]:
        """(id, round) of its records, of which there are all or none."""
        found = snapshot.get(range(batch * BATCH, batch * BATCH + BATCH), include=["metadata", "content", "vectors"])
        rounds = {record.metadata["round"] for record in found}
        assert len(found) in (0, BATCH), f"batch {batch}: {len(found)} records"
        assert len(rounds) <= 1, f"batch {batch}: rounds {rounds}"
        for record in found:
            round = record.metadata["round"]
            assert record.content == text(record.id, round), record
            assert np.array_equal(record.vector, vectors(record.id, round)), record
        return [(record.id, record.metadata["round"]) for record in found]


def read(path: str, seed: int, steps: int) -> int:
    return Reader(path, seed).run(steps)


def run(folder: Path, steps: int, seed: int) -> dict[str, Any]:
    path, randomly = str(folder / "store"), random.Random(seed)
    writes = cleanups = most_pinned = 0
    context = multiprocessing.get_context("spawn")
    with (
        lamina.open(path, create=True, log_limit=LOG_LIMIT, keep_versions=timedelta(0)) as store,
        ProcessPoolExecutor(READERS, mp_context=context) as pool,
    ):
        docs = store.create_collection("docs", model=MODEL)
        for batch in range(BATCHES):
            put(docs, batch, 0)
        readers = [pool.submit(read, path, seed + at, steps // READERS) for at in range(READERS)]
        over = threading.Event()

        def clean() -> None:
            nonlocal cleanups, most_pinned
            while not over.wait(0.02):
                most_pinned = max(most_pinned, docs.cleanup(timedelta(0)).pinned)
                cleanups += 1

        cleaner = threading.Thread(target=clean)
        cleaner.start()
        while not all(reader.done() for reader in readers):
            batch = randomly.randrange(BATCHES)
            if randomly.random() < 0.1:
                docs.delete(range(batch * BATCH, batch * BATCH + BATCH))
            else:
                put(docs, batch, writes + 1)
            writes += 1
        over.set()
        cleaner.join()
        seen = [reader.result() for reader in readers]
        returned = space(store, docs, folder)
    return {
        "opens and reloads": steps // READERS * READERS,
        "versions seen by readers": seen,
        "writes": writes,
        "cleanups": cleanups,
        "most states pinned": most_pinned,
        "bytes at the end, those of a fresh store = 1": returned,
    }


def space(store: lamina.Store, docs: lamina.Collection, folder: Path) -> float:
    """What the store takes once its history is gone, beside one that never had any."""
    docs.optimize()
    assert docs.cleanup(timedelta(0)).pinned == 0
    assert store.stats()["history_bytes"] == 0
    fresh_path = folder / "fresh"
    with lamina.open(fresh_path, create=True, log_limit=LOG_LIMIT, keep_versions=timedelta(0)) as fresh:
        other = fresh.create_collection("docs", model=MODEL)
        for batch in docs.scan(batch_size=BATCH, include=["metadata", "content", "vectors"]):
            other.add(batch.ids, batch.vectors, batch.metadata, batch.content)
        other.optimize()
        other.cleanup(timedelta(0))
        taken, least = bytes_of(folder / "store"), bytes_of(fresh_path)
    assert taken <= 1.2 * least, f"{taken} bytes, and {least} in a fresh store"
    return round(taken / least, 3)


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    run_as_command(__doc__, run, steps=10_000)
