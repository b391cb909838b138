"""Metadata columns whose types are declared.

Goal: what is declared is kept, whatever comes, in this process and the next. Method: values that fit and values that do
not, in every way to write.
"""

from __future__ import annotations

import datetime as dt
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
