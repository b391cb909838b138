"""The kinds of Python's values, of which a column of metadata holds one: Arrow reads most as the kind of the first."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

MOST_NESTED = 32  # levels of one value; Arrow refuses to read its own schemas from 64 on
KINDS: dict[str, tuple[type, ...]] = {  # of Python's values; the first that fits counts
    "None": (type(None),),
    "bool": (bool, np.bool_),
    "timedelta": (dt.timedelta, np.timedelta64),
    "int": (int, np.integer),
    "float": (float, np.floating),
    "Decimal": (decimal.Decimal,),
    "str": (str,),
    "bytes": (bytes, bytearray, memoryview),
    "datetime": (dt.datetime, np.datetime64),
    "date": (dt.date,),
    "time": (dt.time,),
    "dict": (Mapping,),
    "list": (Collection,),
}
TOGETHER = ({"int", "float"}, {"int", "Decimal"})  # kinds that one column holds, as far as Arrow loses nothing


def refuse_mixed(name: object, values: Any) -> None:
    """TypeError if a column is of values of several kinds."""
    if mixed := mixture(_cells(values), str(name)):
        raise TypeError(f"metadata column {mixed}")


def _cells(values: Any) -> Sequence[Any]:
    """The values of a column that are Python's, where they can be of several kinds."""
    if isinstance(values, list):
        return values
    if isinstance(values, (str, bytes, Mapping, pa.Array, pa.ChunkedArray)) or not hasattr(values, "__len__"):
        return []
    if getattr(values, "dtype", "O") != "O" or getattr(values, "ndim", 1) != 1:
        return []
    if isinstance(values, np.ma.MaskedArray):
        values = values.compressed()
    return list(values[values.notna()] if hasattr(values, "notna") else values)  # to pandas, NaN is as good as None


def mixture(values: Sequence[Any], path: str, depth: int = 0) -> str | None:
    """Where values, or those inside them, are of kinds that no one type holds, and which; None if all fit.

    Arrow's scalars are passed over: none that it takes are mixed.
    """
    types = set(map(type, values))
    if any(issubclass(of, pa.Scalar) for of in types):
        values = [value for value in values if not isinstance(value, pa.Scalar)]
        types = set(map(type, values))
    kinds = {_kind(of) for of in types} - {"None"}
    if not kinds.isdisjoint(("datetime", "time")):
        kinds = {_kind_of(value) for value in values if value is not None}
    if len(kinds) > 1 and not any(kinds <= together for together in TOGETHER):
        return f"{path!r} holds {' and '.join(sorted(kinds))}: give values of one kind, or other names to the others"
    if depth > MOST_NESTED or kinds.isdisjoint(("dict", "list")):
        return None
    rows = [value for value in values if value is not None]
    if kinds == {"list"}:  # of an array, one value stands for all
        typed = [row[:1] if isinstance(row, np.ndarray) and row.dtype != object and row.ndim else row for row in rows]
        return mixture(list(itertools.chain.from_iterable(typed)), f"{path}[]", depth + 1)
    fields: dict[Any, list[Any]] = {}
    for row in rows:
        for key, value in row.items():
            fields.setdefault(key, []).append(value)
    inner = (mixture(inside, f"{path}.{key}", depth + 1) for key, inside in fields.items())
    return mixture(list(fields), f"{path}.keys()", depth + 1) or next(filter(None, inner), None)


@functools.lru_cache(256)
def _kind(of: type) -> str:
    return next((kind for kind, known in KINDS.items() if issubclass(of, known)), of.__name__)


def _kind_of(value: Any) -> str:
    """The kind of a value that may be a time: some types are of several kinds."""
    kind = _kind(type(value))  # type: ignore[arg-type]  # a class is hashable
    if isinstance(value, np.datetime64):
        return "date" if np.datetime_data(value.dtype)[0] == "D" else kind
    aware = isinstance(value, (dt.datetime, dt.time)) and value.tzinfo is not None
    return f"{kind} with a zone" if aware else kind
