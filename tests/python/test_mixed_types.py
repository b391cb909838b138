"""Python's values of several kinds in one column of a batch.

Goal: none is read as another, wherever it lies; what one column holds goes on being taken. Method: all pairs of values
of each kind, in both orders, flat and nested, given as dicts, as columns and in a frame, with and without declared
types: refused, or read back equal and of the same kind.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import itertools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lamina
from lamina import columns


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    pass


DAY, NOON = dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 12, 30)
AWARE = NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))
KINDS: dict[str, list[Any]] = {
    "none": [None],
    "bool": [True, np.False_],
    "number": [5, np.int64(6), np.uint8(7), Level.HIGH, 2.5, np.float64(3.5), np.float32(1.5), decimal.Decimal("1.5")],
    "text": ["s", Name("t"), np.str_("u")],
    "bytes": [b"b", bytearray(b"c"), np.bytes_(b"d")],
    "date": [DAY, np.datetime64("2021-01-01", "D")],
    "datetime": [NOON, np.datetime64("2021-01-01T01:00", "us"), pd.Timestamp("2022-01-01 05:00")],
    "aware": [AWARE, pd.Timestamp("2022-01-01 05:00", tz="UTC")],
    "time": [dt.time(1, 2)],
    "aware time": [dt.time(1, 2, tzinfo=dt.timezone.utc)],
    "timedelta": [dt.timedelta(1), np.timedelta64(5, "us"), pd.Timedelta(1, "s")],
    "uuid": [uuid.UUID(int=5)],
    "list": [[1], (2,), np.array([3])],
    "dict": [{"k": 1}],
}
VALUES = [(kind, value) for kind, values in KINDS.items() for value in values]
PAIRS = list(itertools.product(VALUES, VALUES))
MIXED = [pair for pair in PAIRS if pair[0][0] != pair[1][0] and "none" not in (pair[0][0], pair[1][0])]


def in_frame(first: Any, second: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"x": [None, None]}, dtype=object)
    frame.at[0, "x"], frame.at[1, "x"] = first, second
    return frame


def in_array(first: Any, second: Any) -> Any:
    values = np.empty(2, object)
    values[0], values[1] = first, second
    return values


FORMS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[list[Any]], list[Any]]]] = {
    "flat": (lambda one, other: [{"x": one}, {"x": other}], lambda column: column),
    "columns": (lambda one, other: {"x": [one, other]}, lambda column: column),
    "tuple": (lambda one, other: {"x": (one, other)}, lambda column: column),
    "objects": (lambda one, other: {"x": in_array(one, other)}, lambda column: column),
    "frame": (in_frame, lambda column: column),
    "dict": (lambda one, other: [{"x": {"k": one}}, {"x": {"k": other}}], lambda rows: [row["k"] for row in rows]),
    "list": (lambda one, other: [{"x": [one, other]}, {"x": None}], lambda rows: list(rows[0])),
    "lists": (lambda one, other: [{"x": [one]}, {"x": [other]}], lambda rows: [row[0] for row in rows]),
    "deep": (
        lambda one, other: {"x": [[{"k": [one]}, None], [{"k": [other]}]]},
        lambda rows: [rows[0][0]["k"][0], rows[1][0]["k"][0]],
    ),
}


def same(given: Any, read: Any) -> bool:
    """Whether what is read is of the plain Python kind that the given value stands for, and equal."""
    if isinstance(given, (np.generic, np.ndarray)):
        given = given.tolist()
    if isinstance(given, (tuple, list)):
        return isinstance(read, list) and list(given) == read
    if isinstance(given, dt.datetime):
        return isinstance(read, dt.datetime) and (given.tzinfo is None) == (read.tzinfo is None) and given == read
    if isinstance(given, (dt.date, bool)) or given is None:
        return type(given) is type(read) and given == read
    if isinstance(given, uuid.UUID):
        return bool(read == given.bytes)
    return bool(given == read)  # of other kinds, none equals one of another


@pytest.mark.parametrize("form", FORMS)
def test_no_value_is_read_as_another(form: str) -> None:
    give, read = FORMS[form]
    for (_, one), (_, other) in PAIRS:
        try:
            column = columns.from_metadata(give(one, other), 2).column(0)
        except (TypeError, ValueError):
            continue
        found = read(columns.listed(column))
        if type(one) is dt.time and one.tzinfo is not None:  # a zone of a time alone is not kept
            assert {type(one), type(other)} <= {dt.time, type(None)}
            continue
        if type(other) is dt.time and other.tzinfo is not None:
            assert one is None
            continue
        assert [same(one, found[0]), same(other, found[1])] == [True, True], (
            f"{one!r} and {other!r} are read as {found}"
        )


@pytest.mark.parametrize("form", FORMS)
def test_kinds_that_are_mixed_are_refused_by_name(form: str) -> None:
    give, _ = FORMS[form]
    for (_, one), (_, other) in MIXED:
        with pytest.raises(TypeError, match=r"metadata column 'x[^']*' holds .* and "):
            columns.from_metadata(give(one, other), 2)


DECLARED = [
    pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.time64("us"), pa.duration("us"), pa.int64(),
    pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.decimal128(20, 3),
]  # fmt: skip


@pytest.mark.parametrize("kind", DECLARED, ids=str)
def test_a_declared_type_takes_no_mixture_either(kind: pa.DataType) -> None:
    for (_, one), (_, other) in MIXED:
        with pytest.raises(TypeError, match="'x' holds"):
            columns.from_metadata([{"x": one}, {"x": other}], 2, {"x": kind})
        with pytest.raises(TypeError, match=r"'x\.k' holds"):
            columns.from_metadata({"x": [{"k": one}, {"k": other}]}, 2, {"x": pa.struct([("k", kind)])})
        with pytest.raises(TypeError, match=r"'x\[\]' holds"):
            columns.from_metadata({"x": [[one, other]]}, 1, {"x": pa.list_(kind)})
        with pytest.raises(TypeError, match=r"'x'.*'value' holds"):
            columns.from_metadata([{"x": {"a": one, "b": other}}], 1, {"x": pa.map_(pa.string(), kind)})


def test_the_place_and_both_kinds_are_named() -> None:
    for rows, told in (
        ([{"x": DAY}, {"x": NOON}], "'x' holds date and datetime:"),
        ([{"x": AWARE}, {"x": NOON}], "'x' holds datetime and datetime with a zone:"),
        ([{"x": {"a": [{"b": DAY}]}}, {"x": {"a": [{"b": 5}]}}], r"'x\.a\[\]\.b' holds date and int:"),
        ([{"x": {"a": 1}}, {"x": {b"a": DAY}}], r"'x\.keys\(\)' holds bytes and str:"),
    ):
        with pytest.raises(TypeError, match=f"^metadata column {told}"):
            columns.from_metadata(rows, 2)


def test_what_one_column_holds_is_taken() -> None:
    for given, read in (
        ([None, DAY, None], [None, DAY, None]),
        ([1, None, 2.5, np.int64(3), np.float32(0.5), Level.HIGH], [1.0, None, 2.5, 3.0, 0.5, 3.0]),
        ([decimal.Decimal("1.5"), 5], [decimal.Decimal("1.5"), decimal.Decimal(5)]),
        ([True, np.False_, None], [True, False, None]),
        (["s", Name("t"), np.str_("u")], ["s", "t", "u"]),
        ([NOON, pd.Timestamp(NOON), np.datetime64(NOON, "us")], [NOON] * 3),
        ([AWARE, AWARE.astimezone(dt.timezone.utc)], [AWARE] * 2),
        ([[1], (2.5,), None, np.array([3, 4]), []], [[1.0], [2.5], None, [3.0, 4.0], []]),
        ([{"a": 1}, {"b": DAY}, None, {"a": 2.5, "b": None}], [
            {"a": 1.0, "b": None}, {"a": None, "b": DAY}, None, {"a": 2.5, "b": None},
        ]),
        ([NOON, pa.scalar(NOON, pa.timestamp("us"))], [NOON] * 2),
    ):  # fmt: skip
        assert columns.from_metadata({"x": given}, len(given)).column(0).to_pylist() == read
    frame = pd.DataFrame({"x": pd.Series([DAY, None, float("nan"), pd.NaT], dtype=object)})
    assert columns.from_metadata(frame, 4).column(0).to_pylist() == [DAY, None, None, None]
    masked = np.ma.masked_array(np.array([DAY, 5], object), [False, True])
    assert columns.from_metadata({"x": masked}, 2).column(0).to_pylist() == [DAY, None]


def test_what_nests_too_deep_is_refused_as_that() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(ValueError, match="levels deep"):
        columns.from_metadata([{"x": deep}], 1)


def test_no_write_takes_a_mixture(tmp_path: Path) -> None:
    mixed = [{"day": DAY}, {"day": NOON}]
    with lamina.open(tmp_path / "s", create=True) as store:
        for name, schema in (("free", None), ("declared", {"day": pa.date32()})):
            docs = store.create_collection(name, model="hash:8", schema=schema)
            docs.upsert([1, 2], content=["a", "b"], metadata=[{"day": DAY}] * 2)
            rows = [{"id": at, "content": "new", **row} for at, row in zip((1, 2), mixed, strict=True)]
            for write in (
                lambda docs=docs: docs.upsert([1, 2], content=["c", "d"], metadata=mixed),
                lambda docs=docs: docs.add([3, 4], content=["c", "d"], metadata={"day": [DAY, NOON]}),
                lambda docs=docs: docs.update([1, 2], metadata=mixed),
                lambda docs=docs, rows=rows: docs.refresh(rows),
            ):
                with pytest.raises(TypeError, match="'day' holds date and datetime"):
                    write()
            assert docs.get([1, 2]).metadata == [{"day": DAY}] * 2
            assert len(docs) == 2
