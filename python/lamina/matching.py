"""Which rows a predicate is true of: evaluated by Arrow, a column at a time.

Each function gives a boolean array without nulls. FilterError for a field that is not there, or a value that cannot be
compared with it; that depends on the types of the columns alone, and so is told of no rows too.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamina.errors import FilterError
from lamina.fields import Table
from lamina.predicate import Predicate

INT64 = range(-(2**63), 2**63)
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": pc.equal,
    "gt": pc.greater,
    "gte": pc.greater_equal,
    "lt": pc.less,
    "lte": pc.less_equal,
}
# What a value must be to be compared with a column of a type.
VALUES: list[tuple[Callable[[pa.DataType], bool], tuple[type, ...], str]] = [
    (pa.types.is_integer, (int, float), "a number"),
    (pa.types.is_floating, (int, float), "a number"),
    (pa.types.is_decimal, (int, decimal.Decimal), "an int or a Decimal"),
    (pa.types.is_string, (str,), "a str"),
    (pa.types.is_boolean, (bool,), "True or False"),
    (pa.types.is_binary, (bytes,), "bytes"),
    (pa.types.is_timestamp, (dt.datetime,), "a datetime"),
    (pa.types.is_date, (dt.date,), "a date"),
    (pa.types.is_time, (dt.time,), "a time"),
    (pa.types.is_duration, (dt.timedelta,), "a timedelta"),
]


def passing(node: Predicate, table: Table) -> pa.BooleanArray:
    """The rows of which it is true."""
    if node.kind == "and":
        return functools.reduce(pc.and_, (passing(part, table) for part in node.parts)) if node.parts else _all(table)
    if node.kind == "or":
        return functools.reduce(pc.or_, (passing(part, table) for part in node.parts)) if node.parts else _none(table)
    if node.kind == "not":
        return pc.invert(passing(node.parts[0], table))
    try:
        if node.kind == "arrow":
            return _of_arrow(node.values[0], table)
        return LEAVES[node.kind](table.column(node.field), node)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise FilterError(f"{_named(node)} cannot be asked: {error}") from error


def _named(node: Predicate) -> str:
    return f"${node.kind} of field {node.field!r}" if node.field else f"the Arrow expression {node.values[0]}"


def _all(table: Table) -> pa.BooleanArray:
    return pa.array(np.ones(table.rows, np.bool_))


def _none(table: Table) -> pa.BooleanArray:
    return pa.array(np.zeros(table.rows, np.bool_))


def _known(answers: pa.BooleanArray) -> pa.BooleanArray:
    return answers.fill_null(False) if answers.null_count else answers


def _exists(column: pa.Array, node: Predicate) -> pa.BooleanArray:
    return pc.is_valid(column)


def _one_of(column: pa.Array, node: Predicate) -> pa.BooleanArray:
    fitted = [_fitted(node.field, "eq", value, column.type) for value in node.values]
    values = [value for kind, value in fitted if kind == "eq"]
    if len(values) == 1:
        return _known(pc.equal(column, pa.scalar(values[0], column.type)))
    values += [-value for value in values if value == 0.0 and pa.types.is_floating(column.type)]
    return pc.is_in(column, value_set=pa.array(values, column.type))


def _ordered(column: pa.Array, node: Predicate) -> pa.BooleanArray:
    return _compared(column, node.field, node.kind, node.values[0])


def _compared(column: pa.Array, field: str, kind: str, value: Any) -> pa.BooleanArray:
    kind, value = _fitted(field, kind, value, column.type)
    if kind == "always":
        return pc.is_valid(column)
    if kind == "never":
        return pa.array(np.zeros(len(column), np.bool_))
    return _known(COMPARE[kind](column, pa.scalar(value, column.type)))


def _contains(column: pa.Array, node: Predicate) -> pa.BooleanArray:
    if pa.types.is_string(column.type):
        _, piece = _fitted(node.field, "eq", node.values[0], column.type)
        return _known(pc.match_substring(column, piece))
    if pa.types.is_null(column.type):
        return column.is_valid()
    if not pa.types.is_list(column.type):
        raise FilterError(f"$contains asks texts and lists, and field {node.field!r} is {column.type}")
    hits = _one_of(pc.list_flatten(column), node)
    found = np.zeros(len(column), np.bool_)
    found[pc.list_parent_indices(column).filter(hits).to_numpy()] = True
    return pa.array(found)


LEAVES: dict[str, Callable[[pa.Array, Predicate], pa.BooleanArray]] = {
    "exists": _exists,
    "in": _one_of,
    "contains": _contains,
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _ordered),
}


def _fitted(field: str, kind: str, value: Any, of: pa.DataType) -> tuple[str, Any]:
    """A comparison that asks the same in the type of the column; "always": of all values, "never": of none."""
    if pa.types.is_null(of):
        return "never", None
    if pa.types.is_nested(of):
        asked = "$contains" if pa.types.is_list(of) else f"a field in it, as {field + '.name'!r}"
        raise FilterError(f"field {field!r} is {of}, which is not compared: ask {asked}")
    if isinstance(value, str) and pa.types.is_temporal(of):
        value = _time_of(field, value, of)
    types, needed = _needed(of)
    date_for_time = isinstance(value, dt.datetime) != (dt.datetime in types) and dt.date in types
    if not isinstance(value, types) or isinstance(value, bool) != (bool in types) or date_for_time:
        shown = f"{value!r} ({type(value).__name__})"
        raise FilterError(f"field {field!r} is {of}: it is compared with {needed}, not {shown}")
    if pa.types.is_integer(of):
        return _in_int64(kind, value)
    if pa.types.is_floating(of):
        return _in_double(kind, value)
    if pa.types.is_decimal(of):
        return _in_decimal(kind, decimal.Decimal(value), of)
    if pa.types.is_timestamp(of) and (value.tzinfo is None) != (of.tz is None):
        has, lacks = ("a time zone", "none") if of.tz else ("no time zone", "one")
        raise FilterError(f"field {field!r} is of times with {has}, and {value.isoformat()} has {lacks}")
    if pa.types.is_temporal(of):
        try:
            stored = pa.scalar(value, of)
        except pa.ArrowInvalid:  # beyond the years of nanoseconds
            above = value.year > 1970 if isinstance(value, dt.datetime) else value > dt.timedelta(0)
            return _beyond(kind, above), None
        if stored.as_py() != value:
            raise FilterError(f"field {field!r} is {of}, and {value!r} lies between two of its values")
    return kind, value


def _needed(of: pa.DataType) -> tuple[Any, str]:
    """What `VALUES` says of a type: looked for once for all types of its kind."""
    known = _needed_by_id.get(of.id)
    if known is None:
        found = ((types, needed) for is_kind, types, needed in VALUES if is_kind(of))
        known = _needed_by_id[of.id] = next(found, ((object,), "a value"))
    return known


_needed_by_id: dict[int, tuple[Any, str]] = {}


def _in_int64(kind: str, value: float) -> tuple[str, Any]:
    if math.isnan(value):
        return "never", None
    if kind == "eq":
        whole = not math.isinf(value) and int(value) == value and int(value) in INT64
        return ("eq", int(value)) if whole else ("never", None)
    if value >= INT64.stop or value < INT64.start:
        return _beyond(kind, value > 0), None
    return kind, math.floor(value) if kind in ("gt", "lte") else math.ceil(value)


def _beyond(kind: str, above: bool) -> str:
    """A comparison with what is greater, or else less, than all that the column can hold."""
    return "never" if kind == "eq" or (kind in ("gt", "gte")) == above else "always"


def _in_decimal(kind: str, value: decimal.Decimal, of: pa.DataType) -> tuple[str, Any]:
    """A value between two that the column can hold is asked of as in `_in_int64`, with steps for numbers."""
    if value and value.adjusted() >= of.precision - of.scale:
        return _beyond(kind, value > 0), None
    steps = _shifted(value, of.scale)
    down = steps.to_integral_value(decimal.ROUND_FLOOR)
    if kind == "eq" and down != steps:
        return "never", None
    whole = down if kind in ("eq", "gt", "lte") else steps.to_integral_value(decimal.ROUND_CEILING)
    if abs(int(whole)) >= 10**of.precision:
        return _beyond(kind, whole > 0), None
    return kind, _shifted(whole, -of.scale)


def _shifted(value: decimal.Decimal, places: int) -> decimal.Decimal:
    """Times 10**places, all digits kept."""
    sign, digits, exponent = value.as_tuple()
    return decimal.Decimal((sign, digits, int(exponent) + places))


def _in_double(kind: str, value: float) -> tuple[str, Any]:
    """An int that no double equals lies between two: the nearest, `near`, and one on its other side."""
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    if near == value:
        return kind, near
    if kind == "eq" or math.isnan(near):
        return "never", None
    if kind in ("gt", "gte"):
        return ("gte" if near > value else "gt"), near
    return ("lt" if near > value else "lte"), near


def _time_of(field: str, value: str, of: pa.DataType) -> Any:
    """A time that is given as ISO 8601, for whoever has JSON."""
    text = re.sub(r"[zZ]$", "+00:00", value)
    if (finer := re.search(r"[.,]\d{6}(\d+)", text)) is not None:  # which Python would cut off
        if finer[1].strip("0"):
            raise FilterError(f"field {field!r} is asked about {value!r}: times are compared to the microsecond")
        text = text[: finer.start(1)] + text[finer.end(1) :]
    try:
        if pa.types.is_date(of):
            return dt.date.fromisoformat(text)
        if pa.types.is_time(of):
            return dt.time.fromisoformat(text)
        if pa.types.is_timestamp(of):
            return dt.datetime.fromisoformat(text)
    except ValueError:
        pass
    raise FilterError(f"field {field!r} is {of}, and {value!r} is not one in ISO 8601")


def _of_arrow(expression: pc.Expression, table: Table) -> pa.BooleanArray:
    import pyarrow.acero as ac

    written = str(expression)  # has every name that it refers to, and perhaps more
    columns = {name: table.column(name) for name in table.names() if name in written}
    source = pa.table({"": pa.nulls(table.rows), **columns})  # one that gives the number of rows
    project = ac.Declaration("project", ac.ProjectNodeOptions([expression], ["passing"]))
    plan = ac.Declaration.from_sequence([ac.Declaration("table_source", ac.TableSourceNodeOptions(source)), project])
    try:
        answers = plan.to_table(use_threads=False).column(0)
    except pa.ArrowInvalid as error:
        if unknown := re.match(r"No match for (FieldRef\..*?) in ", str(error)):
            raise table.unknown(".".join(re.findall(r"FieldRef\.Name\((.*?)\)", unknown[1]))) from None
        raise
    if not pa.types.is_boolean(answers.type):
        raise FilterError(f"the Arrow expression {written} is {answers.type}, not true or false")
    return _known(pa.concat_arrays(answers.chunks) if answers.num_chunks else pa.array([], pa.bool_()))
