"""Goal: writes last, and maintenance neither waits for writers nor makes them wait.

Method: a made-up core under the threads; small logs; threads and forks beside each other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import lamina
from lamina import maintenance
from lamina.maintenance import Maintainer

MODEL = lamina.Model("m", dim=64, metric="cosine")


class Core:
    """A core whose merge takes as long as it is let, and which may fail."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.merging = threading.Event()
        self.let_go = threading.Event()
        self.synced = threading.Event()
        self.fails = False

    def maintain(self, threads: int) -> bool:
        self.steps.append("maintain")
        if self.fails:
            raise lamina.StorageError("no space")
        self.merging.set()
        self.let_go.wait(30)
        return False

    def sync(self) -> None:
        self.steps.append("sync")
        self.synced.set()


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    monkeypatch.setattr(maintenance, "SYNC_INTERVAL", 0.05)
    return Core()


def test_an_interval_is_synced_when_nobody_writes_any_more_and_during_a_merge(core: Core) -> None:
    maintainer = Maintainer(cast(Any, core), "store", True)
    maintainer.wake()
    assert core.merging.wait(30)
    assert core.synced.wait(30)
    core.synced.clear()
    assert not core.synced.wait(0.3)  # nothing to sync since
    maintainer.wake()
    assert core.synced.wait(30)
    core.let_go.set()
    maintainer.stop()


def test_without_an_interval_nothing_is_synced(core: Core) -> None:
    maintainer = Maintainer(cast(Any, core), "store", False)
    maintainer.wake()
    assert core.merging.wait(30)
    assert not core.synced.wait(0.3)
    core.let_go.set()
    maintainer.stop()


def test_what_fails_is_not_tried_at_each_write(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    core.fails = True
    maintainer = Maintainer(cast(Any, core), "store", False)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        maintainer.wake()
        time.sleep(0.001)
    assert core.steps == ["maintain"]
    assert "no space" in caplog.text
    maintainer.stop()


def batch(rng: np.random.Generator, rows: int, dim: int = MODEL.dim) -> np.ndarray[Any, np.dtype[np.float32]]:
    return rng.standard_normal((rows, dim), dtype=np.float32)


def segments(store: lamina.Store) -> int:
    return int(store.stats()["collections"]["docs"]["vector_segments"])


def test_maintenance_by_hand(tmp_path: Path, rng: np.random.Generator) -> None:
    limit = 1 << 20
    with lamina.open(tmp_path / "s.lamina", create=True, log_limit=limit, maintenance="manual") as store:
        docs = store.create_collection("docs", lamina.Model("wide", dim=1024))
        while store.maintain():  # what making the collection left to sweep
            pass
        assert store.maintain() is False
        for start in range(0, 3000, 50):
            docs.upsert(range(start, start + 50), batch(rng, 50, 1024))
            assert store.stats()["log_bytes"] < 2 * limit
        before = segments(store)
        assert before > 4
        while store.maintain(threads=1):
            pass
        assert segments(store) < before
        assert store.stats()["log_bytes"] < limit
        assert len(docs) == 3000
        store.verify()
    with lamina.open(tmp_path / "s.lamina", read_only=True) as reader, pytest.raises(lamina.ReadOnlyError):
        reader.maintain()
    with pytest.raises(lamina.ClosedError):
        store.maintain()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_writers_searchers_and_forks_beside_each_other(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "s.lamina"
    over = threading.Event()
    failures: list[BaseException] = []
    with lamina.open(path, create=True, log_limit=1 << 20) as store:
        docs = store.create_collection("docs", MODEL)
        docs.add(range(1000), batch(rng, 1000))

        def watched(work: Any) -> threading.Thread:
            def run() -> None:
                try:
                    while not over.is_set():
                        work()
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def write(first: int) -> Any:
            vectors = batch(rng, 100)
            return lambda: docs.upsert(range(first, first + 100), vectors)

        def search() -> None:
            assert len(docs.search(query, k=10).ids) == 10
            assert len(docs) % 100 == 0  # no batch in part

        query = batch(rng, 1)[0]
        threads = [watched(write(first)) for first in (0, 500, 2000, 3000)] + [watched(search)]
        for _ in range(5):
            child = os.fork()
            if child == 0:
                code = 1
                with contextlib.suppress(BaseException):
                    signal.alarm(60)
                    assert docs.snapshot().search(np.stack([query, query]), k=3).ids.shape == (2, 3)
                    with pytest.raises(lamina.ClosedError):
                        docs.delete([0])
                    with lamina.open(path, read_only=True) as reader:
                        assert len(reader.get_collection("docs")) % 100 == 0
                    code = 0
                os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        for thread in threads:
            thread.join()
        assert not failures
        store.verify()
    with lamina.open(path) as store:
        assert store.recovery.clean
        assert len(store.get_collection("docs")) == 1200
