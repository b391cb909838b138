"""Hits and BatchHits: sequences over arrays, with the rest fetched from the snapshot that answered.

Goal: the result types hold what they promise, for integer and string ids. Method: small ones made by hand, with a
source that counts how often it is asked.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lamina
from lamina import BatchHits, Hit, Hits
from lamina.records import Records


class Source:
    """Stands for a snapshot."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def get(self, ids: np.ndarray, include: tuple[str, ...]) -> Records:
        self.asked.append((ids.tolist(), *include))
        if include == ("vectors",):
            made = np.array([[float(id)] * 2 for id in ids.tolist()], dtype=np.float32).reshape(len(ids), 2)
            return Records(ids, vectors=(made, np.ones(len(ids), np.bool_)))
        if include == ("metadata",):
            return Records(ids, metadata=pa.record_batch({"n": pa.array(ids)}))
        return Records(ids, content=pa.array([f"text {id}" for id in ids.tolist()], pa.large_string()))


def hits(source: Source | None = None, metric: str = "cosine") -> Hits:
    return Hits(np.array([4, 2, 9]), np.array([0, 0.25, 1], np.float32), metric, source)


def batch(source: Source | None = None) -> BatchHits:
    ids = np.array([[4, 2, 9], [7, -1, -1], [-1, -1, -1]])
    distances = np.array([[0, 0.25, 1], [0.5, np.inf, np.inf], [np.inf] * 3], np.float32)
    return BatchHits(ids, distances, np.array([3, 1, 0]), "cosine", source)


def test_a_sequence_of_hit() -> None:
    found = hits()
    assert len(found) == 3
    assert found[0] == Hit(4, 0.0)
    assert found[-1] == Hit(9, 1.0)
    assert [hit.id for hit in found] == [4, 2, 9]
    assert list(found) == [found[i] for i in range(3)]
    assert next(reversed(found)).id == 9
    assert type(found[0].id) is int
    assert type(found[0].distance) is float
    assert found[1:] == Hits(np.array([2, 9]), np.array([0.25, 1], np.float32), "cosine")
    with pytest.raises(IndexError):
        found[3]


def test_two_hits_do_not_unpack_into_arrays() -> None:
    first, second = hits()[:2]
    assert (first.id, second.id) == (4, 2)


def test_scores_are_larger_for_the_nearer() -> None:
    assert hits().scores.tolist() == [1, 0.75, 0]
    assert hits(metric="ip").scores.tolist() == [1, 0.75, 0]
    assert hits(metric="l2").scores.tolist() == [0, -0.25, -1]
    assert hits(metric="hamming").scores.dtype == np.float32
    assert batch().scores[1].tolist() == [0.5, -np.inf, -np.inf]


def test_the_rest_is_fetched_once_on_first_use() -> None:
    source = Source()
    found = hits(source)
    assert found[0].metadata is None
    assert found.to_list() == [{"id": 4, "distance": 0.0}, {"id": 2, "distance": 0.25}, {"id": 9, "distance": 1.0}]
    assert source.asked == []
    assert found.metadata == [{"n": 4}, {"n": 2}, {"n": 9}]
    assert found.content == ["text 4", "text 2", "text 9"]
    assert found.vectors.tolist() == [[4, 4], [2, 2], [9, 9]]
    assert found.metadata is found.metadata
    assert [field for _, field in source.asked] == ["metadata", "content", "vectors"]
    assert found[1].metadata == {"n": 2}
    assert found[1].content == "text 2"
    assert found[1].vector.tolist() == [2, 2]
    assert found[1:][0].content == "text 2"
    assert list(found.to_list()[0]) == ["id", "distance", "metadata", "content", "vector"]


def test_hits_of_an_index_have_no_records() -> None:
    index = lamina.Index(2)
    index.add([[1, 0]])
    with pytest.raises(AttributeError, match="a collection keeps them"):
        _ = index.search([1, 0]).metadata


