"""Rows are taken of many arrays as Arrow takes them.

Goal: whatever a store keeps in columns can be put together from many blocks. Method: random values of all kept types,
nested too, sliced and with nulls; the rows that are taken are held against Arrow's own, and validated in full.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina import _core, columns

NUMBERS = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2100, 1, 1))
DECIMALS = st.integers(-(10**9), 10**9).map(lambda n: Decimal(n).scaleb(-2))
LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    (pa.int64(), NUMBERS),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), st.text()),
    (pa.large_string(), st.text()),
    (pa.binary(), st.binary()),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.time32("ms"), st.integers(0, 86_399_999)),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
    (pa.timestamp("us"), MOMENTS),
    (pa.timestamp("ns", "Europe/Berlin"), NUMBERS.map(lambda n: n // 2)),
    (pa.duration("us"), NUMBERS),
    (pa.decimal128(20, 2), DECIMALS),
    (pa.decimal256(50, 2), DECIMALS),
]


def nested(inner: tuple[pa.DataType, st.SearchStrategy[Any]]) -> list[tuple[pa.DataType, st.SearchStrategy[Any]]]:
    kind, values = inner
    several = st.lists(values | st.none(), max_size=3)
    both = st.fixed_dictionaries({"a": values | st.none(), "b": st.booleans() | st.none()})
    pairs = st.lists(st.tuples(st.text(), values | st.none()), max_size=3)
    return [
        (pa.list_(kind), several),
        (pa.struct([("a", kind), ("b", pa.bool_())]), both),
        (pa.map_(pa.string(), kind), pairs),
    ]


TYPES = LEAVES + [made for leaf in LEAVES for made in nested(leaf)]
TYPES += [made for leaf in nested((pa.string(), st.text())) for made in nested(leaf)]


@st.composite
def arrays(draw: st.DrawFn) -> list[pa.Array]:
    kind, values = draw(st.sampled_from(TYPES))
    several = st.lists(values if draw(st.booleans()) else values | st.none(), max_size=12)
    made = [pa.array(draw(several), kind) for _ in range(draw(st.integers(1, 4)))]
    return [array.slice(draw(st.integers(0, len(array)))) for array in made]


def taken(made: list[pa.Array], wanted: list[tuple[int, int]]) -> pa.Array:
    which, rows = np.array(wanted, np.int64).reshape(-1, 2).T.copy()
    return pa.array(columns.Taken(made, which, rows))


@given(arrays(), st.data())
def test_rows_of_every_type_are_arrows(made: list[pa.Array], data: st.DataObject) -> None:
    places = [(at, row) for at, array in enumerate(made) for row in range(len(array))]
    wanted = data.draw(st.lists(st.sampled_from(places), max_size=30)) if places else []
    found = taken(made, wanted)
    found.validate(full=True)
    assert found.type == made[0].type
    expected = pa.concat_arrays([made[at].slice(row, 1) for at, row in wanted]) if wanted else made[0].slice(0, 0)
    assert found.equals(expected)
    assert found.null_count == sum(made[at].is_null()[row].as_py() for at, row in wanted)


def test_what_was_taken_outlives_what_it_was_taken_of() -> None:
    texts = [pa.array([f"text {n}" for n in range(1000)]) for _ in range(3)]
    found = taken(texts, [(2, 7), (0, 999)])
    del texts
    assert found.to_pylist() == ["text 7", "text 999"]
    _core.take([found], np.zeros(1, np.int64), np.zeros(1, np.int64))  # and is let go of, where nobody imports it


def test_columns_of_no_batch_at_all_and_rows_of_no_column() -> None:
    batch = columns.from_metadata({"a": [1, 2]}, 2)
    none = np.empty(0, np.int64)
    assert columns.pick([batch], none, none).equals(batch.slice(0, 0))
    rows = np.array([1, 1, 0])
    assert columns.pick([columns.no_columns(2)], np.zeros(3, np.int64), rows).num_rows == 3
    assert columns.pick([batch], np.zeros(3, np.int64), rows, ["b"]).num_rows == 3


def test_what_cannot_be_taken_is_refused() -> None:
    one = pa.array([1, 2])
    for wanted in ([(0, 2)], [(0, -1)], [(1, 0)], [(-1, 0)], [(0, 0), (0, 2)]):
        with pytest.raises(IndexError, match="is not there"):
            taken([one], wanted)
    with pytest.raises(TypeError, match="of one type"):
        taken([one, pa.array(["1"])], [(0, 0)])
    with pytest.raises(TypeError, match="of one type"):
        taken([pa.array([{"a": 1}]), pa.array([{"a": 1, "b": 2}])], [(0, 0)])
    with pytest.raises(ValueError, match="no arrays"):
        taken([], [])
    with pytest.raises(ValueError, match="as many"):
        _core.take([one], np.zeros(2, np.int64), np.zeros(1, np.int64))
    for strange in (pa.array(["a"]).dictionary_encode(), pa.array(["a"], pa.string_view())):
        with pytest.raises(ValueError, match="cannot be taken"):
            taken([strange], [(0, 0)])


def test_columns_that_are_not_needed_are_not_taken() -> None:
    batches = [columns.from_metadata({"a": [1, 2], "b": ["x", "y"]}, 2), columns.from_metadata({"b": [1.5]}, 1)]
    picked = columns.pick(batches, np.array([1, 0]), np.array([0, 1]), blank=["b", "c"])  # b is of two types
    assert picked.schema.names == ["a", "b"]
    assert columns.rows_of(picked) == [{}, {"a": 2}]


def test_of_a_long_block_of_another_schema_no_more_is_widened_than_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = columns.WIDENED + 1
    batches = [
        columns.from_metadata({"a": list(range(rows))}, rows),
        columns.from_metadata({"a": [0.5], "b": ["x"]}, 1),
    ]
    widened = []
    conform = columns.conform
    monkeypatch.setattr(columns, "conform", lambda batch, schema: widened.append(len(batch)) or conform(batch, schema))
    which, wanted = np.array([0, 1, 0, 0]), np.array([rows - 1, 0, 7, rows - 1])
    picked = columns.pick(batches, which, wanted)
    assert columns.rows_of(picked) == [{"a": float(rows - 1)}, {"a": 0.5, "b": "x"}, {"a": 7.0}, {"a": float(rows - 1)}]
    assert widened == [3, 1]
    assert wanted.tolist() == [rows - 1, 0, 7, rows - 1]
    assert [batch.num_rows for batch in batches] == [rows, 1]
