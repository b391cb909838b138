"""Every rule of values, and every verb, of a collection.

Goal: each write does what it says or changes nothing, each bad value has the error that API promises. Method: small
collections beside plain Python values; after each refused write the collection is compared with what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lamina
from lamina import Collection, Model, Store, canary

DIM = 8
VECTORS = np.random.default_rng(7).normal(size=(20, DIM)).astype(np.float32)
MODEL = Model("m", revision="1", dim=DIM)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as opened:
        yield opened


@pytest.fixture
def docs(store: Store) -> Collection:
    """Ten records "a" to "j" with metadata and content."""
    made = store.create_collection("docs", model=MODEL)
    ids = list("abcdefghij")
    made.add(ids, VECTORS[:10], [{"n": at, "even": at % 2 == 0} for at in range(10)], [f"text {id}" for id in ids])
    return made


@pytest.fixture
def numbered(store: Store) -> Collection:
    made = store.create_collection("numbered", model=MODEL)
    made.add(np.arange(10), VECTORS[:10])
    return made


def state(collection: Collection) -> dict[Any, Any]:
    """Everything in a collection, by id."""
    return {
        record.id: (record.metadata, record.content, None if record.vector is None else record.vector.tolist())
        for batch in collection.scan()
        for record in batch
    }


def test_add_get_and_search(docs: Collection) -> None:
    record = docs.get(["c"])[0]
    assert (record.id, record.metadata, record.content) == ("c", {"n": 2, "even": True}, "text c")
    np.testing.assert_array_equal(record.vector, VECTORS[2])
    hits = docs.search(VECTORS[2], k=3)
    assert hits.ids[0] == "c"
    assert hits.metadata[0] == {"n": 2, "even": True}
    assert (len(docs), docs.count(), "c" in docs, "z" in docs, 5 in docs) == (10, 10, True, False, False)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("kind", ["int", "str"])
def test_exact_search_is_numpy(store: Store, metric: str, kind: str) -> None:
    rng = np.random.default_rng(3)
    base, queries = rng.normal(size=(500, 16)).astype(np.float32), rng.normal(size=(20, 16)).astype(np.float32)
    ids = np.arange(1000, 1500) if kind == "int" else [f"id-{at:04}" for at in range(500)]
    docs = store.create_collection("exact", model=Model("m", dim=16, metric=metric))
    docs.add(ids, base)
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)  # noqa: E731
    distances = {
        "cosine": lambda: 1 - unit(queries) @ unit(base).T,
        "ip": lambda: 1 - queries @ base.T,
        "l2": lambda: ((queries[:, None] - base[None]) ** 2).sum(axis=2),
    }[metric]()
    order = np.argsort(distances, axis=1)[:, :10]
    for exact in (True, False):
        hits = docs.search(queries, k=10, exact=exact, ef=None if exact else 500)
        np.testing.assert_array_equal(hits.ids, np.array(ids, object if kind == "str" else None)[order])
        np.testing.assert_allclose(hits.distances, np.take_along_axis(distances, order, axis=1), rtol=1e-4, atol=1e-4)


def test_hamming_takes_packed_bits(store: Store) -> None:
    bits = np.random.default_rng(0).integers(0, 256, (50, 4), np.uint8)
    docs = store.create_collection("bits", model=Model("m", dim=32, metric="hamming"))
    docs.add(np.arange(50), bits)
    expected = np.unpackbits(bits ^ bits[7], axis=1).sum(axis=1)
    hits = docs.search(bits[7], k=50, exact=True)
    assert dict(zip(hits.ids.tolist(), hits.distances.tolist(), strict=True)) == dict(enumerate(expected.tolist()))
    np.testing.assert_array_equal(docs.get([7]).vectors, bits[7:8])


def test_get_keeps_the_order_and_names_the_missing(docs: Collection) -> None:
    records = docs.get(["j", "nope", "a", "j", "also not"])
    assert [record.id for record in records] == ["j", "a", "j"]
    assert records.missing == ["nope", "also not"]
    assert [record.content for record in records] == ["text j", "text a", "text j"]
    assert docs.get("a")[0].id == "a"
    assert docs.get([]).to_list() == []
    only = docs.get(["a"], include=["content"])
    assert only.to_list() == [{"id": "a", "content": "text a"}]


def test_upsert_replaces_the_whole_record(docs: Collection) -> None:
    assert docs.upsert(["a", "new"], VECTORS[10:12], content=["other", None])[:3] == (1, 1, 0)
    records = docs.get(["a", "new"])
    assert [(record.metadata, record.content) for record in records] == [({}, "other"), ({}, None)]
    np.testing.assert_array_equal(records.vectors, VECTORS[10:12])


def test_update_merges(docs: Collection) -> None:
    assert docs.update(["a", "b"], metadata=[{"n": None, "tag": "x"}, {"n": 5}])[:3] == (0, 2, 0)
    records = docs.get(["a", "b", "c"])
    assert records.metadata == [{"even": True, "tag": "x"}, {"n": 5, "even": False}, {"n": 2, "even": True}]
    assert records.content == ["text a", "text b", "text c"]
    np.testing.assert_array_equal(records.vectors, VECTORS[:3])
    docs.update(["c", "a"], vectors=VECTORS[[18, 19]])
    np.testing.assert_array_equal(docs.get(["a", "c"]).vectors, VECTORS[[19, 18]])
    assert docs.get(["c"]).metadata == [{"n": 2, "even": True}]
    docs.update(["a"], content=["changed"])
    assert docs.get(["a"]).content == ["changed"]
    assert docs.search(VECTORS[19], k=1).ids[0] == "a"  # without an embedder the old vector stays


def test_update_keeps_the_order_of_columns(docs: Collection) -> None:
    docs.update(["a", "b"], metadata={"new": ["x", "y"], "n": [7, 8]})
    assert [list(row) for row in docs.get(["b", "c"]).metadata or []] == [["n", "even", "new"], ["n", "even"]]
    assert list(docs.get(["a"]).metadata[0].items()) == [("n", 7), ("even", True), ("new", "x")]  # type: ignore[index]
    docs.update(["a"], metadata={"even": [None], "new": [None], "n": [None]})
    assert docs.get(["a"]).metadata == [{}]


def test_update_from_columns_gives_every_cell(docs: Collection) -> None:
    docs.update(["a", "b"], metadata={"n": [None, 7]})
    assert docs.get(["a", "b"]).metadata == [{"even": True}, {"n": 7, "even": False}]
    docs.update(["a"], metadata=pd.DataFrame({"nested": [{"x": [1, 2]}]}))
    assert docs.get(["a"]).metadata == [{"even": True, "nested": {"x": [1, 2]}}]


def test_delete_and_clear(docs: Collection) -> None:
    assert docs.delete(["a", "nope", "b"])[:3] == (0, 0, 2)
    assert docs.delete(["a"])[:3] == (0, 0, 0)
    assert docs.delete("c")[:3] == (0, 0, 1)
    assert sorted(docs.ids()) == list("defghij")
    assert "a" not in docs.search(VECTORS[0], k=20).ids
    assert docs.clear()[:3] == (0, 0, 7)
    assert (len(docs), docs.ids().tolist(), list(docs.search(VECTORS[0]))) == (0, [], [])
    docs.add(["a"], VECTORS[:1])
    assert docs.get(["a"])[0].metadata == {}


def test_a_version_a_write_and_none_for_nothing(docs: Collection) -> None:
    before = docs.version
    result = docs.upsert(["a"], VECTORS[:1])
    assert result.version == docs.version > before
    assert docs.delete(["nope"]).version == docs.version == result.version
    assert docs.upsert([], np.empty((0, DIM))).version == result.version
    assert docs.add([], [])[:3] == (0, 0, 0)


def test_if_version(docs: Collection) -> None:
    version = docs.version
    with pytest.raises(lamina.ConflictError, match=str(version)):
        docs.upsert(["a"], VECTORS[:1], if_version=version - 1)
    assert docs.upsert(["a"], VECTORS[:1], if_version=version).updated == 1
    for write in (docs.delete, lambda ids, **options: docs.update(ids, content=["x"], **options)):
        with pytest.raises(lamina.ConflictError):
            write(["a"], if_version=version)
    with pytest.raises(lamina.ConflictError):
        docs.clear(if_version=version)
    assert docs.upsert(["a"], VECTORS[:1], [{"a new column": 1}], if_version=docs.version).updated == 1
    assert len(docs) == 10


VECTOR_SHAPES: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda v: v.astype(np.float64),
    "float16": lambda v: v.astype(np.float16),
    "non-contiguous": lambda v: np.asfortranarray(v),
    "strided": lambda v: np.repeat(v, 2, axis=1)[:, ::2],
    "list": lambda v: v.tolist(),
    "list of arrays": list,
    "arrow": lambda v: pa.FixedSizeListArray.from_arrays(pa.array(v.reshape(-1)), DIM),
    "pandas": lambda v: pd.DataFrame(v),
    "polars": lambda v: pl.Series(v.tolist(), dtype=pl.Array(pl.Float32, DIM)),
    "tagged": MODEL.tag,
}


@pytest.mark.parametrize("shape", VECTOR_SHAPES)
def test_vectors_in_any_shape(store: Store, shape: str) -> None:
    docs = store.create_collection("shapes", model=MODEL)
    docs.add([1, 2, 3], VECTOR_SHAPES[shape](VECTORS[:3]))
    np.testing.assert_allclose(docs.get([1, 2, 3]).vectors, VECTORS[:3], rtol=1e-3, atol=1e-3)
    assert docs.search(VECTOR_SHAPES[shape](VECTORS[:3]), k=1).ids.tolist() == [[1], [2], [3]]


def test_read_only_arrays(store: Store) -> None:
    docs = store.create_collection("frozen", model=MODEL)
    vectors, ids = VECTORS[:3].copy(), np.arange(3)
    vectors.flags.writeable = ids.flags.writeable = False
    docs.add(ids, vectors)
    assert docs.search(vectors[1]).ids[0] == 1


NAN = np.full((1, DIM), np.nan)
INF = np.full((1, DIM), -np.inf)
BAD_WRITES: list[tuple[str, Callable[[Collection], Any], type[Exception]]] = [
    ("nan", lambda c: c.upsert(["z"], NAN), lamina.InvalidVectorError),
    ("inf", lambda c: c.upsert(["z"], INF), lamina.InvalidVectorError),
    ("nan in the second row", lambda c: c.upsert(["y", "z"], np.vstack([VECTORS[:1], NAN])), lamina.InvalidVectorError),
    ("float64 beyond float32", lambda c: c.upsert(["z"], np.full((1, DIM), 1e300)), lamina.InvalidVectorError),
    ("dim", lambda c: c.upsert(["z"], VECTORS[:1, :5]), lamina.DimensionMismatchError),
    ("bool vectors", lambda c: c.upsert(["z"], np.ones((1, DIM), bool)), TypeError),
    ("complex vectors", lambda c: c.upsert(["z"], np.ones((1, DIM), complex)), TypeError),
    ("str vectors", lambda c: c.upsert(["z"], [["x"] * DIM]), TypeError),
    ("0-d", lambda c: c.upsert(["z"], np.float32(1)), ValueError),
    ("1-d", lambda c: c.upsert(["z"], VECTORS[0]), ValueError),
    ("3-d", lambda c: c.upsert(["z"], VECTORS[None, :1]), ValueError),
    ("ragged", lambda c: c.upsert(["y", "z"], [[1.0] * DIM, [1.0]]), ValueError),
    ("fewer vectors", lambda c: c.upsert(["y", "z"], VECTORS[:1]), ValueError),
    ("nothing", lambda c: c.upsert(["z"]), ValueError),
    ("no content for one", lambda c: c.upsert(["y", "z"], content=["text", None]), ValueError),
    ("a single text", lambda c: c.upsert(["z"], content="text"), TypeError),
    ("fewer contents", lambda c: c.upsert(["y", "z"], content=["text"]), ValueError),
    ("content of numbers", lambda c: c.upsert(["z"], VECTORS[:1], content=[5]), TypeError),
    ("a surrogate", lambda c: c.upsert(["z"], VECTORS[:1], content=["\ud800"]), (TypeError, ValueError)),
    ("a surrogate in an id", lambda c: c.upsert(["\ud800"], VECTORS[:1]), (TypeError, ValueError)),
    ("fewer metadata", lambda c: c.upsert(["y", "z"], VECTORS[:2], [{}]), ValueError),
    ("a changed type", lambda c: c.upsert(["z"], VECTORS[:1], [{"n": "five"}]), TypeError),
    ("two types", lambda c: c.upsert(["y", "z"], VECTORS[:2], [{"q": 1}, {"q": "x"}]), TypeError),
    ("int ids", lambda c: c.upsert([1], VECTORS[:1]), TypeError),
    ("mixed ids", lambda c: c.upsert(["z", 1], VECTORS[:2]), TypeError),
    ("a single id", lambda c: c.upsert("z", VECTORS[:1]), TypeError),
    ("delete without ids", lambda c: c.delete(None), TypeError),
    ("delete of the other kind", lambda c: c.delete([1]), TypeError),
    ("None", lambda c: c.upsert(None, VECTORS[:1]), TypeError),
    ("repeated", lambda c: c.upsert(["z", "z"], VECTORS[:2]), lamina.DuplicateIdError),
    ("repeated in add", lambda c: c.add(["z", "z"], VECTORS[:2]), lamina.DuplicateIdError),
    ("repeated in update", lambda c: c.update(["a", "a"], [{}, {}]), lamina.DuplicateIdError),
    ("there already", lambda c: c.add(["z", "a"], VECTORS[:2]), lamina.DuplicateIdError),
    ("not there", lambda c: c.update(["a", "z"], [{"n": 1}, {"n": 2}]), lamina.NotFoundError),
    ("an empty update", lambda c: c.update(["a"]), ValueError),
    ("another model", lambda c: c.upsert(["z"], VECTORS[:1], model=Model("x", dim=DIM)), lamina.ModelMismatchError),
    ("another tag", lambda c: c.upsert(["z"], Model("x", dim=DIM).tag(VECTORS[:1])), lamina.ModelMismatchError),
    ("another model's delete", lambda c: c.delete(["a"], model=Model("x", dim=DIM)), lamina.ModelMismatchError),
]  # fmt: skip


@pytest.mark.parametrize(("write", "error"), [case[1:] for case in BAD_WRITES], ids=[case[0] for case in BAD_WRITES])
def test_a_bad_write_is_refused_and_changes_nothing(docs: Collection, write: Any, error: type[Exception]) -> None:
    before, version = state(docs), docs.version
    with pytest.raises(error):
        write(docs)
    assert state(docs) == before
    assert docs.version == version


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([-1], ValueError, "-1"), (np.array([3, -1]), ValueError, "-1"), ([True], TypeError, "bool"),
        (np.array([True]), TypeError, "bool"), ([1.0], TypeError, "float"), (np.array([1.0]), TypeError, "float"),
        ([2**63], ValueError, str(2**63)), (np.array([2**63], np.uint64), ValueError, str(2**63)),
        ([-(2**63) - 1], ValueError, "beyond"), (["a"], TypeError, "'a'"), ([1, "a"], TypeError, "'a'"),
        (5, TypeError, "5"),
        (np.array([[1]]), ValueError, "1-D"),
    ],
)  # fmt: skip
def test_ids_that_cannot_be_are_named(numbered: Collection, ids: Any, error: type[Exception], message: str) -> None:
    for write in (numbered.upsert, numbered.add):
        with pytest.raises(error, match=message):
            write(ids, VECTORS[:2][: np.size(ids)])
    assert len(numbered) == 10


def test_integer_ids_of_any_width_and_extremes(store: Store) -> None:
    docs = store.create_collection("wide", model=MODEL)
    ids = [0, 2**63 - 1, -(2**63), -2, 7]
    docs.add(ids, VECTORS[:5])
    docs.add(np.array([100, 101], np.uint8), VECTORS[5:7])
    docs.add([np.int32(102)], VECTORS[7:8])
    docs.add(pa.array([103, 104]), VECTORS[8:10])
    docs.add(pd.Series([105]), VECTORS[10:11])
    assert sorted(docs.ids().tolist()) == sorted([*ids, *range(100, 106)])
    assert docs.get(ids).ids.tolist() == ids
    assert 2**63 - 1 in docs
    assert 2**64 not in docs
    assert -1 not in docs


def test_the_first_write_decides_of_which_kind_ids_are(store: Store) -> None:
    docs = store.create_collection("kinds", model=MODEL)
    other = store.get_collection("kinds")
    assert (docs.get([1]).missing, docs.get(["a"]).missing) == ([1], ["a"])
    assert docs.delete(["a"])[:3] == docs.delete([1])[:3] == (0, 0, 0)
    assert list(docs.search(VECTORS[0])) == []
    docs.upsert(["a"], VECTORS[:1])
    assert other.get(["a"]).ids.tolist() == ["a"]
    for wrong in (docs, other):
        with pytest.raises(TypeError, match="are str"):
            wrong.upsert([1], VECTORS[:1])
    docs.clear()
    with pytest.raises(TypeError):
        docs.upsert([1], VECTORS[:1])


BAD_SEARCHES: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("nan", {"query": NAN[0]}, lamina.InvalidVectorError),
    ("inf in a batch", {"query": np.vstack([VECTORS[:1], INF])}, lamina.InvalidVectorError),
    ("dim", {"query": VECTORS[0, :5]}, lamina.DimensionMismatchError),
    ("dim in a batch", {"query": VECTORS[:2, :5]}, lamina.DimensionMismatchError),
    ("0-d", {"query": 5.0}, (TypeError, ValueError)),
    ("3-d", {"query": VECTORS[None]}, ValueError),
    ("complex", {"query": VECTORS[0].astype(complex)}, TypeError),
    ("ragged", {"query": [[1.0] * DIM, [1.0]]}, ValueError),
    ("k 0", {"k": 0}, ValueError),
    ("k negative", {"k": -3}, ValueError),
    ("k float", {"k": 2.5}, TypeError),
    ("ef and recall", {"ef": 10, "recall": 0.9}, ValueError),
    ("ef 0", {"ef": 0}, ValueError),
    ("recall 1.5", {"recall": 1.5}, ValueError),
    ("include", {"include": ["embedding"]}, ValueError),
    ("a text without an embedder", {"query": "text"}, ValueError),
    ("another model", {"model": Model("x", dim=DIM)}, lamina.ModelMismatchError),
    ("another tag", {"query": Model("m", revision="2", dim=DIM).tag(VECTORS[0])}, lamina.ModelMismatchError),
]


@pytest.mark.parametrize(
    ("options", "error"), [case[1:] for case in BAD_SEARCHES], ids=[case[0] for case in BAD_SEARCHES]
)
def test_bad_searches_are_refused(docs: Collection, options: dict[str, Any], error: type[Exception]) -> None:
    for target in (docs, docs.snapshot()):
        with pytest.raises(error):
            target.search(**({"query": VECTORS[0], "k": 3} | options))


def test_the_type_of_hits_follows_the_query(docs: Collection) -> None:
    assert isinstance(docs.search(VECTORS[0]), lamina.Hits)
    assert isinstance(docs.search(VECTORS[:1]), lamina.BatchHits)
    assert len(docs.search(np.empty((0, DIM), np.float32))) == 0
    huge = docs.search(VECTORS[0], k=10**6)
    assert len(huge) == 10
    batch = docs.search(VECTORS[:2], k=12)
    assert batch.ids.shape == (2, 12)
    assert batch.ids[0, 10:].tolist() == [None, None]
    assert np.isinf(batch.distances[:, 10:]).all()
    assert batch.counts.tolist() == [10, 10]


def test_hits_answer_from_the_snapshot_that_they_came_from(docs: Collection) -> None:
    early, late = docs.search(VECTORS[0], k=1, include=["content", "metadata"]), docs.search(VECTORS[0], k=1)
    docs.update(["a"], metadata=[{"n": 99}], content=["changed"], vectors=VECTORS[11:12])
    docs.delete(["b"])
    for hits in (early, late):
        assert (hits.content, hits.metadata) == (["text a"], [{"n": 0, "even": True}])
        np.testing.assert_array_equal(hits.vectors, VECTORS[:1])


def test_a_snapshot_is_pinned(docs: Collection) -> None:
    snap, before = docs.snapshot(), state(docs)
    docs.clear()
    docs.optimize()
    assert (len(snap), len(docs)) == (10, 0)
    assert {record.id: record.content for batch in snap.scan() for record in batch} == {
        id: entry[1] for id, entry in before.items()
    }
    assert snap.search(VECTORS[3], k=1).ids[0] == "d"
    assert snap.version < docs.version
    snap.close()
    snap.close()
    for use in (lambda: len(snap), lambda: snap.search(VECTORS[0]), lambda: snap.get(["a"]), lambda: "a" in snap):
        with pytest.raises(lamina.ClosedError):
            use()


def counting(calls: list[str]) -> Callable[[list[str]], np.ndarray]:
    def embed(texts: list[str]) -> np.ndarray:
        calls.extend(text for text in texts if text not in canary.TEXTS)
        return np.array([[len(text), *text.encode()[:7].ljust(7, b"\0")] for text in texts], np.float32)

    return embed


def test_texts_are_embedded_before_the_write(store: Store) -> None:
    calls: list[str] = []
    docs = store.create_collection("texts", model=Model("own", dim=8, embed=counting(calls)))
    docs.add(["a", "b"], content=["first", "second text"])
    assert calls == ["first", "second text"]
    assert docs.search("first", k=1).ids[0] == "a"
    assert docs.search(["second text", "first"], k=1).ids.tolist() == [["b"], ["a"]]
    docs.update(["a", "b"], content=["first", "third"])
    assert calls[2:] == ["first", "second text", "first", "third"]  # what stayed the same is not embedded again
    with store.transaction() as tx:
        tx["texts"].upsert(["c"], content=["fourth"])
        tx["texts"].update(["c", "a"], content=["fourth", "fifth"])
    assert calls[6:] == ["fourth", "fifth"]
    np.testing.assert_array_equal(docs.get(["a"]).vectors, counting([])(["fifth"]))
    docs.update(["a"], metadata=[{"x": 1}])
    with store.transaction() as tx:
        tx["texts"].update(["a", "b"], metadata=[{"x": 2}, {}])
        tx["texts"].update(["b", "a"], content=["third", "fifth"])
    assert len(calls) == 8
    assert (docs.stale().tolist(), docs.owed().tolist()) == ([], [])


def test_without_an_embedder_a_text_is_owed_its_vector(store: Store) -> None:
    docs = store.create_collection("owed", model=MODEL)
    docs.add(["a", "b"], content=["first", "second"])
    records = docs.get(["a"])
    assert (records[0].content, records[0].vector) == ("first", None)
    assert records.owed.tolist() == [True]
    assert len(docs) == 2
    assert list(docs.search(VECTORS[0])) == []
    assert store.stats()["collections"]["owed"]["owed"] == 2
    docs.update(["a"], vectors=VECTORS[:1])
    assert docs.search(VECTORS[0]).ids.tolist() == ["a"]


def test_a_failing_embedder_changes_nothing(store: Store) -> None:
    def fail(texts: list[str]) -> np.ndarray:
        raise TimeoutError("no answer")

    docs = store.create_collection("fails", model=Model("own", dim=8, embed=fail))
    with pytest.raises(TimeoutError):
        docs.add(["a"], content=["first"])
    assert len(docs) == 0


def test_models_are_bound_on_the_way_in(store: Store) -> None:
    store.create_collection("hashed", model="hash:32").add([1], content=["some words"])
    assert store.get_collection("hashed").search("words").ids.tolist() == [1]
    store.create_collection("own", model=Model("own", dim=8)).add([1], VECTORS[:1])
    bound = store.get_collection("own", embed=counting([]))
    assert bound.search("x", k=1).ids.tolist() == [1]
    assert store.get_collection("own", model=Model("own", dim=8, embed=counting([]))).model.embed_with is not None
    with pytest.raises(lamina.ModelMismatchError, match="revision"):
        store.get_collection("own", model=Model("own", revision="9", dim=8))
    with pytest.raises(lamina.ModelMismatchError):
        store.get_or_create_collection("own", model="hash:8")


def test_metadata_widen_over_writes_and_merges(store: Store) -> None:
    docs = store.create_collection("widen", model=MODEL)
    docs.add([1], VECTORS[:1], [{"a": 1, "l": []}])
    docs.optimize()
    docs.add([2, 3], VECTORS[1:3], [{"a": 2.5, "l": ["x"]}, {"d": {"x": 1}}])
    docs.add([4], VECTORS[3:4], [{"d": {"y": "z"}}])
    expected = [{"a": 1, "l": []}, {"a": 2.5, "l": ["x"]}, {"d": {"x": 1}}, {"d": {"y": "z"}}]
    assert docs.get([1, 2, 3, 4]).metadata == expected
    docs.optimize()
    assert docs.get([1, 2, 3, 4]).metadata == expected
    with pytest.raises(TypeError, match=r"'d\.x' holds int64 and now gets string"):
        docs.add([5], VECTORS[4:5], [{"d": {"x": "text"}}])


def test_dropped_collections_say_so(store: Store, docs: Collection) -> None:
    other = store.get_collection("docs")
    store.drop_collection("docs")
    for handle in (docs, other):
        for use in (lambda c: c.search(VECTORS[0]), lambda c: c.upsert(["a"], VECTORS[:1]), len):
            with pytest.raises(lamina.NotFoundError, match="dropped"):
                use(handle)
    with pytest.raises(lamina.NotFoundError, match="no collection 'docs'"):
        store.get_collection("docs")
    with pytest.raises(lamina.NotFoundError):
        store.drop_collection("docs")
    fresh = store.create_collection("docs", model="hash:16")
    assert len(fresh) == 0


def test_names_of_collections(store: Store) -> None:
    for name in ("x", "Ü x/y", "a" * 255, "..", "%s"):
        store.create_collection(name, model=MODEL)
    assert store.list_collections() == sorted(["x", "Ü x/y", "a" * 255, "..", "%s"])
    for name in ("", "a" * 256, "a\nb", "\0", 5, None):
        with pytest.raises((ValueError, TypeError), match="name"):
            store.create_collection(name, model=MODEL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="already"):
        store.create_collection("x", model=MODEL)


def test_a_closed_collection_says_so(store: Store, docs: Collection) -> None:
    with docs:
        pass
    docs.close()
    with pytest.raises(lamina.ClosedError, match="closed"):
        docs.search(VECTORS[0])
    assert "closed" in repr(docs)
    assert len(store.get_collection("docs")) == 10


@pytest.mark.parametrize("of_str", [False, True])
def test_ids_that_lie_unevenly_are_found(store: Store, of_str: bool) -> None:
    """Many at once are looked for where they should lie if all gaps were the same."""
    rng = np.random.default_rng(2)
    steep = [2**n for n in range(12, 63)] + [-(2**n) for n in range(2, 64)]
    ids = rng.permutation(np.array([*range(1500), *range(10**6, 10**6 + 300), *steep, 2**63 - 1], np.int64))
    docs = store.create_collection("uneven", model=MODEL)
    for part in np.array_split(ids, 3):
        keys = part.astype(str).tolist() if of_str else part
        docs.add(keys, np.ones((len(part), MODEL.dim)), metadata={"n": part})
        store._shared.core.seal()
    absent = [-3, 1501, 10**6 - 1, 10**6 + 300, 2**40 + 1, 2**63 - 2]
    for count in (1, 7, 200, len(ids)):
        there = rng.choice(ids, count, replace=False)
        asked = rng.permutation(np.concatenate([there, absent]))
        found = docs.get(asked.astype(str).tolist() if of_str else asked, include="metadata")
        assert [record["n"] for record in found.metadata or []] == [id for id in asked.tolist() if id not in absent]
        assert sorted(map(int, found.missing)) == sorted(absent)
