"""Readers in other processes beside a writer.

Goal: a reader moves only by `reload()`, then sees every write that was acknowledged before, whole, and never an older
version. Method: the writer is this process; readers are children that answer over a pipe.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import Model

DIM = 8
MODEL = Model("m", dim=DIM)
VECTORS = np.random.default_rng(5).normal(size=(2000, DIM)).astype(np.float32)


def serve(path: str, pipe: Connection) -> None:
    """Opens the store for reading, and answers what it is asked until it is asked None."""
    with lamina.open(path, read_only=True) as store:
        names: dict[str, Any] = {}
        while (question := pipe.recv()) is not None:
            verb, name, argument = question
            try:
                if verb == "reload":
                    pipe.send(store.reload())
                elif verb == "version":
                    pipe.send(store.version)
                elif verb == "verify":
                    pipe.send(store.verify().records)
                else:
                    if name not in names:
                        names[name] = store.get_collection(name)
                    answer = getattr(names[name], verb)(*argument)
                    pipe.send(
                        answer.ids.tolist() if verb == "search" else answer.to_list() if verb == "get" else answer
                    )
            except Exception as error:
                pipe.send(error)


class Reader:
    def __init__(self, path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(str(path), theirs), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, verb: str, name: str = "", *argument: Any) -> Any:
        self._pipe.send((verb, name, argument))
        assert self._pipe.poll(60), "the reader does not answer"
        return self._pipe.recv()

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join(60)
        assert self._process.exitcode == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.lamina"


@pytest.fixture
def store(path: Path) -> Iterator[lamina.Store]:
    with lamina.open(path, create=True, log_limit=1 << 16) as opened:
        opened.create_collection("docs", model=MODEL).add([0], VECTORS[:1], content=["first"])
        yield opened


@pytest.fixture
def reader(store: lamina.Store, path: Path) -> Iterator[Reader]:
    made = Reader(path)
    yield made
    made.close()


def test_a_reader_moves_by_reload_alone(store: lamina.Store, reader: Reader) -> None:
    docs = store.get_collection("docs")
    assert reader.ask("count", "docs") == 1
    for at in range(1, 30):
        docs.upsert([at], VECTORS[at : at + 1], content=[f"text {at}"])
        assert reader.ask("count", "docs") == at
        assert reader.ask("reload") is True
        assert reader.ask("count", "docs") == at + 1
        assert reader.ask("search", "docs", VECTORS[at], 1) == [at]
        assert reader.ask("get", "docs", [at], ["content"]) == [{"id": at, "content": f"text {at}"}]
        assert reader.ask("version") == store.version
        if at % 10 == 0:
            docs.optimize()
    assert reader.ask("reload") in (True, False)
    assert reader.ask("reload") is False
    assert reader.ask("verify") == 30


def test_a_reader_sees_deletes_updates_and_collections(store: lamina.Store, reader: Reader) -> None:
    docs = store.get_collection("docs")
    assert reader.ask("count", "docs") == 1
    docs.update([0], metadata=[{"n": 1}])
    store.create_collection("other", model="hash:16").upsert(["a", "b"], content=["one", "two"])
    assert isinstance(reader.ask("count", "other"), lamina.NotFoundError)
    reader.ask("reload")
    assert reader.ask("get", "docs", [0], ["metadata"]) == [{"id": 0, "metadata": {"n": 1}}]
    assert reader.ask("search", "other", "two", 1) == ["b"]
    docs.delete([0])
    store.drop_collection("other")
    assert reader.ask("count", "docs") == 1
    reader.ask("reload")
    assert reader.ask("count", "docs") == 0
    assert isinstance(reader.ask("count", "other"), lamina.NotFoundError)


def test_a_reader_follows_a_collection_whose_ids_are_decided_later(store: lamina.Store, path: Path) -> None:
    docs = store.create_collection("late", model=MODEL)
    reader = Reader(path)
    assert reader.ask("count", "late") == 0
    docs.upsert(["a"], VECTORS[:1])
    reader.ask("reload")
    assert reader.ask("search", "late", VECTORS[0], 1) == ["a"]
    reader.close()


def test_a_reader_outlives_its_writer(path: Path) -> None:
    with lamina.open(path, create=True) as store:
        store.create_collection("docs", model=MODEL).add(range(100), VECTORS[:100])
    reader = Reader(path)
    for part in range(1, 4):
        with lamina.open(path) as store:
            store.get_collection("docs").add(
                range(part * 100, part * 100 + 100), VECTORS[part * 100 : part * 100 + 100]
            )
        reader.ask("reload")
        assert reader.ask("count", "docs") == part * 100 + 100
    reader.close()


def test_what_a_search_holds_stays_while_the_store_moves_on(store: lamina.Store, path: Path) -> None:
    docs = store.get_collection("docs")
    docs.add(range(1, 500), VECTORS[1:500], content=[f"text {at}" for at in range(1, 500)])
    docs.optimize()
    import subprocess
    import sys

    script = (
        "import lamina, numpy as np, sys\n"
        "store = lamina.open(sys.argv[1], read_only=True); docs = store.get_collection('docs')\n"
        "hits, snap = docs.search(np.ones(8, np.float32), k=20), docs.snapshot()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "before = hits.content; store.reload()\n"
        "assert before == [f'text {id}' for id in hits.ids] and len(snap) == 500 and len(docs) == 0\n"
        "print(len(snap.get([3]).content[0]), store.verify().records)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    docs.clear()
    docs.optimize()
    assert child.communicate("go\n", timeout=60)[0] == "6 0\n"
    assert child.returncode == 0


def test_batches_are_never_seen_in_part(store: lamina.Store, path: Path) -> None:
    """Two readers reload all the while: counts are whole batches, go forward, and hold what was acknowledged."""
    docs = store.create_collection("batches", model=MODEL)
    acknowledged, failures = 0, []
    done = threading.Event()

    def watch(reader: Reader) -> None:
        seen = 0
        try:
            while not done.is_set():
                before = acknowledged
                reader.ask("reload")
                count = reader.ask("count", "batches")
                assert count % 100 == 0, count
                assert count >= before, (count, before)
                assert count >= seen, (count, seen)
                seen = count
        except AssertionError as error:
            failures.append(error)

    readers = [Reader(path) for _ in range(2)]
    threads = [threading.Thread(target=watch, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for at in range(0, 2000, 100):
        docs.add(range(at, at + 100), VECTORS[at : at + 100], content=["x" * 200] * 100)
        acknowledged = at + 100
    done.set()
    for thread, reader in zip(threads, readers, strict=True):
        thread.join()
        reader.close()
    assert failures == []
    assert store.stats()["collections"]["batches"]["record_segments"] > 0  # it sealed meanwhile
