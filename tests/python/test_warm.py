"""Goal: `warm("huge")` changes no answer and nothing that is saved, wherever it is called; or says what is in its way.

Method: indexes and stores of every kind of codes, opened from files and searched before and after; what the process has
of its own beside what is copied; writes, merges and reloads that come afterwards; bytes flipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lamina
from lamina import Index

ROWS, DIM = 12_000, 128
COPIED = ROWS * (DIM + 128)  # codes and links, if no more
COPIED_NEIGHBOURS = ROWS * (DIM + 4 * DIM + 128 + 128)  # codes, those of 32 neighbours, and links


def clusters(rng: np.random.Generator, rows: int, dim: int = DIM) -> np.ndarray:
    centres = rng.standard_normal((50, dim), np.float32)
    return centres[rng.integers(50, size=rows)] + 0.7 * rng.standard_normal((rows, dim), np.float32)


MEASURED = """
import re, sys
from pathlib import Path
import numpy as np
import lamina

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

queries = np.load(sys.argv[1])
if Path(sys.argv[2]).is_file():
    index = lamina.Index.open(sys.argv[2])
else:
    store = lamina.open(sys.argv[2], read_only=sys.argv[3] == "True", maintenance="manual")
    index = store.get_collection("docs")
index.search(queries)
index.warm()
before = anonymous()
for _ in range(2):
    index.warm("huge")
    index.search(queries)
    print(anonymous() - before)
