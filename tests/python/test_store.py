"""Opening, closing, sharing and losing a store.

Goal: one writer, any number of handles and readers, honest errors, and a reopened store that is what was acknowledged.
Method: second processes for locks and forks, a small tmpfs for a full disk, a read-only mount, SIGKILL for recovery.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import gc
import itertools
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import Model

DIM = 8
MODEL = Model("m", revision="1", dim=DIM)
VECTORS = np.random.default_rng(5).normal(size=(1000, DIM)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.lamina"


def fill(path: Path, rows: int = 10, **options: Any) -> None:
    with lamina.open(path, create=True, **options) as store:
        store.create_collection("docs", model=MODEL).add(np.arange(rows), VECTORS[:rows], content=["text"] * rows)


def in_child(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A mount; the test is skipped where the system does not permit one."""
    folder.mkdir(exist_ok=True)
    if sys.platform != "linux":
        pytest.skip("mounts as Linux has them")
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_store_is_there_again(path: Path) -> None:
    with lamina.open(path, create=True) as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.upsert(["a", "b"], VECTORS[:2], [{"n": 1}, {}], ["text", None])
        docs.delete(["b"])
        version = docs.version
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        assert (docs.version, docs.model, len(docs)) == (version, MODEL, 1)
        assert docs.get(["a"]).metadata == [{"n": 1}]
        assert docs.search(VECTORS[0]).ids.tolist() == ["a"]
        assert store.recovery.clean
        assert store.verify().records == 1


