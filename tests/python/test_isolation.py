"""Processes that share a store and come about by fork.

Goal: a writer's death frees the store at once, whatever children it has left; batches are searched in a reader's
children. Method: a writer that is killed beside a child that sleeps; forks of a reader whose threads have worked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lamina

DIM = 8
MODEL = lamina.Model("m", dim=DIM)
VECTORS = np.random.default_rng(5).normal(size=(4000, DIM)).astype(np.float32)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]

WRITER = """
import lamina, numpy as np, os, sys, time
store = lamina.open(sys.argv[1], create=True)
docs = store.create_collection("docs", model=lamina.Model("m", dim=8))
docs.add([1, 2], np.ones((2, 8)), content=["a", "b"])  # from now on a thread looks after the store
child = os.fork()
if child == 0:
    time.sleep(600)
    os._exit(0)
print(child, flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def killed_beside_its_child(path: Path) -> Iterator[int]:
    """The child of a writer that was killed."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    child = int(writer.stdout.readline())
    try:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        writer.stdout.close()


def test_a_killed_writer_whose_child_sleeps_on_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.lamina"
    with killed_beside_its_child(path) as child:
        with lamina.open(path) as store:
            docs = store.get_collection("docs")
            assert docs.get([1, 2]).content == ["a", "b"]
            assert docs.upsert([3], np.ones((1, DIM)), content=["c"]).added == 1
            store.verify()
        os.kill(child, 0)  # it is there still


def test_a_batch_is_searched_in_forked_children_of_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "s.lamina"
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.add(np.arange(len(VECTORS)), VECTORS)
        docs.optimize()
    with lamina.open(path, read_only=True) as reader:
        docs = reader.get_collection("docs")
        expected = docs.search(VECTORS[:500], k=5)  # by the threads of this process
        for _ in range(3):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                same = False
                with contextlib.suppress(BaseException):
                    found = docs.search(VECTORS[:500], k=5)
                    same = np.array_equal(found.ids, expected.ids)
                os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(docs.search(VECTORS[:500], k=5).ids, expected.ids)
