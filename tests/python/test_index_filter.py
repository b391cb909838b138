"""Searches of a lamina.Index that may return some of its rows only.

Goal: only what passes is returned, always as much of it as was asked for, nearest first; what a filter may be; a
radius; and what a search tells of itself. Method: NumPy as the oracle, over metrics, shares, dead rows, and parts.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lamina
from lamina import IdFilter, Index


def clusters(rng: np.random.Generator, rows: int, dim: int = 24) -> np.ndarray:
    centres = rng.normal(size=(20, dim))
    vectors: np.ndarray = centres[rng.integers(20, size=rows)] + 0.4 * rng.normal(size=(rows, dim))
    return vectors.astype(np.float32)


def distances_of(metric: str, query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    q, v = query.astype(np.float64), vectors.astype(np.float64)
    if metric == "l2":
        squared: np.ndarray = ((v - q) ** 2).sum(axis=1)
        return squared
    product: np.ndarray = v @ q
    if metric == "cosine":
        product = product / np.linalg.norm(q) / np.linalg.norm(v, axis=1)
    return 1 - product


@pytest.fixture(scope="module", params=["cosine", "ip", "l2"])
def filled(request: pytest.FixtureRequest) -> tuple[Index, np.ndarray, np.ndarray]:
    """An index of a merged part and a growing one, a tenth of the rows dead; its vectors by id, and its live ids."""
    rng = np.random.default_rng(3)
    vectors = clusters(rng, 5000)
    index = Index(24, request.param, ef_construction=60)
    index.add(vectors[:3500])
    index.optimize()
    index.add(vectors[3500:])
    index.delete(np.arange(0, 5000, 10))
    return index, vectors, np.setdiff1d(np.arange(5000), np.arange(0, 5000, 10))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_a_filter_finds_the_nearest_that_pass(filled: tuple[Index, np.ndarray, np.ndarray], share: float) -> None:
    index, vectors, live = filled
    rng = np.random.default_rng(5)
    queries = clusters(rng, 12)
    found = wanted = 0
    for query in queries:
        distances = distances_of(index.metric, query, vectors)
        count = int(share * 5000)
        for ids in (
            rng.choice(5000, count, replace=False),
            np.argsort(distances)[:count],  # what is nearest
            np.argsort(-distances)[:count],  # and farthest
        ):
            mask = np.zeros(5000, bool)
            mask[ids] = True
            allowed = np.intersect1d(ids, live)
            truth = allowed[np.argsort(distances[allowed], kind="stable")][:10]
            exact = index.search(query, filter=mask, exact=True)
            np.testing.assert_allclose(distances[exact.ids], distances[truth], atol=1e-4)
            hits = index.search(query, filter=ids)
            assert len(hits) == len(truth)
            assert np.isin(hits.ids, allowed).all()
            assert (np.diff(hits.distances) >= 0).all()
            np.testing.assert_allclose(hits.distances, distances[hits.ids], atol=1e-4)
            assert hits == index.search(query, filter=IdFilter(ids))
            found += np.isin(hits.ids, truth).sum()
            wanted += len(truth)
    assert found >= 0.94 * wanted


def test_a_batch_is_filtered_as_single_queries_are(filled: tuple[Index, np.ndarray, np.ndarray]) -> None:
    index, vectors, _ = filled
    allowed = IdFilter(np.arange(1, 5000, 9))
    for exact in (False, True):
        batch = index.search(vectors[:30], 7, filter=allowed, exact=exact)
        assert list(batch) == [index.search(query, 7, filter=allowed, exact=exact) for query in vectors[:30]]
    few = index.search(vectors[:4], 5, filter=[11, 12])
    assert few.counts.tolist() == [2] * 4
    assert (few.ids[:, 2:] == -1).all()


def test_no_more_than_pass_and_none_if_none_do(filled: tuple[Index, np.ndarray, np.ndarray]) -> None:
    index, vectors, _ = filled
    assert sorted(index.search(vectors[0], 10_000, filter=[1, 2, 3, 3, 99_999, -7]).ids.tolist()) == [1, 2, 3]
    assert len(index.search(vectors[0], 1000, filter=np.arange(2000))) == 1000
    for nothing in ([], np.zeros(5000, bool), [0, 10], [99_999], np.empty(0, np.int64)):  # 0 and 10 are dead
        hits = index.search(vectors[0], filter=nothing)
        assert len(hits) == 0
        assert index.search(vectors[:3], 4, filter=nothing).counts.tolist() == [0] * 3


def test_a_filter_is_used_again_while_rows_come_and_go() -> None:
    index = Index(2, "l2")
    index.add([[0, 0], [1, 0], [2, 0]])
    allowed = IdFilter([1, 2, 3, 3])
    assert len(allowed) == 3
    assert "3 ids" in repr(allowed)
    assert index.search([0, 0], filter=allowed).ids.tolist() == [1, 2]
    index.add([[0, 0], [0, 0]])
    assert index.search([0, 0], filter=allowed).ids.tolist() == [3, 1, 2]
    index.delete([1])
    assert index.search([0, 0], filter=allowed).ids.tolist() == [3, 2]
    index.optimize()
    assert index.search([0, 0], filter=allowed).ids.tolist() == [3, 2]
    assert Index(2, "l2").search([0, 0], filter=allowed).ids.tolist() == []  # and for another index
    assert index.search([0, 0], filter=allowed).ids.tolist() == [3, 2]


def test_one_filter_serves_many_threads(filled: tuple[Index, np.ndarray, np.ndarray]) -> None:
    index, vectors, _ = filled
    allowed = IdFilter(np.arange(1, 5000, 3))
    answers: list[Any] = []

    def search() -> None:
        answers.append(index.search(vectors[5], filter=allowed))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [answers[0]] * 4


@pytest.mark.parametrize(
    "allowed",
    [
        [1, 3], (1, 3), np.array([3, 1], np.uint8), [False, True, False, True], {1, 3}, pa.array([1, 3]),
        pa.array([False, True, False, True]), pa.chunked_array([[False, True], [False, True]]),
    ],
)  # fmt: skip
def test_what_a_filter_may_be(allowed: Any) -> None:
    index = Index(1, "l2")
    index.add([[0], [1], [2], [3]])
    assert index.search([3.0], filter=allowed).ids.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("allowed", "error"),
    [
        (5, TypeError), ("ab", TypeError), ([1.5], TypeError), ([True, 1], TypeError), (np.array([1.0]), TypeError),
        (np.zeros((2, 2), bool), ValueError), ([-1], ValueError), ([2**63], ValueError),
    ],
)  # fmt: skip
def test_what_a_filter_may_not_be(allowed: Any, error: Any) -> None:
    index = Index(1, "l2")
    index.add([[0], [1]])
    with pytest.raises(error):
        index.search([0.0], filter=allowed)


def test_no_hit_is_farther_than_the_radius(filled: tuple[Index, np.ndarray, np.ndarray]) -> None:
    index, vectors, live = filled
    found = wanted = 0
    for query in vectors[:5]:
        distances = distances_of(index.metric, query, vectors)
        order = live[np.argsort(distances[live])]
        for within in (0, 1, 7, 50):
            radius = distances[order[0]] - 1 if within == 0 else distances[order[within - 1 : within + 1]].mean()
            hits = index.search(query, 30, radius=radius, exact=True)
            assert hits.ids.tolist() == order[: min(within, 30)].tolist()
            near = index.search(query, 30, radius=radius, ef=200)
            assert np.isin(near.ids, order[:within]).all()
            found, wanted = found + np.isin(near.ids, hits.ids).sum(), wanted + len(hits)
            batch = index.search(vectors[:2], 30, radius=radius)
            assert (batch.distances[batch.ids >= 0] <= radius).all()
    assert found >= 0.9 * wanted
    assert len(index.search(vectors[0], 5, radius=np.inf)) == 5
    assert len(index.search(vectors[0], 5, radius=-np.inf)) == 0


@pytest.mark.parametrize(("radius", "error"), [(float("nan"), ValueError), ("near", TypeError)])
def test_what_a_radius_may_not_be(radius: Any, error: type[Exception]) -> None:
    index = Index(1, "l2")
    index.add([[0.0]])
    with pytest.raises(error, match="radius"):
        index.search([0.0], radius=radius)


def test_a_search_tells_what_it_did(filled: tuple[Index, np.ndarray, np.ndarray]) -> None:
    index, vectors, _ = filled
    assert index.search(vectors[0]).plan is None
    plan = index.search(vectors[0], explain=True).plan
    assert plan is not None
    assert plan[0]["part"] == 0
    assert plan[0]["method"] == "walk"
    assert {step["part"] for step in plan} == {0, "head"}
    assert plan[0]["rows"] == 3500
    assert plan[0]["passing"] == 3150
    assert plan[0]["measured"] >= plan[0]["breadth"] >= 10
    assert plan[0]["microseconds"] > 0
    (step,) = index.search(vectors[0], filter=[1, 2], explain=True).plan or []
    assert (step["method"], step["passing"], step["measured"], step["breadth"]) == ("scan", 2, 2, 0)
    assert index.search(vectors[0], filter=[], explain=True).plan == []
    with pytest.raises(ValueError, match="single"):
        index.search(vectors[:2], explain=True)


def test_a_collection_has_radius_and_explain(tmp_path: Any) -> None:
    with lamina.open(tmp_path / "store", create=True) as store:
        model = lamina.Model("m", revision="1", dim=2, metric="l2")
        docs = store.create_collection("docs", model=model)
        docs.add(["a", "b", "c"], vectors=[[0, 0], [1, 0], [3, 0]])
        hits = docs.search([0.0, 0.0], radius=1.0, explain=True)
        assert hits.ids.tolist() == ["a", "b"]
        assert hits.plan is not None
        assert hits.plan[0]["part"] == "head"
        assert docs.snapshot().search([0.0, 0.0], radius=0.5).ids.tolist() == ["a"]
        assert docs.search([[0.0, 0.0]], 2, radius=0.5).counts.tolist() == [1]
