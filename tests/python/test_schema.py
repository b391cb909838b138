"""Metadata columns whose types are declared.

Goal: what is declared is kept, whatever comes, in this process and the next. Method: values that fit and values that do
not, in every way to write.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lamina
from lamina import Model, Store

MODEL = Model("m", dim=4)
VECTORS = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
SCHEMA = {"year": int, "price": float, "name": str, "tags": pa.list_(pa.string()), "at": pa.timestamp("us", "UTC")}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os", maintenance="manual") as opened:
        yield opened


FITTING: list[dict[str, Any]] = [
    {"year": 2020, "price": 3, "name": "x", "tags": ["a", None], "at": dt.datetime.now(dt.timezone.utc)},
    {"year": None, "other": 1},
    {},
    {"other": 1.5, "tags": []},
]


def test_what_fits_is_taken_and_the_rest_is_inferred(store: Store) -> None:
    docs = store.create_collection("docs", model=MODEL, schema=SCHEMA)
    docs.add(range(4), VECTORS[:4], FITTING)
    assert docs.count(filter={"price": {"$gt": 2.5}}) == 1
    assert docs.count(filter={"other": {"$gte": 1}}) == 2
    assert docs.get([0], include="metadata.price").metadata == [{"price": 3.0}]


@pytest.mark.parametrize(
    ("row", "column"),
    [({"year": 1.5}, "year"), ({"year": "2020"}, "year"), ({"name": 3}, "name"), ({"tags": "a"}, "tags"),
     ({"tags": [1]}, "tags"), ({"at": dt.datetime(2020, 1, 1)}, "at"), ({"price": True}, "price")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(store: Store, row: dict[str, Any], column: str) -> None:
    docs = store.create_collection("docs", model=MODEL, schema=SCHEMA)
    docs.add(range(4), VECTORS[:4], FITTING)
    store.close()
    with lamina.open(store.path, maintenance="manual") as again:
        docs = again.get_collection("docs")
        for write in (docs.upsert, docs.add):
            with pytest.raises(TypeError, match=f"column '{column}"):
                write([8], VECTORS[8:], [row])
        with pytest.raises(TypeError, match=f"column '{column}"):
            docs.update([0], metadata=[row])
        docs.branch("side")
        with pytest.raises(TypeError, match=f"column '{column}"):
            again.get_collection("side").upsert([8], VECTORS[8:], [row])
        assert docs.count() == 4


BERLIN = pa.timestamp("us", "Europe/Berlin")
NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)
SPAN = dt.timedelta(days=1, seconds=5)
MAP = pa.map_(pa.string(), pa.float64())
LOSSLESS: list[tuple[pa.DataType, Any, Any]] = [
    (BERLIN, NOON, NOON),
    (pa.timestamp("us", "UTC"), pa.scalar(NOON, BERLIN), NOON),
    (pa.date64(), dt.date(2020, 1, 2), dt.date(2020, 1, 2)),
    (pa.time32("s"), dt.time(1, 2, 3), dt.time(1, 2, 3)),
    (pa.time32("ms"), dt.time(1, 2, 3, 4000), dt.time(1, 2, 3, 4000)),
    (pa.duration("s"), SPAN, SPAN),
    (pa.decimal128(10, 2), decimal.Decimal("1.500"), decimal.Decimal("1.50")),
    (pa.int64(), 3.0, 3),
    (MAP, {"a": 1, "b": None}, [("a", 1.0), ("b", None)]),
    (MAP, [("a", 1), ("b", 0.5)], [("a", 1.0), ("b", 0.5)]),
    (pa.map_(pa.int64(), pa.list_(pa.time32("s"))), {7: [dt.time(1)]}, [(7, [dt.time(1)])]),
    (pa.list_(pa.duration("s")), [SPAN, None], [SPAN, None]),
    (pa.struct({"at": BERLIN, "never": pa.string()}), {"at": NOON}, {"at": NOON}),
    (pa.struct({"m": MAP}), {"m": {"a": 1}}, {"m": [("a", 1.0)]}),
]


@pytest.mark.parametrize(("kind", "value", "read"), LOSSLESS, ids=[str(kind) for kind, _, _ in LOSSLESS])
def test_a_value_that_fits_without_a_loss_is_taken(store: Store, kind: pa.DataType, value: Any, read: Any) -> None:
    docs = store.create_collection("docs", model=MODEL, schema={"x": kind})
    docs.add([1, 2], VECTORS[:2], [{"x": value}, {}])
    docs.add([3], VECTORS[2:3])
    docs.update([3], metadata=[{"x": value}])
    docs.refresh([(4, None, {"x": value})], embed=lambda texts: VECTORS[: len(texts)])
    assert docs.refresh([(4, None, {"x": value})], embed=lambda texts: VECTORS[: len(texts)]).unchanged == 1
    for _ in range(2):
        assert docs.get([1, 3, 4]).metadata == [{"x": read}] * 3
        assert docs.to_arrow().schema.field("metadata").type.field("x").type.equals(kind)
        docs.optimize()
    docs.upsert([2], VECTORS[:1], pa.table({"x": pa.array([read], kind)}))
    assert docs.get([2]).metadata == [{"x": read}]
    if pa.types.is_map(kind) or not pa.types.is_nested(kind):  # what is read can be written
        docs.upsert([2], VECTORS[:1], [{"x": read}])
        assert docs.get([2]).metadata == [{"x": read}]
    if not pa.types.is_nested(kind):
        assert docs.count({"x": read}) == 4


@pytest.mark.parametrize(
    ("kind", "value"),
    [(BERLIN, dt.datetime(2020, 1, 1)), (pa.timestamp("us"), NOON), (pa.time32("s"), dt.time(1, 2, 3, 4)),
     (pa.duration("s"), dt.timedelta(microseconds=1)), (pa.decimal128(10, 2), decimal.Decimal("1.555")),
     (pa.date64(), NOON), (pa.int64(), 1.5), (pa.int64(), 1e300), (MAP, {"a": "x"}), (MAP, {1: 1}), (MAP, [1]),
     (MAP, {"a": 2**53 + 1}), (MAP, [(None, 1)]), (MAP, "ab"), (pa.struct({"at": BERLIN}), {"at": NOON, "by": 1}),
     (pa.list_(pa.duration("s")), [dt.timedelta(microseconds=1)]), (pa.string(), 1), (pa.float64(), "1")],
)  # fmt: skip
def test_a_value_that_would_lose_something_is_refused(store: Store, kind: pa.DataType, value: Any) -> None:
    docs = store.create_collection("docs", model=MODEL, schema={"x": kind})
    with pytest.raises(TypeError, match=r"metadata column 'x(\.by)?' "):
        docs.add([1], VECTORS[:1], [{"x": value}])
    assert docs.count() == 0


def test_a_declared_column_can_be_filtered_by_before_it_has_values(store: Store) -> None:
    docs = store.create_collection("docs", model=MODEL, schema=pa.schema([("year", pa.int32())]))
    assert docs.count(filter={"year": 2020}) == 0
    docs.add([1], VECTORS[:1])
    assert docs.count(filter={"year": None}) == 1
    with pytest.raises(lamina.FilterError, match="'year' is int64"):
        docs.filter({"year": "x"})


@pytest.mark.parametrize(
    ("schema", "error", "why"),
    [("year int", TypeError, "a schema is an Arrow schema"), ({"year": object}, TypeError, "is declared"),
     ({"year": "no such type"}, TypeError, "is declared"), ({1: int}, TypeError, "name is a str"),
     (pa.schema([("a", pa.int64()), ("a", pa.int64())]), ValueError, "twice"),
     ({"a": pa.month_day_nano_interval()}, ValueError, "does not keep")],
)  # fmt: skip
def test_what_is_no_schema_is_refused(store: Store, schema: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        store.create_collection("docs", model=MODEL, schema=schema)
    assert store.list_collections() == []


def test_types_by_their_names(store: Store) -> None:
    docs = store.create_collection("docs", model=MODEL, schema={"year": "int64", "name": "string", "day": "date32"})
    docs.add([1], VECTORS[:1], [{"year": 1, "name": "x", "day": dt.date(2020, 1, 1)}])
    with pytest.raises(TypeError, match="'day'"):
        docs.add([2], VECTORS[:1], [{"day": 1}])


@pytest.mark.parametrize("name", ["_id", "_scope", "_stale", "_created_at", "_updated_at", "_embedded_at"])
def test_no_column_has_a_name_that_means_something_else(store: Store, name: str) -> None:
    docs = store.create_collection("docs", model=MODEL)
    for metadata in ([{name: 1}], {name: [1]}, pa.table({name: [1]})):
        with pytest.raises(ValueError, match="something of its own"):
            docs.add([1], VECTORS[:1], metadata)
    with pytest.raises(ValueError, match="something of its own"):
        store.create_collection("declared", model=MODEL, schema={name: int})
    assert len(docs) == 0


def test_no_column_has_the_name_of_a_field_in_another(store: Store) -> None:
    docs = store.create_collection("docs", model=MODEL)
    docs.add([1, 2], VECTORS[:2], [{"author": {"name": "ann"}}, {"author.age": 3, "a.b": 1}])
    with pytest.raises(ValueError, match=r"column 'author\.name', and a field of column 'author'"):
        docs.update([1], metadata=[{"author.name": "eve"}])
    with pytest.raises(ValueError, match=r"column 'a\.b', and a field of column 'a'"):
        docs.update([1], metadata=[{"a": {"b": 1}}])
    docs.update([1], metadata=[{"a": {"c": 1}}])
    assert docs.ids({"author.name": "ann"}).tolist() == [1]
    assert docs.ids({"a.b": 1}).tolist() == [2]


def test_a_filter_is_not_taken_for_ids(store: Store) -> None:
    docs = store.create_collection("docs", model=MODEL)
    docs.add(["source", "b"], VECTORS[:2], [{"source": "x"}] * 2)
    for given in ({"source": "y"}, docs.filter({"source": "x"})):
        with pytest.raises(TypeError, match="give it as filter="):
            docs.delete(given)
    with pytest.raises(TypeError, match="ids are a sequence of str"):
        docs.get({"source": "x"})
    assert len(docs) == 2
