"""Whatever people hold vectors and ids in, as the arrays that the core takes.

Vectors become C-contiguous float32 `(n, dim)`, packed bits (metric "hamming") uint8 `(n, dim / 8)`, integer ids int64
`(n,)`. What is already so is passed on, never copied.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.arguments import text
from lamina.errors import DimensionMismatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_id", "as_int_ids", "as_queries", "as_str_ids", "as_vectors"]

MIN_ID, MAX_ID = -(2**63), 2**63 - 1


def as_vectors(vectors: Any, dim: int, metric: str = "cosine") -> NDArray[Any]:
    """Rows of vectors: C-contiguous float32 `(n, dim)`, or uint8 `(n, dim / 8)` for "hamming"; `n` may be 0.

    Takes NumPy arrays of any real dtype (read-only and non-contiguous too), anything with DLPack, columns and frames of
    pandas and polars, an Arrow column of lists (also through the Arrow C interface), and lists of rows.

    Raises `TypeError` for what is not real numbers, `ValueError` for what is not `(n, dim)`, and
    `DimensionMismatchError` for another dimension. Whether values are finite is checked by the core.
    """
    array = _as_array(vectors, "vectors")
    width = _width(dim, metric)
    if array.ndim in (1, 2) and array.shape[-1] == 0 and len(array) == 0:
        array = np.empty((0, width), dtype=_dtype(metric))
    if array.ndim != 2:
        hint = ": a single one is v[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"vectors are 2-D, (n, {width}), and these are {array.ndim}-D{hint}")
    return _typed(array, width, metric, "vectors")


def as_queries(query: Any, dim: int, metric: str = "cosine") -> NDArray[Any]:
    """One query `(dim,)` or several `(q, dim)`; otherwise as `as_vectors`."""
    array = _as_array(query, "query")
    width = _width(dim, metric)
    if array.ndim not in (1, 2):
        raise ValueError(f"a query is 1-D, ({width},), or 2-D, (q, {width}), and this is {array.ndim}-D")
    if array.ndim == 1 and array.size == 0:
        raise DimensionMismatchError(f"an empty query: one is ({width},), and no queries at all are (0, {width})")
    return _typed(array, width, metric, "query")


def as_int_ids(ids: Any) -> NDArray[np.int64]:
    """Integer ids as int64 `(n,)`; −1, bools, floats and what lies beyond int64 are refused by value."""
    array = _int_array(ids)
    if array.ndim != 1:
        raise ValueError(f"ids are 1-D, and these are {array.ndim}-D")
    if array.dtype == np.uint64 and array.size and int(array.max()) > MAX_ID:
        raise ValueError(f"id {int(array.max())} is beyond int64")
    array = np.ascontiguousarray(array, dtype=np.int64)
    if (array == -1).any():
        raise ValueError("id -1 is refused: it marks an empty slot in results")
    return array


def as_id(id: Any) -> int:
    """One integer id, by the rules of `as_int_ids`."""
    if isinstance(id, (bool, np.bool_)):
        raise TypeError(f"id {id!r} is a bool: ids are integers")
    try:
        value = operator.index(id)
    except TypeError:
        raise TypeError(f"id {id!r} is a {type(id).__name__}: ids are integers") from None
    if value == -1:
        raise ValueError("id -1 is refused: it marks an empty slot in results")
    if not MIN_ID <= value <= MAX_ID:
        raise ValueError(f"id {value} is beyond int64")
    return value


def as_str_ids(ids: Any) -> tuple[str, ...]:
    """String ids; TypeError names the first that is none."""
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids are a sequence of str, and {ids!r} is none")
    values = tuple(_plain(ids))
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"id {value!r} is a {type(value).__name__}, where ids are str")
    if not all(map(str.isascii, values)):
        for value in values:
            text("id", value)
    return values


def _width(dim: int, metric: str) -> int:
    return dim // 8 if metric == "hamming" else dim


def _dtype(metric: str) -> type[np.generic]:
    return np.uint8 if metric == "hamming" else np.float32


def _typed(array: NDArray[Any], width: int, metric: str, what: str) -> NDArray[Any]:
    bits = metric == "hamming"
    if array.shape[-1] != width:
        unit = " bytes of packed bits" if bits else ""
        raise DimensionMismatchError(f"{what} of dimension {array.shape[-1]}{unit}, where {width}{unit} is stored")
    if bits and array.dtype != np.uint8:
        raise TypeError(f"{what} for hamming are uint8, of packed bits, and {array.dtype} here: see numpy.packbits")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{what} are real numbers, and {array.dtype} here")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and the core names the row
        return np.require(array, dtype=_dtype(metric), requirements=["C", "A"])


def _as_array(values: Any, what: str) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        _refuse_masked(values, what)
        return np.asarray(values)
    if hasattr(values, "to_numpy") and (hasattr(values, "dtype") or hasattr(values, "dtypes")):  # pandas, polars
        array = np.asarray(values.to_numpy())
        return _from_rows(list(array), what) if array.dtype == object and array.ndim == 1 else array
    if hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__"):
        return _from_arrow(values, what)
    if hasattr(values, "__dlpack__"):
        return np.asarray(np.from_dlpack(values))
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{what} are numbers, and this is {type(values).__name__}")
    if isinstance(values, Iterable) and not hasattr(values, "__array__"):
        values = values if isinstance(values, (list, tuple)) else list(values)
    return _from_rows(values, what)


def _refuse_masked(array: NDArray[Any], what: str) -> None:
    if np.ma.is_masked(array):
        raise ValueError(f"{what} are masked: what lies under a mask is no value; fill it, or leave the rows out")


def _from_rows(values: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        lengths = [len(row) if hasattr(row, "__len__") else None for row in values]
        _refuse_ragged(lengths, what)
        raise


def _refuse_ragged(lengths: Any, what: str) -> None:
    for number, length in enumerate(lengths):
        if length != lengths[0]:
            here, first = ("a number" if n is None else f"{n} elements" for n in (length, lengths[0]))
            raise ValueError(f"{what} are ragged: row {number} has {here}, and row 0 has {first}")


def _from_arrow(values: Any, what: str) -> NDArray[Any]:
    import pyarrow as pa

    if not isinstance(values, (pa.Array, pa.ChunkedArray, pa.Table, pa.RecordBatch)):
        values = pa.array(values) if hasattr(values, "__arrow_c_array__") else pa.chunked_array(values)
    if isinstance(values, (pa.Table, pa.RecordBatch)):
        if values.num_columns != 1:
            raise ValueError(f"{what} are one column of lists, and this has {values.column_names}: name one")
        values = values.column(0)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.ExtensionArray):  # a tensor, say
        values = values.storage
    of_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_list(values.type) for is_list in of_lists):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if values.null_count or values.flatten().null_count:
        raise ValueError(f"{what} hold nulls")
    if len(values) == 0:
        return np.empty((0, 0), dtype=np.float32)
    lengths = values.value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != lengths[0]).any():
        _refuse_ragged(lengths.tolist(), what)
    return np.asarray(values.flatten().to_numpy(zero_copy_only=False)).reshape(len(values), int(lengths[0]))


def _int_array(ids: Any) -> NDArray[Any]:
    """An integer array of `ids`, looking at the values one by one where NumPy would round or guess."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids are a sequence of integers, and {ids!r} is none")
    if hasattr(ids, "to_numpy"):  # pandas, polars, Arrow
        ids = ids.to_numpy()
    if isinstance(ids, np.ndarray):
        _refuse_masked(ids, "ids")
        if ids.dtype.kind in "iu":
            return ids
        if ids.size and ids.dtype != object:
            raise TypeError(f"ids are integers, and of dtype {ids.dtype} here, such as {ids.flat[0]!r}")
    values = list(_plain(ids))
    if set(map(type, values)) <= {int}:
        try:
            return np.fromiter(values, dtype=np.int64, count=len(values))
        except OverflowError:
            pass  # said below, with the value
    return np.array([as_id(value) for value in values], dtype=np.int64)


def _plain(ids: Iterable[Any]) -> Iterable[Any]:
    """Python values where `ids` is an array or a column of somebody's."""
    for name in ("tolist", "to_pylist"):
        if hasattr(ids, name):
            listed: Iterable[Any] = getattr(ids, name)()
            return listed
    return ids
