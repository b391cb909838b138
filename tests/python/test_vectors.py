"""What vectors and ids may come in, and what is said of the rest.

Goal: every rule of values, with the offending value or row named. Method: each kind of input against the float32 or
int64 array that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lamina import DimensionMismatchError
from lamina.vectors import as_id, as_int_ids, as_queries, as_str_ids, as_vectors

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


class DLPackOnly:
    """As a tensor of another library: nothing but the protocol."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class ArrowOnly:
    """As a column of another library: nothing but the Arrow C interface."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self._array.__arrow_c_array__(requested_schema)


class ArrowStreamOnly:
    def __init__(self, array: pa.ChunkedArray) -> None:
        self._array = array

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._array.__arrow_c_stream__(requested_schema)


def fixed_lists() -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(ROWS.reshape(-1)), 4)


SPELLINGS: dict[str, Callable[[], Any]] = {
    "float16": lambda: ROWS.astype(np.float16),
    "float64": lambda: ROWS.astype(np.float64),
    "longdouble": lambda: ROWS.astype(np.longdouble),
    "int8": lambda: ROWS.astype(np.int8),
    "uint64": lambda: ROWS.astype(np.uint64),
    "big endian": lambda: ROWS.astype(">f4"),
    "Fortran order": lambda: np.asfortranarray(ROWS),
    "every other column": lambda: np.repeat(ROWS, 2, axis=1)[:, ::2],
    "backwards": lambda: ROWS[::-1].copy()[::-1],
    "unaligned": lambda: np.frombuffer(b"x" + ROWS.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(3, 4),
    "masked": lambda: np.ma.masked_array(ROWS),
    "lists": lambda: ROWS.tolist(),
    "tuples": lambda: tuple(map(tuple, ROWS.tolist())),
    "list of arrays": lambda: list(ROWS),
    "generator": lambda: (row for row in ROWS),
    "DLPack": lambda: DLPackOnly(ROWS),
    "pandas frame": lambda: pd.DataFrame(ROWS),
    "pandas column of arrays": lambda: pd.Series(list(ROWS)),
    "pandas column of lists": lambda: pd.Series(ROWS.tolist()),
    "polars column of arrays": lambda: pl.Series(ROWS.tolist(), dtype=pl.Array(pl.Float32, 4)),
    "polars column of lists": lambda: pl.Series(ROWS.tolist()),
    "polars frame": lambda: pl.DataFrame(ROWS),
    "Arrow fixed-size lists": fixed_lists,
    "Arrow slice": lambda: pa.concat_arrays([fixed_lists(), fixed_lists()])[3:],
    "Arrow lists": lambda: pa.array(ROWS.tolist()),
    "Arrow chunks": lambda: pa.chunked_array([fixed_lists()[:1], fixed_lists()[1:]]),
    "Arrow table": lambda: pa.table({"vector": fixed_lists()}),
    "Arrow C array": lambda: ArrowOnly(fixed_lists()),
    "Arrow C stream": lambda: ArrowStreamOnly(pa.chunked_array([fixed_lists()])),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_vectors_of_every_kind(spelling: str) -> None:
    array = as_vectors(SPELLINGS[spelling](), 4)
    np.testing.assert_array_equal(array, ROWS)
    assert array.dtype == np.float32
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert array.flags.aligned
    assert type(array) is np.ndarray


def test_a_plain_array_is_not_copied() -> None:
    assert as_vectors(ROWS, 4) is ROWS or np.shares_memory(as_vectors(ROWS, 4), ROWS)
    frozen = ROWS.copy()
    frozen.flags.writeable = False
    assert np.shares_memory(as_vectors(frozen, 4), frozen)
    assert np.shares_memory(as_queries(ROWS[0], 4), ROWS)


@pytest.mark.parametrize("empty", [[], (), np.empty((0, 4)), np.empty((0, 0)), np.empty(0), fixed_lists()[:0]])
def test_no_rows(empty: Any) -> None:
    assert as_vectors(empty, 4).shape == (0, 4)
    assert as_vectors([], 16, "hamming").dtype == np.uint8


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (1.5, "0-D"),
        (np.float32(1), "0-D"),
        ([1.0, 2.0, 3.0, 4.0], r"1-D: a single one is v\[None, :\]"),
        (ROWS.reshape(1, 3, 4), "3-D"),
        ([[1, 2, 3, 4], [1, 2, 3]], "row 1 has 3 elements, and row 0 has 4"),
        ([[1, 2, 3, 4], 5], "row 1 has a number"),
        (pa.array([[1.0] * 4, [1.0] * 4, [1.0]]), "row 2 has 1 elements"),
        (pd.Series([[1.0] * 4, [1.0] * 5]), "row 1 has 5 elements"),
        (pa.array([[1.0] * 4, None]), "nulls"),
        (pa.array([[1.0, None, 2.0, 3.0]]), "nulls"),
        (pa.table({"a": [1.0], "b": [2.0]}), "name one"),
    ],
)
def test_what_is_no_matrix_is_a_value_error(vectors: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_vectors(vectors, 4)


@pytest.mark.parametrize(
    "vectors",
    [
        ROWS.astype(bool),
        ROWS.astype(complex),
        ROWS.astype(object),
        ROWS.astype(str),
        ROWS.astype("datetime64[s]"),
        [["a", "b", "c", "d"]],
        [[1, 2, 3, None]],
        "abcd",
        b"abcd",
        None,
    ],
)
def test_what_is_no_real_number_is_refused(vectors: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        as_vectors(vectors, 4)
    assert "vectors" in str(caught.value)


def test_bool_and_complex_are_type_errors() -> None:
    for dtype in (bool, complex, object):
        with pytest.raises(TypeError, match="real numbers"):
            as_vectors(ROWS.astype(dtype), 4)


def test_another_dimension_names_both() -> None:
    with pytest.raises(DimensionMismatchError, match="dimension 4, where 5"):
        as_vectors(ROWS, 5)
    with pytest.raises(DimensionMismatchError, match="dimension 3, where 4"):
        as_vectors(np.empty((0, 3)), 4)
    with pytest.raises(ValueError, match="dimension 4"):
        as_queries(ROWS[0], 5)
    with pytest.raises(DimensionMismatchError, match="3 bytes of packed bits, where 2 bytes"):
        as_vectors(np.zeros((1, 3), np.uint8), 16, "hamming")


def test_hamming_takes_packed_bits_only() -> None:
    bits = np.packbits(np.eye(16, dtype=bool), axis=1)
    assert np.shares_memory(as_vectors(bits, 16, "hamming"), bits)
    np.testing.assert_array_equal(as_vectors(bits[:, ::-1], 16, "hamming"), bits[:, ::-1])
    for dtype in (np.float32, np.int64, bool):
        with pytest.raises(TypeError, match=r"numpy\.packbits"):
            as_vectors(bits.astype(dtype), 16, "hamming")


def test_queries_keep_their_ndim() -> None:
    assert as_queries(ROWS[0].astype(float), 4).shape == (4,)
    assert as_queries(ROWS[:1].tolist(), 4).shape == (1, 4)
    assert as_queries(np.empty((0, 4)), 4).shape == (0, 4)
    for wrong in (1.0, ROWS[None]):
        with pytest.raises(ValueError, match="a query is 1-D"):
            as_queries(wrong, 4)


@pytest.mark.parametrize(
    "ids",
    [
        [3, 0, 7],
        (3, 0, 7),
        np.array([3, 0, 7], np.uint8),
        np.array([3, 0, 7], ">i4"),
        np.array([3, 0, 7], np.uint64),
        np.array([3, 0, 7], object),
        np.repeat(np.array([3, 0, 7]), 2)[::2],
        [np.int8(3), np.uint64(0), 7],
        pd.Series([3, 0, 7]),
        pd.array([3, 0, 7], dtype="Int64"),
        pl.Series([3, 0, 7]),
        pa.array([3, 0, 7]),
        pa.chunked_array([[3, 0], [7]]),
        (id for id in (3, 0, 7)),
    ],
)
def test_ids_of_every_kind(ids: Any) -> None:
    array = as_int_ids(ids)
    assert array.dtype == np.int64
    assert array.tolist() == [3, 0, 7]


def test_ids_at_the_ends_of_int64() -> None:
    ends = [-(2**63), 2**63 - 1]
    assert as_int_ids(ends).tolist() == ends
    assert as_int_ids([-2, 0]).tolist() == [-2, 0]
    assert as_int_ids([]).shape == (0,)
    assert as_int_ids(range(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, -1], ValueError, "id -1"),
        (np.array([5, -1]), ValueError, "id -1"),
        ([2**63], ValueError, str(2**63)),
        ([2**80], ValueError, str(2**80)),
        ([-(2**63) - 1], ValueError, str(-(2**63) - 1)),
        (np.array([2**63], np.uint64), ValueError, str(2**63)),
        ([True, 2], TypeError, "True is a bool"),
        (np.array([True]), TypeError, "bool"),
        ([1, np.True_], TypeError, "bool"),
        ([1.0], TypeError, "1.0 is a float"),
        (np.array([1.0]), TypeError, "float64"),
        (["a"], TypeError, "'a' is a str"),
        (["a", 1], TypeError, "'a'"),
        ([1, "a"], TypeError, "'a'"),
        ([None], TypeError, "None"),
        ("12", TypeError, "'12'"),
        (7, TypeError, "7"),
        (np.array([[1]]), ValueError, "2-D"),
        (pa.array([1, None]), (TypeError, ValueError), "null|float"),
    ],
)
def test_ids_that_are_refused(ids: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        as_int_ids(ids)


def test_one_id() -> None:
    assert as_id(np.uint8(5)) == 5
    for wrong in (True, 1.0, "1", None, np.True_):
        with pytest.raises(TypeError):
            as_id(wrong)
    for wrong in (-1, 2**63, -(2**63) - 1):
        with pytest.raises(ValueError, match=str(wrong)):
            as_id(wrong)


@pytest.mark.parametrize(
    "ids",
    [["a", "ü"], ("a", "ü"), np.array(["a", "ü"]), pd.Series(["a", "ü"]), pl.Series(["a", "ü"]), pa.array(["a", "ü"])],
)
def test_string_ids(ids: Any) -> None:
    assert as_str_ids(ids) == ("a", "ü")


@pytest.mark.parametrize(("ids", "named"), [(["a", 1], "1 is a int"), ([b"a"], "b'a'"), ("ab", "'ab'"), (3, "3")])
def test_string_ids_that_are_refused(ids: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        as_str_ids(ids)