index = store = None
print(anonymous() - before)
"""


def growth(queries: np.ndarray, path: Path, folder: Path, *, read_only: bool = True) -> list[int]:
    """Bytes that a fresh process has to itself more than before: after each of two calls, and when all is closed."""
    np.save(folder / "queries.npy", queries)
    command = [sys.executable, "-c", MEASURED, folder / "queries.npy", path, str(read_only)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [int(line) for line in said.split()]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clusters(np.random.default_rng(1), ROWS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Path:
    """Files of indexes, by what lies in them."""
    folder = tmp_path_factory.mktemp("saved")
    for name, rows, options in (
        ("nodes", vectors, {"layout": "nodes"}),
        ("neighbours", vectors, {"layout": "neighbours"}),
        ("floats", vectors[:2000], {"quantize": None}),
        ("few", vectors[:50], {}),
        ("none", vectors[:0], {}),
        ("bits", np.packbits(vectors[:2000] > 0, axis=1), {"metric": "hamming"}),
    ):
        index = Index(DIM, **options)
        index.add(rows)
        index.optimize()
        index.add(rows[:300], ids=range(ROWS, ROWS + len(rows[:300])))
        index.delete(range(0, len(rows), 10))
        index.save(folder / name)
    return folder


def queries_of(index: Index, vectors: np.ndarray) -> np.ndarray:
    queries = vectors[:200] + np.float32(0.1)
    return np.packbits(queries > 0, axis=1) if index.metric == "hamming" else queries


@pytest.mark.parametrize("name", ["nodes", "neighbours", "floats", "few", "none", "bits"])
def test_an_index_answers_the_same_and_is_saved_the_same(
    saved: Path, vectors: np.ndarray, name: str, tmp_path: Path
) -> None:
    index = Index.open(saved / name)
    beside = Index.open(saved / name)
    queries = queries_of(index, vectors)
    calls = ({}, {"k": 50, "ef": 100}, {"exact": True}, {"filter": range(1000)})
    expected = [index.search(queries, **options) for options in calls]
    stats = index.stats()
    for _ in range(2):
        index.warm("huge")
        assert [index.search(queries, **options) for options in calls] == expected
        assert index.stats() == stats
    index.warm("mapped")
    index.save(tmp_path / "huge")
    beside.save(tmp_path / "mapped")
    assert without_ids(tmp_path / "huge") == without_ids(tmp_path / "mapped")
    for one in (index, beside):
        one.delete(range(1, len(one), 3))
        one.add(queries[::2], ids=range(9 * ROWS, 9 * ROWS + len(queries[::2])))
    assert [index.search(queries, **options) for options in calls] == [
        beside.search(queries, **options) for options in calls
    ]
    index.optimize()
    beside.optimize()
    assert index.search(queries, exact=True) == beside.search(queries, exact=True)
    assert index.stats()["live"] == beside.stats()["live"]


def without_ids(path: Path) -> list[np.ndarray]:
    """The vectors and ids of a saved index, and what it answers: its segments are named at random."""
    index = Index.open(path, verify=True)
    ids = index.ids
    return [
        path.stat().st_size,
        ids.tolist(),
        index.get(ids).tolist(),
        index.stats()["parts"][0]["calibration"] if len(ids) else None,
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")
@pytest.mark.parametrize("name", ["nodes", "neighbours"])
def test_copies_are_memory_of_this_process(saved: Path, vectors: np.ndarray, name: str, tmp_path: Path) -> None:
    first, second, closed = growth(vectors[:200], saved / name, tmp_path)
    assert first > (COPIED if name == "nodes" else COPIED_NEIGHBOURS)
    assert abs(second - first) < COPIED / 4
    assert closed < first / 2


@pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_has_copies_too(store: Path, vectors: np.ndarray, read_only: bool, tmp_path: Path) -> None:
    first, second, closed = growth(vectors[:200], store, tmp_path, read_only=read_only)
    assert first > COPIED
    assert abs(second - first) < COPIED / 4
    assert closed < first / 2


def test_damage_is_told(saved: Path, tmp_path: Path) -> None:
    whole = (saved / "nodes").read_bytes()
    for share in (0.02, 0.1, 0.2):  # in what is derived
        data = bytearray(whole)
        data[int(len(data) * share)] ^= 4
        (tmp_path / "damaged").write_bytes(data)
        index = Index.open(tmp_path / "damaged")
        for _ in range(2):
            with pytest.raises(lamina.CorruptionError):
                index.warm("huge")


@pytest.mark.parametrize("pages", ["", "Huge", "small", None, 2, b"huge", ["huge"]])
def test_other_pages_are_refused(saved: Path, pages: object, store: Path) -> None:
    with pytest.raises(ValueError, match='"mapped" or "huge"'):
        Index.open(saved / "few").warm(pages)
    with lamina.open(store, read_only=True) as opened, pytest.raises(ValueError, match='"mapped" or "huge"'):
        opened.get_collection("docs").warm(pages)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("stores") / "store"
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=lamina.Model("m", dim=DIM, metric="cosine"))
        docs.add(range(ROWS), vectors, metadata=[{"n": n} for n in range(ROWS)])
        docs.optimize()
        docs.delete(range(0, ROWS, 10))
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def answers(docs: lamina.Collection | lamina.Snapshot, queries: np.ndarray) -> list[object]:
    calls = ({}, {"k": 50, "ef": 100}, {"exact": True}, {"filter": {"n": {"$lt": 900}}})
    hits = [docs.search(queries, **options) for options in calls]
    return [(one.ids.tolist(), one.distances.tolist()) for one in hits]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_collection_answers_the_same(store: Path, vectors: np.ndarray, read_only: bool) -> None:
    queries = vectors[:100] + np.float32(0.1)
    with lamina.open(store, read_only=read_only, maintenance="manual") as opened:
        docs = opened.get_collection("docs")
        older = docs.snapshot()
        version = docs.version
        expected = answers(docs, queries)
        for _ in range(2):
            docs.warm("huge")
            assert answers(docs, queries) == answers(docs.snapshot(), queries) == expected
        assert answers(older, queries) == expected
        assert docs.version == version
        assert opened.verify().complete
    with pytest.raises(lamina.ClosedError):
        docs.warm("huge")


def test_writing_goes_on(store: Path, vectors: np.ndarray) -> None:
    fresh = clusters(np.random.default_rng(2), 1500)
    with lamina.open(store, maintenance="manual") as opened, lamina.open(store, read_only=True) as reading:
        docs, read = opened.get_collection("docs"), reading.get_collection("docs")
        for one in (docs, read):
            one.warm("huge")
        docs.upsert(range(500), fresh[:500])
        docs.add(range(ROWS, ROWS + 1000), fresh[500:])
        docs.delete(range(600, 700))
        for step in (lambda: None, opened._shared.core.seal, docs.optimize, lambda: docs.warm("huge"), docs.optimize):
            step()
            reading.reload()
            read.warm("huge")
            for one in (docs, read):
                hits = one.search(fresh, k=1, ef=100)
                assert (hits.ids[:, 0] == np.r_[0:500, ROWS : ROWS + 1000]).mean() > 0.99
                assert one.count() == len(one.search(vectors[0], k=10 * ROWS, exact=True)) == docs.count()
            assert answers(docs, fresh[:50]) == answers(read, fresh[:50])
        assert opened.verify().complete
        docs.branch("other")
        other = opened.get_collection("other")
        other.warm("huge")
        assert answers(other, fresh[:50]) == answers(docs, fresh[:50])
    with lamina.open(store) as opened:
        assert opened.verify().complete


def test_a_closed_collection_and_one_that_is_gone(store: Path) -> None:
    with lamina.open(store, maintenance="manual") as opened:
        docs = opened.get_collection("docs")
        again = opened.get_collection("docs")
        docs.close()
        with pytest.raises(lamina.ClosedError):
            docs.warm("huge")
        opened.drop_collection("docs")
        with pytest.raises(lamina.NotFoundError):
            again.warm("huge")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_budget_bounds_what_is_kept(store: Path, vectors: np.ndarray, read_only: bool) -> None:
    with lamina.open(store, memory=1 << 20, read_only=read_only) as opened:
        docs = opened.get_collection("docs")
        with pytest.raises(ValueError, match="memory=1048576"):
            docs.warm("huge")
        docs.warm()
        assert len(docs.search(vectors[0])) == 10
        assert opened.stats()["memory"]["in_place"] <= 1 << 20


def test_a_damaged_store_says_so(store: Path) -> None:
    large = [path for path in (store / "files").iterdir() if path.stat().st_size > ROWS * DIM * 4]
    for path in large:  # one of them is of an older version
        data = bytearray(path.read_bytes())
        data[len(data) // 20] ^= 1
        path.write_bytes(data)
    with lamina.open(store, read_only=True) as opened, pytest.raises(lamina.CorruptionError) as caught:
        opened.get_collection("docs").warm("huge")
    assert Path(caught.value.file) in large