def test_a_store_that_is_not_there(path: Path, tmp_path: Path) -> None:
    for options in ({}, {"read_only": True}):
        with pytest.raises(lamina.NotFoundError, match=str(path)):
            lamina.open(path, **options)
    assert not path.exists()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.txt").write_text("mine")
    with pytest.raises((lamina.LaminaError, OSError)):
        lamina.open(tmp_path / "folder")
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    "options",
    [{"durability": "none"}, {"maintenance": "never"}, {"log_limit": 0}, {"create": True, "read_only": True}],
)
def test_options_that_cannot_be(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        lamina.open(path, **({"create": True} | options))
    assert not path.exists()


def test_the_same_path_twice_in_a_process_is_one_store(path: Path, tmp_path: Path) -> None:
    first = lamina.open(path, create=True)
    docs = first.create_collection("docs", model=MODEL)
    (tmp_path / "link").symlink_to(path)
    for other in (path, str(path), tmp_path / "link", os.path.relpath(path)):
        second = lamina.open(other)
        second.get_collection("docs").upsert(["a"], VECTORS[:1])
        assert docs.version == second.version
        second.close()
    assert docs.get(["a"]).ids.tolist() == ["a"]
    with pytest.raises(ValueError, match="durability='fsync'"):
        lamina.open(path, durability="os")
    kept = lamina.open(path)
    first.close()
    first.close()
    with pytest.raises(lamina.ClosedError):
        docs.search(VECTORS[0])
    assert len(kept.get_collection("docs")) == 1
    kept.close()
    with lamina.open(path, durability="os"):
        pass


def test_a_read_only_handle_beside_a_writer(path: Path) -> None:
    with lamina.open(path, create=True) as writer:
        docs = writer.create_collection("docs", model=MODEL)
        with lamina.open(path, read_only=True) as reader:
            docs.upsert(["a"], VECTORS[:1])
            assert reader.get_collection("docs").search(VECTORS[0]).ids.tolist() == ["a"]
            refuses_writes(reader)
        assert docs.upsert(["b"], VECTORS[:1]).added == 1


def refuses_writes(store: lamina.Store) -> None:
    docs = store.get_collection("docs")
    for write in (
        lambda: docs.upsert(["z"], VECTORS[:1]), lambda: docs.add(["z"], VECTORS[:1]), lambda: docs.delete(["a"]),
        lambda: docs.update(["a"], [{}]), lambda: docs.clear(), lambda: docs.optimize(),
        lambda: store.create_collection("new", model=MODEL), lambda: store.drop_collection("docs"),
        lambda: store.transaction().__enter__(), lambda: store.sync(), lambda: docs.refresh([], embed="hash:8"),
    ):  # fmt: skip
        with pytest.raises(lamina.ReadOnlyError, match="read_only"):
            write()


def test_a_read_only_store_refuses_writes_and_creates_nothing(path: Path) -> None:
    fill(path)
    before = {entry: entry.stat().st_mtime_ns for entry in path.rglob("*")}
    with lamina.open(path, read_only=True) as store:
        refuses_writes(store)
        assert len(store.get_collection("docs")) == 10
        store.verify()
    assert {entry: entry.stat().st_mtime_ns for entry in path.rglob("*")} == before


def test_everything_of_a_closed_store_says_so(path: Path) -> None:
    store = lamina.open(path, create=True)
    docs = store.create_collection("docs", model=MODEL)
    store.close()
    for use in (
        lambda: docs.search(VECTORS[0]), lambda: docs.upsert([1], VECTORS[:1]), lambda: len(docs),
        lambda: docs.get([1]), lambda: next(docs.scan()), lambda: docs.version, lambda: 1 in docs,
        lambda: docs.snapshot(),
        lambda: docs.optimize(), lambda: docs.warm(), lambda: store.get_collection("docs"),
        lambda: store.list_collections(), lambda: store.verify(), lambda: store.stats(), lambda: store.version,
        lambda: store.recovery, lambda: store.sync(), lambda: store.reload(), lambda: store.transaction().__enter__(),
        lambda: store.create_collection("x", model=MODEL), lambda: store.drop_collection("docs"),
    ):  # fmt: skip
        with pytest.raises(lamina.ClosedError, match="closed"):
            use()
    assert "closed" in repr(store)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_closing_lets_go_of_every_file(path: Path) -> None:
    fill(path, 50)
    store = lamina.open(path)
    docs = store.get_collection("docs")
    docs.optimize()
    docs.search(VECTORS[0], include=["metadata", "content", "vectors"])
    assert str(path) in Path("/proc/self/maps").read_text()
    store.close()
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert not [fd for fd in os.listdir("/proc/self/fd") if str(path) in _target(fd)]
    del docs


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("read_only", [False, True])
def test_descriptors_do_not_grow_with_collections(path: Path, read_only: bool) -> None:
    with lamina.open(path, create=True, durability="os") as store:
        for number in range(60):
            docs = store.create_collection(f"c{number}", model=MODEL)
            docs.add(np.arange(10), VECTORS[:10], content=["text"] * 10)
            if number % 2:
                docs.optimize()
    with lamina.open(path, read_only=read_only, maintenance="manual") as store:
        counts = []
        for number in range(60):
            docs = store.get_collection(f"c{number}")
            assert docs.search(VECTORS[3], k=1, include=["content"]).ids.tolist() == [3]
            if not read_only:
                docs.upsert([3], VECTORS[3:4])
            counts.append(len(os.listdir("/proc/self/fd")))
        assert counts[1:] == counts[:-1]


def _target(fd: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")
    return ""


WRITER = "import lamina, sys; lamina.open(sys.argv[1])"


def test_a_second_writer_is_told_who_holds_the_store(path: Path) -> None:
    fill(path)
    with lamina.open(path):
        script = (
            "import lamina, sys\n"
            "try: lamina.open(sys.argv[1])\n"
            "except lamina.LockedError as error: print(error.pid, isinstance(error, OSError), error)"
        )
        done = in_child(script, path)
        pid, is_os_error, message = done.stdout.split(" ", 2)
        assert (int(pid), is_os_error) == (os.getpid(), "True"), done.stderr
        assert str(os.getpid()) in message
        assert in_child("import lamina, sys; lamina.open(sys.argv[1], read_only=True)", path).returncode == 0
    assert in_child(WRITER, path).returncode == 0


def test_what_was_left_open_is_closed_at_exit(path: Path) -> None:
    script = (
        "import lamina, sys, numpy as np\n"
        "docs = lamina.open(sys.argv[1], create=True).create_collection('docs', model=lamina.Model('m', dim=8))\n"
        "docs.add([1], np.ones((1, 8)))"
    )
    done = in_child(script, path)
    assert (done.returncode, done.stderr) == (0, "")
    with lamina.open(path) as store:
        assert store.recovery.clean
        assert len(store.get_collection("docs")) == 1


def test_a_forgotten_store_is_closed(path: Path) -> None:
    docs = lamina.open(path, create=True).create_collection("docs", model=MODEL)
    docs.add([1], VECTORS[:1])  # the collection keeps its store
    del docs
    gc.collect()
    assert in_child(WRITER, path).returncode == 0


def test_a_killed_writer_is_mended_and_it_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = (
        "import lamina, os, sys, signal, numpy as np\n"
        "docs = lamina.open(sys.argv[1], create=True).create_collection('docs', model=lamina.Model('m', dim=8))\n"
        "docs.add([1, 2], np.ones((2, 8)), content=['a', 'b'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert in_child(script, path).returncode == -signal.SIGKILL
    with caplog.at_level(logging.WARNING, logger="lamina"), lamina.open(path) as store:
        assert not store.recovery.clean
        assert store.recovery.frames_replayed >= 1
        assert store.get_collection("docs").get([1, 2]).content == ["a", "b"]
        store.verify()
    assert str(path) in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="lamina"), lamina.open(path) as store:
        assert store.recovery.clean
    assert caplog.text == ""


def in_fork(work: Any) -> Any:
    """What `work` returns in a forked child."""
    receive, send = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            try:
                send.send(work())
            except BaseException as error:
                send.send(error)
        os._exit(0)
    send.close()
    os.waitpid(pid, 0)
    result = receive.recv()
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_reads_and_does_not_write(path: Path) -> None:
    fill(path)
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        docs.upsert([100], VECTORS[100:101])  # the maintenance thread is there
        snap = docs.snapshot()

        def child() -> list[Any]:
            found = [snap.search(VECTORS[3], k=1).ids.tolist(), snap.search(VECTORS[:4], k=1).ids.tolist()]
            found.append(docs.get([3]).content)
            for refused in (lambda: docs.upsert([5], VECTORS[:1]), lambda: store.create_collection("x", model=MODEL)):
                with pytest.raises(lamina.ClosedError, match="fork"):
                    refused()
            with pytest.raises(lamina.LockedError):
                lamina.open(path)
            with lamina.open(path, read_only=True) as reader:
                found.append(len(reader.get_collection("docs")))
            store.close()
            return found

        assert in_fork(child) == [[3], [[0], [1], [2], [3]], ["text"], 11]
        assert docs.upsert([101], VECTORS[101:102]).added == 1  # the lock is still ours
        assert in_child(WRITER, path).returncode != 0
    assert in_child(WRITER, path).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_reader_goes_on_in_a_forked_child(path: Path) -> None:
    fill(path)
    with lamina.open(path, read_only=True) as store:
        docs = store.get_collection("docs")
        assert in_fork(lambda: (docs.search(VECTORS[3], k=1).ids.tolist(), store.reload(), len(docs))) == (
            [3],
            False,
            10,
        )


def test_handles_pickle_as_an_address_that_opens_for_reading(path: Path) -> None:
    fill(path)
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        for handle in (store, docs, docs.snapshot()):
            assert len(pickle.dumps(handle)) < 1000
        with pickle.loads(pickle.dumps(store)) as again:
            assert again.read_only
            assert again.list_collections() == ["docs"]
        again = pickle.loads(pickle.dumps(docs))
        assert again.search(VECTORS[4], k=1).ids.tolist() == [4]
        with pytest.raises(lamina.ReadOnlyError):
            again.upsert([5], VECTORS[:1])
        snap = docs.snapshot()
        assert pickle.loads(pickle.dumps(snap)).get([4]).content == ["text"]
        docs.upsert([50], VECTORS[:1])
        assert 50 not in pickle.loads(pickle.dumps(snap))
        script = "import pickle, sys; print(len(pickle.loads(bytes.fromhex(sys.argv[1]))))"
        assert in_child(script, pickle.dumps(docs).hex()).stdout == "11\n"


def test_read_only_media(path: Path, tmp_path: Path) -> None:
    fill(path)
    with mounted(tmp_path / "ro", "--bind", "-o", "ro", str(tmp_path)) as folder:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=False, capture_output=True)
        there = folder / "s.lamina"
        with pytest.raises(OSError, match="ead-only"):
            (folder / "probe").touch()
        with lamina.open(there, read_only=True) as store:
            docs = store.get_collection("docs")
            assert docs.search(VECTORS[3], k=1).ids.tolist() == [3]
            store.verify()
            assert store.reload() is False
        for options in ({}, {"create": True}):
            with pytest.raises((lamina.StorageError, lamina.ReadOnlyError)):
                lamina.open(there, **options)


def test_a_full_disk_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=6m", "tmpfs") as folder:
        big = np.random.default_rng(1).normal(size=(200, 512)).astype(np.float32)
        store = lamina.open(folder / "s.lamina", create=True, log_limit=1 << 30, maintenance="manual")
        docs = store.create_collection("docs", model=Model("m", dim=512))
        add = lambda start: docs.add(np.arange(start, start + 200), big)  # noqa: E731
        with pytest.raises(lamina.StorageError) as full:
            collections.deque(map(add, itertools.count(0, 200)))
        written = len(docs)
        assert written % 200 == 0
        assert full.value.errno == 28
        assert "no space" in str(full.value).lower() or "full" in str(full.value).lower()
        assert written > 0
        np.testing.assert_array_equal(docs.get([written - 1]).vectors, big[-1:])
        with pytest.raises(lamina.StorageError):
            add(written)
        assert len(docs) == written
        subprocess.run(["mount", "-o", "remount,size=60m", str(folder)], check=True)
        add(written)
        store.verify()
        store.close()
        with lamina.open(folder / "s.lamina") as store:
            assert len(store.get_collection("docs")) == written + 200
            store.verify()


def test_a_full_disk_takes_deletes(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=16m", "tmpfs") as folder:
        path, filler = folder / "s.lamina", folder / "filler"
        store = lamina.open(path, create=True, maintenance="manual")
        docs = store.create_collection("docs", model=MODEL)
        store.create_collection("more", model=MODEL)
        docs.add(np.arange(1000), VECTORS)
        with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            collections.deque(map(out.write, itertools.repeat(bytes(4096))), maxlen=0)
        with pytest.raises(lamina.StorageError) as full:
            docs.upsert(np.arange(1000), VECTORS)
        assert full.value.errno == errno.ENOSPC
        assert docs.delete(np.arange(600)).deleted == 600
        assert not (path / "RESERVE").exists()
        assert docs.clear().deleted == 400
        store.drop_collection("more")
        store.close()

        filler.unlink()
        with lamina.open(path) as store:
            assert store.recovery.clean
            assert (path / "RESERVE").stat().st_size == 1 << 20
            assert store.list_collections() == ["docs"]
            assert len(store.get_collection("docs")) == 0
            store.get_collection("docs").add([1], VECTORS[:1])
            store.verify()


def test_threads_write_and_search_at_once(path: Path) -> None:
    with lamina.open(path, create=True, durability="os", log_limit=1 << 16) as store:
        docs = store.create_collection("docs", model=MODEL)
        failures: list[BaseException] = []

        def write(part: int) -> None:
            for at in range(part, 600, 4):
                docs.upsert([at], VECTORS[at : at + 1], [{"n": at}], [f"text {at}"])

        def search() -> None:
            while not done.is_set():
                hits = docs.search(VECTORS[17], k=5, include=["metadata", "content"])
                assert hits.content == [f"text {id}" for id in hits.ids]

        def guarded(work: Any, *arguments: Any) -> None:
            try:
                work(*arguments)
            except BaseException as error:
                failures.append(error)

        done = threading.Event()
        readers = [threading.Thread(target=guarded, args=(search,)) for _ in range(2)]
        writers = [threading.Thread(target=guarded, args=(write, part)) for part in range(4)]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert failures == []
        assert len(docs) == 600
        store.verify()
    with lamina.open(path) as store:
        assert len(store.get_collection("docs")) == 600


def test_concurrent_updates_lose_nothing(path: Path) -> None:
    with lamina.open(path, create=True, durability="os") as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.add([1], VECTORS[:1], [{}])

        def write(name: str) -> None:
            for at in range(50):
                docs.update([1], [{name: at}])

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert docs.get([1]).metadata == [dict.fromkeys("abcd", 49)]


@pytest.mark.parametrize("maintenance", ["auto", "manual"])
def test_maintenance_is_one_thread_from_the_first_write_to_the_close(path: Path, maintenance: str) -> None:
    def running() -> int:
        return sum(thread.name == "lamina-maintenance" for thread in threading.enumerate())

    with lamina.open(path, create=True, maintenance=maintenance) as store:
        docs = store.create_collection("docs", model=MODEL)
        assert running() == 0
        docs.add([1], VECTORS[:1])
        docs.add([2], VECTORS[:1])
        assert running() == (1 if maintenance == "auto" else 0)
    assert running() == 0


def test_maintenance_seals_and_merges_by_itself(path: Path) -> None:
    with lamina.open(path, create=True, durability="os", log_limit=1 << 14) as store:
        docs = store.create_collection("docs", model=MODEL)
        for at in range(0, 1000, 20):
            docs.add(np.arange(at, at + 20), VECTORS[at : at + 20])
        stats = store.stats()
        assert stats["log_bytes"] < 1 << 20
        assert stats["collections"]["docs"]["vector_segments"] >= 1
        assert docs.search(VECTORS[999], k=1).ids.tolist() == [999]


@pytest.mark.parametrize("durability", ["fsync", "interval", "os"])
def test_policies_and_sync(path: Path, durability: str) -> None:
    with lamina.open(path, create=True, durability=durability) as store:
        store.create_collection("docs", model=MODEL).add([1], VECTORS[:1])
        store.sync()
    with lamina.open(path) as store:
        assert len(store.get_collection("docs")) == 1


def test_stats_count_what_is_there(path: Path) -> None:
    with lamina.open(path, create=True) as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.add([1, 2, 3], VECTORS[:3])
        docs.add([4], content=["owed"])
        docs.delete([1])
        docs.update([2], content=["stale"])
        found = store.stats()["collections"]["docs"]
        assert (found["records"], found["vectors"], found["owed"], found["stale"]) == (3, 2, 1, 1)
        docs.optimize()
        found = store.stats()["collections"]["docs"]
        assert (found["record_segments"], found["vector_segments"], found["dead_records"]) == (1, 1, 0)
        assert store.verify().vectors == 2