def test_a_batch() -> None:
    found = batch(Source())
    assert len(found) == 3
    assert [len(row) for row in found] == [3, 1, 0]
    assert found[1] == Hits(np.array([7]), np.array([0.5], np.float32), "cosine")
    assert found[-1].ids.shape == (0,)
    assert found[1:].counts.tolist() == [1, 0]
    assert found.metadata == [[{"n": 4}, {"n": 2}, {"n": 9}], [{"n": 7}], []]
    assert [v.shape for v in found.vectors] == [(3, 2), (1, 2), (0, 2)]
    assert found[0].content == found.content[0]
    assert found[1:][0][0].metadata == {"n": 7}
    with pytest.raises(IndexError):
        found[3]


def test_tables() -> None:
    found = hits(Source())
    assert found.to_arrow().column_names == ["id", "distance"]
    found.fetch("metadata"), found.fetch("content"), found.fetch("vectors")
    table = found.to_arrow()
    assert table.column_names == ["id", "distance", "metadata", "content", "vector"]
    assert table.to_pylist()[1] == {
        "id": 2, "distance": 0.25, "metadata": {"n": 2}, "content": "text 2", "vector": [2.0, 2.0],
    }  # fmt: skip
    frame = found.to_pandas()
    assert frame["id"].tolist() == [4, 2, 9]
    assert frame["vector"][1].tolist() == [2, 2]


def test_tables_of_a_batch() -> None:
    found = batch()
    assert found.to_arrow().to_pydict() == {"query": [0, 0, 0, 1], "id": [4, 2, 9, 7], "distance": [0, 0.25, 1, 0.5]}
    frame = found.to_pandas()
    assert frame.columns.tolist() == ["query", "id", "distance"]
    assert frame["query"].tolist() == [0, 0, 0, 1]
    assert [len(row) for row in found.to_list()] == [3, 1, 0]
    for none in (found[:0], found[2:]):
        assert none.to_arrow().num_rows == len(none.to_pandas()) == 0


def test_string_ids() -> None:
    ids = np.array(["a", "ü"], dtype=object)
    found = Hits(ids, np.array([0, 1], np.float32), "l2")
    assert found[1].id == "ü"
    assert found.to_arrow().to_pydict()["id"] == ["a", "ü"]
    rows = BatchHits(np.array([["a", None]], dtype=object), np.array([[0, np.inf]], np.float32), np.array([1]), "l2")
    assert rows[0].ids.tolist() == ["a"]
    assert rows.to_arrow().num_rows == 1


def test_equality_and_repr() -> None:
    assert hits() == hits(Source())
    assert hits() != hits()[:2]
    assert hits() != [1]
    assert batch() == batch()
    assert batch() != batch()[:2]
    assert repr(hits()) == "<3 hits: (4, 0), (2, 0.25), (9, 1)>"
    assert repr(batch()) == "<3 queries, 4 hits>"
    assert repr(Hit(1, 0.5)) == "Hit(id=1, distance=0.5)"
    assert repr(Hit("a", 0.5, {"n": 1})) == "Hit(id='a', distance=0.5, metadata={'n': 1})"
    with pytest.raises(TypeError):
        hash(hits())


def test_pickled_without_a_source() -> None:
    assert pickle.loads(pickle.dumps(hits())) == hits()
    assert pickle.loads(pickle.dumps(batch())) == batch()


def test_the_type_follows_the_ndim_of_the_query() -> None:
    index = lamina.Index(2, "l2")
    index.add(np.eye(2))
    assert isinstance(index.search(np.ones(2)), Hits)
    assert isinstance(index.search(np.ones((1, 2))), BatchHits)
    assert isinstance(index.search([1, 2]), Hits)
    assert isinstance(index.search([[1, 2]]), BatchHits)
    found = index.search(np.ones(2))
    assert found.ids.dtype == np.int64
    assert found.distances.dtype == np.float32
