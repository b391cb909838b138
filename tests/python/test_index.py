"""lamina.Index: what it takes, what it answers, and what survives a file.

Goal: every value rule of the index, and answers that are right. Method: a few lines of NumPy as the oracle of exact
search, up to ties; recall on seeded clusters; the same again after save and open, from other threads and processes, and
under every instruction set.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import DimensionMismatchError, DuplicateIdError, Index, InvalidVectorError, NotFoundError

METRICS = ("cosine", "ip", "l2")


def clusters(rng: np.random.Generator, rows: int, dim: int = 24, groups: int = 20) -> np.ndarray:
    centres = rng.normal(size=(groups, dim))
    vectors: np.ndarray = centres[rng.integers(groups, size=rows)] + 0.4 * rng.normal(size=(rows, dim))
    return vectors.astype(np.float32)


def distances_of(metric: str, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """All distances, in float64; bits where they are bits."""
    if metric == "hamming":
        return np.unpackbits(queries[:, None] ^ vectors[None], axis=2).sum(axis=2)
    q, v = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "l2":
        return ((q[:, None] - v[None]) ** 2).sum(axis=2)
    if metric == "ip":
        return 1 - q @ v.T
    lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(v, axis=1)[None]
    return 1 - np.divide(q @ v.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def check_exact(hits: Any, ids: np.ndarray, distances: np.ndarray, k: int, tolerance: float = 2e-5) -> None:
    """The hits are the k nearest by `distances`, ties and rounding aside, ascending by (distance, id)."""
    k = min(k, len(ids))
    assert len(hits) == k
    assert len(set(hits.ids.tolist())) == k
    scale = max(1.0, float(np.abs(distances).max()))
    where = {id: i for i, id in enumerate(ids.tolist())}
    told = np.array([distances[where[id]] for id in hits.ids.tolist()])
    np.testing.assert_allclose(hits.distances, told, atol=tolerance * scale, rtol=0)
    np.testing.assert_allclose(told, np.sort(distances)[:k], atol=2 * tolerance * scale, rtol=0)
    order = list(zip(hits.distances.tolist(), hits.ids.tolist(), strict=True))
    assert order == sorted(order)


def recall(index: Index, queries: np.ndarray, vectors: np.ndarray, k: int = 10, **options: Any) -> float:
    nearest = np.argsort(distances_of(index.metric, queries, vectors), axis=1)[:, :k]
    found = index.search(queries, k, **options).ids
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(nearest.tolist(), found.tolist(), strict=True)]))


def filled(vectors: np.ndarray, metric: str = "l2", **options: Any) -> Index:
    index = Index(vectors.shape[1] * (8 if metric == "hamming" else 1), metric, **options)
    index.add(vectors)
    return index


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 7, 400, 1500])
def test_exact_equals_numpy(rng: np.random.Generator, metric: str, dtype: str, optimized: bool, rows: int) -> None:
    vectors = clusters(rng, rows)
    vectors[rows // 2] = 0
    ids = rng.choice(10**12, size=rows, replace=False)
    index = Index(24, metric, dtype=dtype)
    index.add(vectors, ids)
    if optimized:
        index.optimize()
    queries = clusters(rng, 5)
    stored = vectors.astype(dtype)
    for hits, distances in zip(
        index.search(queries, 13, exact=True), distances_of(metric, queries, stored), strict=True
    ):
        check_exact(hits, ids, distances, 13)
    np.testing.assert_array_equal(index.get(ids[::-1]), stored[::-1].astype(np.float32))


@pytest.mark.parametrize("rows", [3, 1500])
def test_hamming(rng: np.random.Generator, rows: int) -> None:
    bits = rng.integers(256, size=(rows, 6), dtype=np.uint8)
    index = filled(bits, "hamming")
    queries = rng.integers(256, size=(4, 6), dtype=np.uint8)
    for exact in (True, False):
        for hits, distances in zip(
            index.search(queries, 8, exact=exact, recall=None if exact else 1.0),
            distances_of("hamming", queries, bits),
            strict=True,
        ):
            if exact:
                check_exact(hits, np.arange(rows), distances, 8)
            assert hits.distances.tolist() == distances[hits.ids].tolist()
    np.testing.assert_array_equal(index.get([2, 0]), bits[[2, 0]])
    assert index.get(1).dtype == np.uint8
    assert index.dtype == np.uint8
    assert index.quantize is None


@pytest.mark.parametrize("metric", METRICS)
def test_recall_by_default(rng: np.random.Generator, metric: str) -> None:
    vectors = clusters(rng, 5500)
    rows, queries = vectors[:5000], vectors[5000:]
    index = Index(24, metric, threads=1)  # the same graph every time
    index.add(rows)
    # 0.95 is an average over held-out rows. By inner product a few rows of large norm are near everything, which a
    # graph of near neighbours serves less well.
    promised = 0.9 if metric == "ip" else 0.95
    assert recall(index, queries, rows) >= promised
    index.optimize()
    assert recall(index, queries, rows) >= promised
    assert recall(index, queries, rows, ef=200) >= (0.95 if metric == "ip" else 0.99)
    assert recall(index, queries, rows, recall=0.99) >= 0.97
    assert recall(index, queries, rows, exact=True) >= 0.999


@pytest.mark.parametrize("quantize", [None, "i8", "auto"])
def test_quantize(rng: np.random.Generator, quantize: str | None) -> None:
    vectors = clusters(rng, 2000)
    index = filled(vectors, quantize=quantize)
    assert index.quantize == (None if quantize is None else "i8")
    assert recall(index, vectors[:100], vectors, ef=100) >= 0.95
    assert index.search(vectors[7]).distances[0] == 0


@pytest.mark.parametrize("quantize", [None, "i8"])
@pytest.mark.parametrize("layout", ["auto", "nodes", "neighbours"])
def test_layout(rng: np.random.Generator, tmp_path: Path, layout: str, quantize: str | None) -> None:
    if layout == "neighbours" and quantize is None:
        with pytest.raises(ValueError, match="layout neighbours goes with 8-bit codes only"):
            Index(24, layout=layout, quantize=quantize)
        return
    vectors = clusters(rng, 1500)
    index = filled(vectors, layout=layout, quantize=quantize)
    index.optimize()
    index.save(tmp_path / "saved")
    opened = Index.open(tmp_path / "saved", verify=True)
    opened.add(vectors[:9])
    opened.optimize()
    opened.save(tmp_path / "again")
    for each in (index, opened, Index.open(tmp_path / "again", verify=True)):
        assert each.layout == layout
        assert recall(each, vectors[:100], vectors, ef=100) >= 0.95
    with pytest.raises(AttributeError):
        index.layout = "nodes"  # type: ignore[misc]


def test_layout_by_default_and_of_a_part(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 1500)
    assert Index(24).layout == "auto"
    for options, said in [({"layout": "nodes"}, "nodes"), ({"quantize": None}, None)]:
        index = filled(vectors, **options)
        index.optimize()
        assert [part["layout"] for part in index.stats()["parts"]] == [said]
    few = filled(vectors[:3])
    few.optimize()
    assert [part["layout"] for part in few.stats()["parts"]] == [None], "three rows have no graph"


@pytest.mark.parametrize("layout", ["", "Nodes", "neighbors"])
def test_an_unknown_layout_is_told_what_there_is(layout: str) -> None:
    with pytest.raises(ValueError, match=f"unknown layout '{layout}': one of auto, nodes, neighbours"):
        Index(24, layout=layout)


@pytest.mark.parametrize("options", [{"dim": 15}, {"dim": 32_769}, {"dim": 64, "metric": "hamming"}])
def test_neighbours_go_with_codes_only(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="layout neighbours goes with 8-bit codes only"):
        Index(**options, layout="neighbours")
    assert Index(**options, layout="nodes").layout == "nodes"


@pytest.mark.parametrize("alias", [("cos", "cosine"), ("dot", "ip"), ("inner_product", "ip"), ("l2sq", "l2")])
def test_aliases_of_metrics(alias: tuple[str, str]) -> None:
    assert Index(4, alias[0]).metric == alias[1]
    assert Index(4, "euclidean").metric == "l2"


@pytest.mark.parametrize("dim", [1, 2, 3, 63, 64, 65, 4096])
def test_dimensions(rng: np.random.Generator, dim: int) -> None:
    vectors = rng.normal(size=(1100 if dim < 100 else 60, dim)).astype(np.float32)
    index = filled(vectors)
    for _ in range(2):
        check_exact(
            index.search(vectors[3], 5, exact=True),
            np.arange(len(vectors)),
            distances_of("l2", vectors[3:4], vectors)[0],
            5,
        )
        assert index.search(vectors[3]).distances[0] == 0
        index.optimize()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dim": 0}, {"dim": -1}, {"dim": 65_537}, {"dim": 12, "metric": "hamming"}, {"metric": "manhattan"}, {"m": 1},
        {"m": 513}, {"ef_construction": 0}, {"dtype": "float64"}, {"dtype": "int8"}, {"threads": 0}, {"seed": -1},
        {"quantize": "i4"}, {"metric": "hamming", "dtype": "float16"}, {"metric": "hamming", "quantize": "i8"},
    ],
)  # fmt: skip
def test_what_an_index_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Index(**{"dim": 16, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"dim": 1.0}, {"dim": True}, {"m": "16"}, {"threads": 1.5}, {"metric": 3}, {"layout": None}]
)
def test_what_an_index_takes_no_part_of(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Index(**{"dim": 16, **wrong})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_not_finite_is_refused_by_row(bad: float) -> None:
    vectors = np.zeros((5, 4))
    vectors[3, 2] = bad
    index = Index(4)
    with pytest.raises(InvalidVectorError, match=r"vector 3 is (NaN|infinite) at element 2"):
        index.add(vectors)
    assert len(index) == 0
    index.add(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"query is (NaN|infinite) at element 2"):
        index.search(vectors[3])
    with pytest.raises(InvalidVectorError, match="query 3"):
        index.search(vectors)


def test_float16_overflow_is_refused() -> None:
    index = Index(2, dtype=np.float16)
    index.add([[65504, -65519.0]])
    with pytest.raises(InvalidVectorError, match="vector 0 is beyond float16"):
        index.add([[65520.0, 0]])
    assert index.search([1e30, 1.0])[0].id == 0  # a query is not stored


def test_another_dimension() -> None:
    index = filled(np.eye(4))
    with pytest.raises(DimensionMismatchError, match="vectors of dimension 5, where 4 is stored"):
        index.add(np.ones((1, 5)))
    for query in (np.ones(3), np.ones(3, np.float32), np.ones((2, 3), np.float32), np.empty((0, 3))):
        with pytest.raises(DimensionMismatchError, match="query of dimension 3, where 4 is stored"):
            index.search(query)
    assert len(index) == 4


def test_shapes_that_are_refused() -> None:
    index = filled(np.eye(4))
    for wrong in (1.0, np.ones(4), np.ones((1, 1, 4)), [[1, 2, 3, 4], [1]]):
        with pytest.raises(ValueError, match=r"."):
            index.add(wrong)
    for wrong in (1.0, np.ones((1, 1, 4)), [[1, 2, 3, 4], [1]]):
        with pytest.raises(ValueError, match=r"."):
            index.search(wrong)
    for wrong in (np.ones((1, 4), bool), np.ones((1, 4), complex), np.ones((1, 4), object)):
        with pytest.raises(TypeError, match="real numbers"):
            index.add(wrong)
        with pytest.raises(TypeError, match="real numbers"):
            index.search(wrong[0])
    assert len(index) == 4


def test_read_only_and_strided_vectors(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 30)
    frozen = vectors.copy()
    frozen.flags.writeable = False
    index = Index(24, "l2")
    index.add(frozen)
    index.add(np.asfortranarray(vectors), np.arange(30) + 100)
    index.add(np.repeat(vectors, 2, axis=0)[::2], np.arange(30) + 200)
    np.testing.assert_array_equal(index.get([3, 103, 203]), vectors[[3, 3, 3]])
    assert index.search(frozen[4], 3).ids.tolist() == [4, 104, 204]
    assert index.search(frozen[::2], 1).ids[:, 0].tolist() == list(range(0, 30, 2))
    assert index.search(np.repeat(vectors[4], 2)[::2], 1)[0].id == 4


def test_k() -> None:
    index = filled(np.eye(4, dtype=np.float32))
    for k in (0, -1, -(2**70)):
        with pytest.raises(ValueError, match="k is"):
            index.search(np.ones(4, np.float32), k)
    for k in (1.0, "1", None):
        with pytest.raises(TypeError):
            index.search(np.ones(4, np.float32), k)
    for k in (4, 5, 10**6, 2**31, 2**63, 2**100, np.uint8(200)):
        assert len(index.search(np.ones(4, np.float32), k)) == 4
    batch = index.search(np.ones((2, 4), np.float32), 7)
    assert batch.ids.shape == batch.distances.shape == (2, 7)
    assert batch.counts.tolist() == [4, 4]
    assert (batch.ids[:, 4:] == -1).all()
    assert np.isposinf(batch.distances[:, 4:]).all()
    assert len(index.search(np.ones((2, 4), np.float32), 2**62)[1]) == 4


def test_ef_and_recall() -> None:
    index = filled(np.eye(4))
    with pytest.raises(ValueError, match="not both"):
        index.search(np.ones(4), ef=10, recall=0.9)
    for wrong in (0, -3):
        with pytest.raises(ValueError, match="ef is"):
            index.search(np.ones(4), ef=wrong)
    for wrong in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(ValueError, match="recall is"):
            index.search(np.ones(4), recall=wrong)
    with pytest.raises(ValueError, match="threads"):
        index.search(np.ones((2, 4)), threads=0)
    assert len(index.search(np.ones(4), ef=1, k=4)) == 4
    assert len(index.search(np.ones(4), ef=2**40, k=4)) == 4
    assert len(index.search(np.ones(4), recall=1.0)) == 4


def test_ids() -> None:
    index = Index(2)
    assert index.add(np.ones((2, 2))).tolist() == [0, 1]
    assert index.add(np.ones((1, 2)), [10]).tolist() == [10]
    assert index.add(np.ones((2, 2))).tolist() == [11, 12]
    assert index.add(np.ones((1, 2)), np.array([5], np.uint16)).tolist() == [5]
    assert index.add(np.ones((1, 2))).tolist() == [13]
    assert index.add(np.ones((2, 2)), [-(2**63), 2**63 - 1]).tolist() == [-(2**63), 2**63 - 1]
    with pytest.raises(ValueError, match="no ids are left"):
        index.add(np.ones((1, 2)))
    assert index.ids.tolist() == [-(2**63), 0, 1, 5, 10, 11, 12, 13, 2**63 - 1]
    assert len(index) == 9
    for wrong, error in (([-1], ValueError), ([2**63], ValueError), ([True], TypeError), ([1.0], TypeError)):
        with pytest.raises(error):
            index.add(np.ones((1, 2)), wrong)
        with pytest.raises(error):
            index.delete(wrong)
        with pytest.raises(error):
            index.get(wrong)
    with pytest.raises(ValueError, match="2 vectors with 3 ids"):
        index.add(np.ones((2, 2)), [20, 21, 22])
    assert 5 in index
    assert np.int8(5) in index
    assert not any(id in index for id in (4, -1, 2**63, True, 5.0, "5", None))


def test_repeated_ids_are_refused_whole() -> None:
    index = Index(2)
    with pytest.raises(DuplicateIdError, match="id 7 stands twice"):
        index.add(np.ones((3, 2)), [7, 3, 7])
    index.add(np.ones((2, 2)), [7, 3])
    with pytest.raises(DuplicateIdError, match="id 3 is in the index already"):
        index.add(np.ones((2, 2)), [4, 3])
    assert len(index) == 2
    assert index.delete([3]) == 1
    index.add(np.zeros((1, 2)), [3])
    assert index.get(3).tolist() == [0, 0]


def test_get() -> None:
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    index = filled(vectors, "cosine")
    np.testing.assert_array_equal(index.get([2, 0, 2]), vectors[[2, 0, 2]])
    assert index.get(np.int32(1)).shape == (2,)
    assert index.get([]).shape == (0, 2)
    with pytest.raises(NotFoundError, match="id 9 is not in the index") as caught:
        index.get([1, 9, 11])
    assert isinstance(caught.value, KeyError)


def test_delete(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 3000)
    index = filled(vectors)
    gone = rng.choice(3000, size=1000, replace=False)
    assert index.delete(gone) == 1000
    assert index.delete(gone) == 0
    assert index.delete([]) == 0
    left = np.setdiff1d(np.arange(3000), gone)
    for _ in range(2):
        assert len(index) == 2000
        np.testing.assert_array_equal(index.ids, left)
        hits = index.search(vectors[gone[:50]], 10)
        assert not np.isin(hits.ids, gone).any()
        assert (hits.counts == 10).all()
        check_exact(
            index.search(vectors[0], 20, exact=True), left, distances_of("l2", vectors[:1], vectors[left])[0], 20
        )
        assert len(index.search(vectors[0], 5000)) == 2000
        index.optimize()
    assert index.delete(left) == 2000
    assert len(index.search(vectors[0])) == 0
    assert index.search(vectors[:2], 3).ids.tolist() == [[-1] * 3] * 2


def test_nothing_in_it() -> None:
    index = Index(3)
    assert index.add([]).shape == (0,)
    index.optimize()
    assert len(index) == 0
    assert len(index.search([1, 2, 3])) == 0
    assert index.search(np.ones((2, 3)), 4).ids.shape == (2, 4)
    assert index.search(np.empty((0, 3)), 4).ids.shape == (0, 4)
    assert len(index.search(np.empty((0, 3)))) == 0


def test_zero_vectors() -> None:
    index = filled(np.array([[0, 0], [1, 0], [0, 0], [-1, 0]]), "cosine")
    hits = index.search(np.array([1.0, 0.0]), 4)
    assert hits.ids.tolist() == [1, 0, 2, 3]
    assert hits.distances.tolist() == [0, 1, 1, 2]
    hits = index.search(np.zeros(2), 4)
    assert hits.ids.tolist() == [0, 1, 2, 3]
    assert hits.distances.tolist() == [1, 1, 1, 1]


def test_ties_go_by_id(rng: np.random.Generator) -> None:
    vectors = np.repeat(clusters(rng, 4), 600, axis=0)
    ids = rng.permutation(2400) - 1200 + 5000
    index = Index(24, "l2")
    index.add(vectors, ids)
    for exact in (True, False):
        for _ in range(2):
            hits = index.search(vectors[0], 30, exact=exact)
            if exact:
                assert hits.ids.tolist() == sorted(ids[:600].tolist())[:30]
            assert hits.ids.tolist() == sorted(hits.ids.tolist())
            assert not hits.distances.any()
            index.optimize()


def test_the_same_graph_from_the_same_seed(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 2000)
    answers = []
    for _ in range(2):
        index = filled(vectors, threads=1, seed=7)
        index.optimize()
        answers.append(index.search(vectors[:200], 10, ef=12, threads=1))
    assert answers[0] == answers[1]


def test_batches_on_threads(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 2000)
    index = filled(vectors)
    one, many = (index.search(vectors, 5, threads=threads) for threads in (1, 4))
    assert one == many
    for i in (0, 77, 1999):
        assert index.search(vectors[i], 5) == one[i]


def test_save_and_open(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = clusters(rng, 3000)
    index = filled(vectors[:2000], "cosine")
    index.optimize()
    index.add(vectors[2000:2500])
    index.delete(np.arange(0, 2500, 10))
    path = tmp_path / "saved.lamina"
    index.save(path)
    index.save(str(path))
    assert [p.name for p in tmp_path.iterdir()] == ["saved.lamina"]
    for verify in (False, True):
        opened = Index.open(path, verify=verify)
        assert (opened.dim, opened.metric, opened.dtype, len(opened)) == (24, "cosine", np.float32, len(index))
        np.testing.assert_array_equal(opened.ids, index.ids)
        np.testing.assert_array_equal(opened.get(index.ids), index.get(index.ids))
        assert opened.search(vectors[:50], 10, exact=True) == index.search(vectors[:50], 10, exact=True)
        assert opened.search(vectors[:50], 10, ef=300) == index.search(vectors[:50], 10, ef=300)
        opened.warm()
    assert opened.add(vectors[2500:]).tolist() == list(range(2500, 3000))
    assert opened.delete([1, 2501]) == 2
    opened.optimize()
    assert len(opened) == len(index) + 498
    assert opened.search(vectors[2700], 1)[0].id == 2700
    left = np.setdiff1d(np.arange(3000), [*range(0, 2500, 10), 1, 2501])
    check_exact(
        opened.search(vectors[1], 9, exact=True), left, distances_of("cosine", vectors[1:2], vectors[left])[0], 9
    )
    opened.save(path)
    assert len(Index.open(path, verify=True)) == len(opened)


@pytest.mark.parametrize(("metric", "dtype"), [("l2", "float16"), ("hamming", "float32"), ("ip", "float32")])
def test_save_and_open_other_kinds(rng: np.random.Generator, tmp_path: Path, metric: str, dtype: str) -> None:
    bits = metric == "hamming"
    vectors = rng.integers(256, size=(1500, 8), dtype=np.uint8) if bits else clusters(rng, 1500)
    index = filled(vectors, metric, dtype=dtype)
    index.save(tmp_path / "i")
    opened = Index.open(tmp_path / "i", verify=True)
    assert opened.search(vectors[:20], exact=True) == index.search(vectors[:20], exact=True)
    assert opened.dtype == index.dtype
    np.testing.assert_array_equal(opened.get(index.ids), index.get(index.ids))


def test_save_and_open_nothing(tmp_path: Path) -> None:
    Index(5, "ip").save(tmp_path / "empty")
    opened = Index.open(tmp_path / "empty", verify=True)
    assert len(opened.search(np.ones(5))) == 0
    assert opened.add(np.ones((1, 5))).tolist() == [0]


def test_open_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(lamina.StorageError) as caught:
        Index.open(tmp_path / "absent")
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == 2
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "text").write_text("no index " * 1000)
    with pytest.raises(lamina.CorruptionError):
        Index.open(tmp_path / "text")
    with pytest.raises(lamina.LaminaError):
        Index(3).save(tmp_path / "no" / "such" / "folder")


def test_damage_is_noticed(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = clusters(rng, 1200, dim=8)
    index = filled(vectors)
    index.optimize()
    index.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    expected = index.search(vectors[:20], exact=True)
    for at in rng.integers(len(whole), size=40).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(lamina.LaminaError):
            Index.open(tmp_path / "damaged", verify=True)
        with contextlib.suppress(lamina.LaminaError):
            assert Index.open(tmp_path / "damaged").search(vectors[:20], exact=True) == expected
    for length in (0, 1, 4095, 4096, len(whole) // 2, len(whole) - 1):
        (tmp_path / "damaged").write_bytes(whole[:length])
        with pytest.raises(lamina.CorruptionError):
            Index.open(tmp_path / "damaged")


def test_add_and_search_at_once(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 6000)
    index = Index(24, "l2")
    index.add(vectors[:100])
    wrong: list[str] = []
    done = threading.Event()

    def search() -> None:
        seed = np.random.default_rng(threading.get_ident() % 1000)
        while not done.is_set():
            row = int(seed.integers(100))
            hits = index.search(vectors[row], 5)
            if hits.distances[0] != 0 or len(hits) != 5 or (np.diff(hits.distances) < 0).any():
                wrong.append(repr(hits))

    def add(part: int) -> None:
        for start in range(100 + part * 50, 6000, 150):
            rows = np.arange(start, min(start + 50, 6000))
            index.add(vectors[rows], rows)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    writers = [threading.Thread(target=add, args=(part,)) for part in range(3)]
    for thread in searchers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    index.optimize()
    done.set()
    for thread in searchers:
        thread.join()
    assert not wrong
    assert len(index) == 6000
    assert recall(index, vectors[:200], vectors, ef=100) >= 0.95


def test_a_search_does_not_wait_for_add(rng: np.random.Generator) -> None:
    vectors = clusters(rng, 8000, dim=64)
    index = Index(64, "l2")
    index.add(vectors[:500])
    writer = threading.Thread(target=lambda: index.add(vectors[500:]))
    longest, during = 0.0, 0
    writer.start()
    while writer.is_alive():
        start = time.perf_counter()
        index.search(vectors[0])
        longest, during = max(longest, time.perf_counter() - start), during + 1
    writer.join()
    assert during >= 3, f"{during} searches while 7,500 rows were added; the longest took {longest:.3f} s"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_a_forked_child(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = clusters(rng, 3000)
    index = filled(vectors)
    before = index.search(vectors[:100], threads=2)
    child = os.fork()
    if child == 0:  # no pytest, no clean-up here
        code = 1
        try:
            assert index.search(vectors[:100], threads=2) == before
            index.add(vectors, np.arange(3000) + 5000)
            index.optimize()
            code = 0 if len(index) == 6000 else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(index) == 3000


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="save"):
        pickle.dumps(Index(3))


def test_repr_and_attributes() -> None:
    index = Index(8, "cos", m=8, threads=2)
    index.add(np.eye(8))
    assert repr(index) == "<lamina.Index of 8 × 8, cosine>"
    assert (index.dim, index.metric, index.dtype, index.quantize) == (8, "cosine", np.dtype(np.float32), "i8")
    with pytest.raises(AttributeError):
        index.metric = "l2"  # type: ignore[misc]


ANSWER = """
import sys
import numpy as np
import lamina

