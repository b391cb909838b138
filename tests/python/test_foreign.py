"""Indexes of hnswlib and faiss, taken over.

Goal: ids and vectors come bit by bit, deleted rows do not, and what holds no vectors is refused. Method: their own
libraries make the indexes and say what is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import pytest

import lamina
from lamina.errors import CorruptionError, DuplicateIdError, StorageError

N, DIM = 300, 12


@pytest.fixture
def vectors(rng: np.random.Generator) -> Any:
    return rng.standard_normal((N, DIM)).astype(np.float32)


def of_hnswlib(space: str, vectors: Any, ids: Any) -> Any:
    index = hnswlib.Index(space, DIM)
    index.init_index(2 * N, M=8)
    index.add_items(vectors, ids)
    return index


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("from_file", [False, True])
def test_hnswlib(space: str, from_file: bool, vectors: Any, tmp_path: Path) -> None:
    ids = np.arange(N) * 7 + 3
    index = of_hnswlib(space, vectors, ids)
    stored = np.asarray(index.get_items(ids), np.float32)
    index.mark_deleted(10)
    source: Any = index
    if from_file:
        index.save_index(str(tmp_path / "h.bin"))
        source = tmp_path / "h.bin"
    taken = lamina.from_hnswlib(source, metric=space)
    live = ids[ids != 10]
    assert (taken.metric, taken.ids.tolist()) == (space, live.tolist())
    assert taken.get(live).tobytes() == stored[ids != 10].tobytes()
    hits = taken.search(vectors[5], k=3, exact=True)
    labels, distances = index.knn_query(vectors[5], k=3)
    assert hits.ids.tolist() == labels[0].tolist()
    np.testing.assert_allclose(hits.distances, distances[0], atol=1e-5)


def test_hnswlib_into_what_is_there(vectors: Any, tmp_path: Path) -> None:
    index = of_hnswlib("ip", vectors, np.arange(N))
    own = lamina.Index(DIM, "ip")
    assert lamina.from_hnswlib(index, own) is own
    assert len(own) == N
    with pytest.raises(DuplicateIdError):
        lamina.from_hnswlib(index, own)
    with lamina.open(tmp_path / "s.lamina", create=True) as store:
        docs = store.create_collection("docs", model=lamina.Model("own", dim=DIM, metric="ip"))
        docs.add([-5], vectors[:1])
        assert lamina.from_hnswlib(index, docs) is docs
        assert len(docs) == N + 1
        assert docs.get(range(N)).vectors.tobytes() == vectors.tobytes()
        with pytest.raises(ValueError, match="'ip', and those of into= for 'l2'"):
            lamina.from_hnswlib(index, lamina.Index(DIM, "l2"))
    with pytest.raises(TypeError, match="into="):
        lamina.from_hnswlib(index, [])  # type: ignore[type-var]
    assert len(lamina.from_hnswlib(hnswlib.Index("l2", DIM))) == 0


def test_files_that_are_none_of_hnswlib(vectors: Any, tmp_path: Path) -> None:
    path = tmp_path / "h.bin"
    of_hnswlib("l2", vectors, np.arange(N)).save_index(str(path))
    with pytest.raises(ValueError, match="metric="):
        lamina.from_hnswlib(path)
    with pytest.raises(ValueError, match="not one of"):
        lamina.from_hnswlib(path, metric="manhattan")
    sound = path.read_bytes()
    for cut in (0, 50, 96, 1000, N * 100):
        path.write_bytes(sound[:cut])
        with pytest.raises(CorruptionError, match=r"h\.bin"):
            lamina.from_hnswlib(path, metric="l2")
    for at in (0, 16, 24, 32, 40, 64):  # offset, rows, width, label, data, links
        damaged = bytearray(sound)
        damaged[at + 2] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(CorruptionError, match=r"h\.bin"):
            lamina.from_hnswlib(path, metric="l2")
    with pytest.raises(StorageError):
        lamina.from_hnswlib(tmp_path / "nothing", metric="l2")
    with pytest.raises(TypeError, match=r"hnswlib\.Index"):
        lamina.from_hnswlib(7, metric="l2")


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "HNSW8,Flat", "IDMap,Flat", "IDMap2,HNSW8,Flat"])
@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("from_file", [False, True])
def test_faiss(kind: str, metric: str, from_file: bool, vectors: Any, tmp_path: Path) -> None:
    index = faiss.index_factory(DIM, kind, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    ids = np.arange(N)
    if kind.startswith("IDMap"):
        ids = np.arange(N)[::-1].copy() * 5
        index.add_with_ids(vectors, ids)
    else:
        index.add(vectors)
    source: Any = index
    if from_file:
        faiss.write_index(index, str(tmp_path / "f.index"))
        source = tmp_path / "f.index"
    taken = lamina.from_faiss(source)
    assert taken.metric == metric
    assert taken.get(ids).tobytes() == vectors.tobytes()
    assert len(taken) == N
    found = taken.search(vectors[5], k=5, exact=True).ids.tolist()
    assert found == index.search(vectors[5:6], 5)[1][0].tolist()


def test_faiss_with_vectors_for_cosine(vectors: Any, tmp_path: Path) -> None:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(DIM)
    index.add(unit)
    assert lamina.from_faiss(index, metric="cos").metric == "cosine"
    with lamina.open(tmp_path / "s.lamina", create=True) as store:
        docs = store.create_collection("docs", model=lamina.Model("own", dim=DIM))
        with pytest.raises(ValueError, match="if they fit, metric='cosine'"):
            lamina.from_faiss(index, docs)
        lamina.from_faiss(index, docs, metric="cosine")
        assert docs.get(range(N)).vectors.tobytes() == unit.tobytes()


def test_faiss_that_holds_no_vectors(vectors: Any, tmp_path: Path) -> None:
    for kind in ("SQ8", "HNSW8_SQ8", "IVF4,Flat", "PCA4,Flat"):
        index = faiss.index_factory(DIM, kind)
        index.train(vectors)
        index.add(vectors)
        with pytest.raises(ValueError, match="flat"):
            lamina.from_faiss(index)
    with pytest.raises(ValueError, match="metric"):
        lamina.from_faiss(faiss.IndexFlat(DIM, faiss.METRIC_L1))
    assert len(lamina.from_faiss(faiss.IndexFlatL2(DIM))) == 0
    (tmp_path / "f.index").write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptionError, match=r"f\.index"):
        lamina.from_faiss(tmp_path / "f.index")
