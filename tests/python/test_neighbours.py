"""All rows against all rows: graph, join, groups, duplicates.

Goal: what NumPy, SciPy and scikit-learn's definition say, on data small enough to do it by brute force; approximate
answers reach a stated recall. Method: exact and approximate runs, with owed records, equal vectors, ids of both kinds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

import lamina
from lamina import neighbours
from lamina.errors import ConflictError

DIM = 16
SCAN = {"ef": None, "recall": None, "exact": True, "threads": None}


def clustered(rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Clusters, each with close pairs; some rows are equal."""
    centres = rng.standard_normal((rows // 10, DIM))
    points = centres[rng.integers(0, len(centres), rows)] + 0.3 * rng.standard_normal((rows, DIM))
    points[rows // 2 : rows // 2 + rows // 5] = points[: rows // 5] + 0.02 * rng.standard_normal((rows // 5, DIM))
    points[-7:] = points[0]
    return points.astype(np.float32)


def distances(vectors: NDArray[np.float32], metric: str) -> NDArray[np.float64]:
    rows = vectors.astype(np.float64)
    if metric == "l2":
        return np.asarray(((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(1 - rows @ rows.T)


def index_of(vectors: NDArray[np.float32], metric: str, ids: Any = None) -> lamina.Index:
    index = lamina.Index(DIM, metric)
    index.add(vectors, ids)
    return index


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as opened:
        yield opened


def collection(store: lamina.Store, vectors: NDArray[np.float32], ids: Any = None) -> lamina.Collection:
    docs = store.create_collection("docs", model=lamina.Model("own", dim=DIM))
    ids = np.arange(len(vectors)) if ids is None else ids
    half = len(vectors) // 2
    docs.add(ids[:half], vectors[:half], metadata={"n": range(half)})
    docs.optimize()
    docs.add(ids[half:], vectors[half:], metadata={"n": range(half, len(vectors))})
    return docs


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("exact", [True, False])
def test_graph(metric: str, exact: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 97)
    vectors, k = clustered(rng, 400), 9
    ids = rng.permutation(4000)[:400]
    graph = index_of(vectors, metric, ids).knn_graph(k, exact=exact)
    assert graph.ids.tolist() == sorted(ids.tolist())
    matrix = graph.to_scipy()
    matrix.sum()  # SciPy takes the arrays as they are
    assert (len(graph), matrix.shape, matrix.nnz) == (400, (400, 400), 400 * k)
    assert not (graph.indices == np.repeat(np.arange(400), k)).any()
    true = distances(vectors[np.argsort(ids)], metric)
    np.fill_diagonal(true, np.inf)
    nearest = np.sort(true, axis=1)[:, :k]
    found = graph.distances.reshape(400, k)
    np.testing.assert_allclose(found, np.take_along_axis(true, graph.indices.reshape(400, k), axis=1), atol=1e-4)
    assert (np.diff(found, axis=1) >= 0).all()
    share = (found <= nearest[:, -1:] + 1e-5).mean()
    assert share == 1 if exact else share >= 0.9


def test_graph_of_a_collection(store: lamina.Store, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 120)
    names = [f"d{n:03}" for n in rng.permutation(120)]
    docs = collection(store, vectors, names)
    docs.upsert(["owed"], content=["no vector"])
    snapshot = docs.snapshot()
    docs.delete(names[:50])
    graph = snapshot.knn_graph(5, exact=True)
    assert graph.ids.tolist() == sorted(names)
    true = distances(vectors[np.argsort(names)], "cosine")
    np.fill_diagonal(true, np.inf)
    np.testing.assert_allclose(graph.distances.reshape(120, 5), np.sort(true, axis=1)[:, :5], atol=1e-5)
    assert len(docs.knn_graph(5)) == 70
    assert "70 rows" in repr(docs.knn_graph(5))


def test_graph_of_what_passes_a_filter(store: lamina.Store, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 120)
    docs = collection(store, vectors)
    graph = docs.snapshot(filter={"n": {"$lt": 70}}).knn_graph(5, exact=True)
    assert graph.ids.tolist() == list(range(70))
    true = distances(vectors[:70], "cosine")
    np.fill_diagonal(true, np.inf)
    np.testing.assert_allclose(graph.distances.reshape(70, 5), np.sort(true, axis=1)[:, :5], atol=1e-5)


@pytest.mark.parametrize("recall", [0.5, 0.9, None, 0.99])
def test_the_breadth_is_measured(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, recall: Any) -> None:
    monkeypatch.setattr(neighbours, "LEAST_MEASURED", 1000)
    vectors = rng.standard_normal((2000, DIM)).astype(np.float32)
    index = index_of(vectors, "l2")
    index.optimize()
    breadths = []
    search = lamina.Index.search
    monkeypatch.setattr(lamina.Index, "search", lambda *a, **named: breadths.append(named) or search(*a, **named))
    graph = index.knn_graph(10, recall=recall)
    exact = index.knn_graph(10, exact=True)
    reach = exact.distances.reshape(-1, 10)[:, -1:]
    assert (graph.distances.reshape(-1, 10) <= reach).mean() >= (recall or 0.95)
    used = [named["ef"] for named in breadths if named.get("ef")]
    assert used[0] == 11
    assert used == sorted(used)
    assert recall != 0.5 or used[-1] == 11
    joined = index.self_join(3.0, recall=recall)
    assert len(joined.left) >= (recall or 0.95) * len(pairs_within(vectors, "l2", 3.0))
    for wrong in (0, 1.5, "x"):
        with pytest.raises((ValueError, TypeError), match="recall"):
            index.knn_graph(3, recall=wrong)  # type: ignore[arg-type]


def test_rows_that_come_meanwhile_are_in_no_graph(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((50, DIM)).astype(np.float32)
    index = index_of(vectors, "l2")
    rows = index._rows()
    index.add(vectors + np.float32(0.001), np.arange(50) * 2 + 1000)
    index.add(vectors[:5] - np.float32(0.001), np.arange(5) - 100)
    near = list(rows.nearest(np.arange(50), 8, {"exact": True}))
    assert all((part.positions >= 0).all() and len(part.positions) == part.counts.sum() for part in near)
    positions = np.split(near[0].positions, np.cumsum(near[0].counts)[:-1])
    true = np.argsort(distances(vectors, "l2"), axis=1)[:, 1:]
    assert all(found.tolist() == true[at, : len(found)].tolist() for at, found in enumerate(positions))


def test_small_graphs(store: lamina.Store) -> None:
    assert index_of(np.ones((0, DIM), np.float32), "l2").knn_graph(3).to_scipy().shape == (0, 0)
    one = index_of(np.ones((1, DIM), np.float32), "l2").knn_graph(3)
    assert (one.indptr.tolist(), one.indices.tolist()) == ([0, 0], [])
    graph = index_of(np.ones((3, DIM), np.float32), "cosine", [5, 7, 9]).knn_graph(10)
    assert graph.indptr.tolist() == [0, 2, 4, 6]
    assert [sorted(part.tolist()) for part in np.split(graph.indices, [2, 4])] == [[1, 2], [0, 2], [0, 1]]
    empty = store.create_collection("empty", model=lamina.Model("own", dim=DIM))
    assert (len(empty.knn_graph(2)), empty.near_duplicates(0.1), len(empty.self_join(0.1).left)) == (0, [], 0)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises((ValueError, TypeError), match="k is"):
            empty.knn_graph(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ef"):
        index_of(np.ones((3, DIM), np.float32), "l2").knn_graph(1, ef=3, recall=0.5)


def pairs_within(vectors: NDArray[np.float32], metric: str, radius: float) -> set[tuple[int, int]]:
    left, right = np.nonzero(np.triu(distances(vectors, metric) <= radius, 1))
    return set(zip(left.tolist(), right.tolist(), strict=True))


@pytest.mark.parametrize(("metric", "radius"), [("cosine", 0.05), ("l2", 1.0), ("ip", -14.0)])
def test_join(metric: str, radius: float, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 300)
    index = index_of(vectors, metric)
    true = pairs_within(vectors, metric, radius)
    assert len(true) > 30
    found = index.self_join(radius, exact=True)
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == true
    assert len(found.left) == len(true)
    assert (found.left < found.right).all()
    np.testing.assert_allclose(found.distances, distances(vectors, metric)[found.left, found.right], atol=1e-4)
    near = index.self_join(radius)
    also = set(zip(near.left.tolist(), near.right.tolist(), strict=True))
    assert also <= true
    assert len(also) >= 0.95 * len(true)


def test_join_of_more_than_it_looks_for_at_first(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_FOUND", 500)
    vectors = np.concatenate([np.ones((90, DIM)), rng.standard_normal((60, DIM))]).astype(np.float32)
    found = index_of(vectors, "l2").self_join(1e-6, exact=True)
    assert (len(found.left), int(found.right.max())) == (90 * 89 // 2, 89)
    everything = index_of(vectors, "l2").self_join(1e9, exact=True)
    assert len(everything.left) == 150 * 149 // 2
    assert len(index_of(vectors, "l2").self_join(-1).left) == 0
    for wrong in ("x", None, True, float("nan")):
        with pytest.raises((TypeError, ValueError), match="it is a distance"):
            index_of(vectors, "l2").self_join(wrong)  # type: ignore[arg-type]


def test_groups(store: lamina.Store, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 300)
    docs = collection(store, vectors)
    _, label = connected_components(distances(vectors, "cosine") <= 0.03)
    members: dict[int, list[int]] = {}
    for row, group in enumerate(label.tolist()):
        members.setdefault(group, []).append(row)
    true = sorted(group for group in members.values() if len(group) > 1)
    assert [group.tolist() for group in docs.near_duplicates(0.03, exact=True)] == true
    assert len(true) > 5
    chain = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 1, 40)], np.float32)
    line = lamina.Index(2)
    line.add(chain, rng.permutation(40))
    assert [len(group) for group in line.near_duplicates(4e-4, exact=True)] == [40]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_of_many_equal_rows_one_is_searched_for(metric: str, rng: np.random.Generator) -> None:
    vectors = clustered(rng, 600)
    vectors[100:500] = vectors[3]
    index, asked = index_of(vectors, metric), 0

    def counting(queries: Any, *arguments: Any, **options: Any) -> lamina.BatchHits:
        nonlocal asked
        asked += len(queries)
        return rows.search(queries, *arguments, **options)

    rows = index._rows()
    threshold = {"cosine": 0.03, "ip": -9.0, "l2": 0.5}[metric]
    alike = rows.first_alike()
    assert (np.flatnonzero(alike == 3)[1:] >= 100).all()
    found = neighbours.join(rows._replace(search=counting), "t", threshold, SCAN, False, alike).groups()
    assert asked < 5 * 200
    _, label = connected_components(distances(vectors, metric) <= threshold)
    true = [np.flatnonzero(label == group).tolist() for group in range(label.max() + 1)]
    assert sorted(group.tolist() for group in found) == sorted(group for group in true if len(group) > 1)
    assert [group.tolist() for group in index.near_duplicates(threshold, exact=True)] == [g.tolist() for g in found]
    for keep in ("first", "last"):
        gone = index.deduplicate(threshold, keep=keep, exact=True, dry_run=True)
        near = distances(vectors, metric) <= threshold
        assert near[gone.deleted, gone.kept].all()
        left = np.setdiff1d(np.arange(600), gone.deleted)
        assert not (near[np.ix_(left, left)] & ~np.eye(len(left), dtype=bool)).any()


@pytest.mark.parametrize("keep", ["first", "last", "most"])
def test_deduplicate(store: lamina.Store, rng: np.random.Generator, keep: str) -> None:
    vectors = clustered(rng, 300)
    ids = rng.permutation(300)  # the order in which they are added is not that of ids
    docs = collection(store, vectors, ids)
    order = {"first": np.arange(300), "last": np.arange(300)[::-1], "most": rng.permutation(300)}[keep]
    weight = np.empty(300)
    weight[order] = np.arange(300)[::-1]
    near = distances(vectors, "cosine") <= 0.03
    stays = np.ones(300, bool)
    for row in order:  # each that stays sends away what is near it
        if stays[row]:
            stays[near[row] & (np.arange(300) != row) & (weight < weight[row])] = False
    how: Any = keep if keep != "most" else lambda records: max(records, key=lambda r: weight[r.metadata["n"]]).id
    version = docs.version
    plan = docs.deduplicate(0.03, keep=how, exact=True, dry_run=True)
    assert (docs.version, plan.version, len(docs)) == (version, None, 300)
    done = docs.deduplicate(0.03, keep=how, exact=True)
    assert sorted(docs.ids().tolist()) == sorted(ids[stays].tolist())
    assert sorted(ids[~stays].tolist()) == done.deleted.tolist() == plan.deleted.tolist()
    assert (done.version, docs.version) == (version + 1, version + 1)
    row_of = np.argsort(ids)
    true = distances(vectors, "cosine")[row_of[done.deleted], row_of[done.kept]]
    np.testing.assert_allclose(done.distances, true, atol=1e-5)
    assert (true <= 0.0301).all()
    assert set(done.kept.tolist()) <= set(ids[stays].tolist())
    again = docs.deduplicate(0.03, keep=how, exact=True)
    assert (len(again.deleted), again.version, docs.version) == (0, None, version + 1)


def test_deduplicate_an_index(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((50, DIM)).astype(np.float32)
    index = index_of(np.concatenate([vectors, vectors[:9]]), "l2")
    assert index.deduplicate(0.0, dry_run=True).deleted.tolist() == list(range(50, 59))
    assert len(index) == 59
    done = index.deduplicate(0.0, keep=lambda ids: ids.max())
    assert (done.deleted.tolist(), done.kept.tolist()) == (list(range(9)), list(range(50, 59)))
    assert len(index) == 50


def test_deduplicate_refuses(store: lamina.Store, rng: np.random.Generator) -> None:
    docs = collection(store, clustered(rng, 60))
    with pytest.raises(ValueError, match="keep is"):
        docs.deduplicate(0.1, keep="best")
    with pytest.raises(ValueError, match="returns the id that stays"):
        docs.deduplicate(0.1, keep=lambda records: -5)

    def meanwhile(records: lamina.Records) -> Any:
        docs.upsert([1000], np.ones((1, DIM)))
        return records[0].id

    with pytest.raises(ConflictError):
        docs.deduplicate(0.1, keep=meanwhile)
    assert len(docs) == 61