rng = np.random.default_rng(5)
vectors = rng.normal(size=(1500, 40)).astype(np.float32)
for metric in ("cosine", "ip", "l2"):
    index = lamina.Index(40, metric)
    index.add(vectors)
    index.optimize()
    exact = index.search(vectors[:50], 10, exact=True)
    found = index.search(vectors[:50], 10, ef=100)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(exact.ids, found.ids)]) >= 9.5
    print(metric, exact.ids.tolist())
bits = lamina.Index(96, "hamming")
bits.add(rng.integers(256, size=(500, 12), dtype=np.uint8))
print(bits.search(bits.get([3, 4]), 10, exact=True).ids.tolist())
print(lamina.build_info()["isa"], file=sys.stderr)
"""


def test_the_same_answers_under_every_isa() -> None:
    answers = {}
    for isa in lamina.build_info()["isas"]:
        environment = {**os.environ, "LAMINA_ISA": isa}
        done = subprocess.run(
            [sys.executable, "-c", ANSWER], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.strip() == isa
        answers[isa] = done.stdout
    assert "baseline" in answers
    assert len(set(answers.values())) == 1, "exact answers differ between instruction sets"


def test_an_isa_that_is_none() -> None:
    environment = {**os.environ, "LAMINA_ISA": "abacus"}
    done = subprocess.run(
        [sys.executable, "-c", "import lamina; i = lamina.Index(3); i.add([[1, 2, 3]]); i.search([1, 2, 3])"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "abacus" in done.stderr
