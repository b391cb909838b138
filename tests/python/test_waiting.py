"""Goal: a search waits for nobody: it takes no lock, and syncs nothing, whatever the writer beside it does.

Method: the trace of locks and syncs that test builds on Linux keep of each thread (cpp/io/wait_trace.h), of one that
searches on the one core on which another one writes, seals, merges and publishes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import _core

if not hasattr(_core, "testing_waits"):
    pytest.skip("only test builds on Linux trace what threads wait for", allow_module_level=True)

DIM = 64
MODEL = lamina.Model("m", dim=DIM, metric="cosine")

SEARCHES: dict[str, Callable[[lamina.Collection, np.ndarray], Any]] = {
    "one": lambda docs, queries: docs.search(queries[0]),
    "tagged": lambda docs, queries: docs.search(MODEL.tag(queries[0])),
    "broad": lambda docs, queries: docs.search(queries[0], k=100, recall=0.99),
    "near": lambda docs, queries: docs.search(queries[0], radius=0.9),
    "exact": lambda docs, queries: docs.search(queries[0], exact=True),
    "batch": lambda docs, queries: docs.search(queries),
    "snapshot": lambda docs, queries: docs.snapshot().search(queries[0]),
    "vectors": lambda docs, queries: docs.search(queries[0], include=["vectors"]),
}


def traced(call: Callable[[], Any]) -> tuple[int, int, int]:
    """Locks that the call took, those of them that another thread held, files that it synced."""
    before = _core.testing_waits()
    call()
    locks, waits, syncs = (after - earlier for after, earlier in zip(_core.testing_waits(), before, strict=True))
    return locks, waits, syncs


@pytest.fixture
def one_core() -> Iterator[None]:
    """This thread, and those that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def sealed_and_merged(segments: list[int]) -> bool:
    return {-1, 1} <= set(np.sign(np.diff(segments)).tolist())


def write(docs: lamina.Collection, rng: np.random.Generator, segments: list[int], done: threading.Event) -> None:
    """Small writes of each kind until it was sealed and merged meanwhile; notes how many segments there are then."""
    try:
        for round in range(1000):
            ids = rng.choice(1000, 60, replace=False)
            docs.upsert(ids, rng.standard_normal((60, DIM), np.float32), metadata=[{"n": int(id)} for id in ids])
            docs.update(ids[:10], metadata=[{"n": -1}] * 10)
            docs.delete(ids[50:])
            if round % 10 == 0:
                docs.tag(f"round {round}")
            segments.append(docs._store.stats()["collections"]["docs"]["vector_segments"])
            if round >= 60 and sealed_and_merged(segments):
                break
    finally:
        done.set()


@pytest.mark.usefixtures("one_core")
def test_a_search_waits_for_no_lock_and_no_sync_of_a_busy_writer(tmp_path: Path, rng: np.random.Generator) -> None:
    queries = rng.standard_normal((8, DIM), np.float32)
    found = {name: [0, 0, 0] for name in SEARCHES}
    with lamina.open(tmp_path / "store", create=True, log_limit=1 << 17) as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.upsert(range(1000), vectors=rng.standard_normal((1000, DIM), np.float32), metadata=[{"n": 0}] * 1000)
        segments: list[int] = []
        done = threading.Event()
        of_writer: list[tuple[int, int, int]] = []
        writer = threading.Thread(target=lambda: of_writer.append(traced(lambda: write(docs, rng, segments, done))))
        writer.start()
        while not done.is_set():
            for name, search in SEARCHES.items():
                for at, count in enumerate(traced(lambda search=search: search(docs, queries))):
                    found[name][at] += count
        writer.join()
    assert found == {name: [0, 0, 0] for name in SEARCHES}
    locks, _, syncs = of_writer[0]
    assert locks > 1000, "the trace sees what the writer takes"
    assert syncs > 180
    assert sealed_and_merged(segments)


@pytest.mark.usefixtures("one_core")
def test_a_filtered_search_meets_no_lock_that_a_writer_holds(tmp_path: Path, rng: np.random.Generator) -> None:
    queries = rng.standard_normal((8, DIM), np.float32)
    with lamina.open(tmp_path / "store", create=True, log_limit=1 << 17) as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.upsert(range(1000), vectors=rng.standard_normal((1000, DIM), np.float32), metadata=[{"n": 0}] * 1000)
        done = threading.Event()
        writer = threading.Thread(target=write, args=(docs, rng, [], done))
        writer.start()
        waits = syncs = 0
        while not done.is_set():
            _, waited, synced = traced(lambda: docs.search(queries[0], filter={"n": {"$gte": 0}}))
            waits, syncs = waits + waited, syncs + synced
        writer.join()
    assert (waits, syncs) == (0, 0)


@pytest.mark.usefixtures("one_core")
def test_a_search_of_an_index_takes_no_lock(rng: np.random.Generator) -> None:
    index = lamina.Index(dim=DIM)
    vectors = rng.standard_normal((3000, DIM), np.float32)
    index.add(vectors[:2000])
    index.optimize()
    index.add(vectors[2000:])
    passing = lamina.IdFilter(range(500))
    index.search(vectors[0], filter=passing)
    assert traced(lambda: index.search(vectors[0])) == (0, 0, 0)
    assert traced(lambda: index.search(vectors[0], filter=passing)) == (0, 0, 0)
    assert traced(lambda: index.search(vectors[:8])) == (0, 0, 0)
    assert traced(lambda: index.add(vectors[:1] + 1))[0] > 0


@pytest.mark.usefixtures("one_core")
def test_a_search_within_a_budget_of_memory_takes_no_lock(tmp_path: Path, rng: np.random.Generator) -> None:
    queries = rng.standard_normal((8, DIM), np.float32)
    with lamina.open(tmp_path / "store", create=True, maintenance="manual", memory=1 << 16) as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.upsert(range(3000), vectors=rng.standard_normal((3000, DIM), np.float32))
        docs.optimize()
        docs.search(queries[0])
        for search in SEARCHES.values():
            assert traced(lambda search=search: search(docs, queries)) == (0, 0, 0)


def test_a_snapshot_takes_no_lock_and_reaches_no_file(tmp_path: Path, rng: np.random.Generator) -> None:
    try:
        calls = len(_core.testing_trace())  # from here on the trace of a store's calls to the system is kept
        with lamina.open(tmp_path / "store", create=True, maintenance="manual") as store:
            docs = store.create_collection("docs", model=MODEL)
            docs.add(range(100), vectors=rng.standard_normal((100, DIM), np.float32))
            assert len(_core.testing_trace()) > calls
            calls = len(_core.testing_trace())
            assert traced(docs.snapshot) == (0, 0, 0)
            assert len(_core.testing_trace()) == calls
    finally:
        _core.testing_reset()


def test_a_hold_of_the_gil_is_what_is_done_with_it(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((4000, DIM), np.float32)
    index = lamina.Index(dim=DIM)
    index.add(vectors)
    _core.testing_gil_hold()
    began = time.thread_time()
    found = index.search(vectors, exact=True, threads=1)
    used, held = time.thread_time() - began, _core.testing_gil_hold()
    assert len(found) == len(vectors)
    assert 0 < held < used / 2, "most of it is the core's work, without the GIL"
    began = time.thread_time()
    sum(vector.sum() for vector in vectors)
    assert _core.testing_gil_hold() >= time.thread_time() - began - 0.001
