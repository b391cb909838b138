"""The types of metadata columns: which are kept, and which holds the values of two.

Few types keep widening simple: every integer is int64, every float is double, every text is string, every date is
date32, a dictionary is what it encodes, and what has a unit of time is of microseconds, or of nanoseconds where digits
need them. From there a column widens null → anything, int64 → double, microseconds → nanoseconds, decimals to the
digits of both, and zones of time to UTC, and so inside lists and structs; all else is a TypeError that names the column
and both types. A declared type is kept as it is.

A collection's schema marks what its types do not tell, in the metadata of fields, those inside lists and structs too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from lamina import limits
from lamina.arguments import text

EXACT_IN_DOUBLE = 1 << 53
IN_NANOSECONDS = (2**63 - 1) // 1000  # microseconds: 292 years
LARGE = b"lamina.large"  # there are integers that no double holds, or microseconds that no nanoseconds reach
DECLARED = b"lamina.declared"  # the type was settled beforehand
OWN = ("_id", "_created_at", "_updated_at", "_embedded_at", "_scope")  # what records have by themselves, for filters
PLAIN = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}


def merge_schemas(old: pa.Schema, new: pa.Schema) -> pa.Schema:
    """The schema that holds the columns of both; `old` itself if it already does. Raises as `unify`."""
    if new.equals(old, check_metadata=True):
        return old
    merged = pa.schema(_merged(old, new, ""))
    return old if merged.equals(old, check_metadata=True) else merged


def _merged(old: Iterable[pa.Field], new: Iterable[pa.Field], before: str) -> list[pa.Field]:
    """The fields of both; `before` their names, in a message, stands this."""
    fields = {field.name: field for field in old}
    for field in new:
        known = fields.get(field.name)
        fields[field.name] = field if known is None else unify(known, field, before + field.name)
    return list(fields.values())


def unify(old: pa.Field, new: pa.Field, column: str) -> pa.Field:
    """The field that holds the values of both.

    TypeError, naming the column and the types, if there is none, or another than was declared; ValueError for integers
    that would be rounded, and for times out of range.
    """
    marks = {**(old.metadata or {}), **(new.metadata or {})}
    kind = _wider(old.type, new.type, column, marks)
    if DECLARED in marks and not kind.equals(old.type):
        raise TypeError(
            f"metadata column {column!r} was declared {old.type} and gets {new.type}: give what fits, or another name"
        )
    return pa.field(old.name, kind, metadata=marks)


def _wider(old: pa.DataType, new: pa.DataType, column: str, marks: Mapping[bytes, bytes]) -> pa.DataType:
    types = pa.types
    if types.is_list(old) and types.is_list(new):
        return pa.list_(unify(old.value_field, new.value_field, f"{column}[]"))
    if types.is_struct(old) and types.is_struct(new):
        return pa.struct(_merged(old, new, f"{column}."))
    if old.equals(new) or types.is_null(new):
        return old
    if types.is_null(old):
        return new
    if {old, new} == {pa.int64(), pa.float64()}:
        if LARGE in marks:
            raise ValueError(
                f"metadata column {column!r} would hold both doubles and integers beyond ±2**53, which a double "
                "cannot hold exactly: give it another name"
            )
        return pa.float64()
    if types.is_decimal(old) and types.is_decimal(new) and (wider := _wider_decimal(old, new)) is not None:
        return wider
    if any(of(old) and of(new) for of in TIMES) and {old.unit, new.unit} <= {"us", "ns"}:
        if old.unit != new.unit and LARGE in marks:
            raise ValueError(
                f"metadata column {column!r} would hold both nanoseconds and times beyond the 292 years from 1970 that "
                "these reach: give it another name"
            )
        return _wider_time(old, new)
    raise TypeError(
        f"metadata column {column!r} holds {old} and now gets {new}: give {old}, or another name to the new column"
    )


def _wider_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The decimal with the digits of both before the point and behind it; None if Arrow has none so wide."""
    scale = max(one.scale, other.scale)
    digits = scale + max(one.precision - one.scale, other.precision - other.scale)
    if digits > 76:
        return None
    return pa.decimal256(digits, scale) if digits > 38 else pa.decimal128(digits, scale)


def _wider_time(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    unit = one.unit if one.unit == other.unit else "ns"
    if pa.types.is_timestamp(one):
        return pa.timestamp(unit, one.tz if one.tz == other.tz else "UTC")
    return pa.duration(unit) if pa.types.is_duration(one) else pa.time64(unit)


def is_instant(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is not None


def is_naive(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.tz is None


TIMES = (is_instant, is_naive, pa.types.is_duration, pa.types.is_time64)


def admit(schema: pa.Schema, batch: pa.RecordBatch) -> pa.Schema:
    """The schema of a collection of `schema` once it holds `batch`; `schema` itself if nothing changes.

    Integers beyond ±2**53 are marked, since they cannot become double later, and so are microseconds beyond all
    nanoseconds. Raises as `unify`; ValueError too for a column that has the name of a field in another.
    """
    admitted = merge_schemas(schema, pa.schema(map(_marked, batch.schema, batch.columns)))
    if admitted is not schema:
        for name in admitted.names:
            _refuse_ambiguous(admitted, name)
    return admitted


def _refuse_ambiguous(schema: pa.Schema, name: str) -> None:
    steps = name.split(".")
    for taken in range(1, len(steps)):
        outer = ".".join(steps[:taken])
        if outer in schema.names and leads(schema.field(outer).type, steps[taken:]):
            raise ValueError(
                f"there would be a metadata column {name!r}, and a field of column {outer!r} that is asked for by the "
                "same name: give one of them another"
            )


def leads(kind: pa.DataType, path: list[str]) -> bool:
    """Whether a path of names leads into a type."""
    for step in path:
        if not pa.types.is_struct(kind) or kind.get_field_index(step) < 0:
            return False
        kind = kind.field(step).type
    return True


def _marked(field: pa.Field, values: pa.Array) -> pa.Field:
    """The field of these values, and of those inside them, with marks."""
    kind = field.type
    if pa.types.is_int64(kind) or kind in (pa.duration("us"), pa.timestamp("us", getattr(kind, "tz", None))):
        most = EXACT_IN_DOUBLE if pa.types.is_int64(kind) else IN_NANOSECONDS
        return pa.field(field.name, kind, metadata={LARGE: b"1"} if _exceeds(values.view(pa.int64()), most) else None)
    if pa.types.is_list(kind):
        return pa.field(field.name, pa.list_(_marked(kind.value_field, values.flatten())))
    if pa.types.is_struct(kind):
        return pa.field(field.name, pa.struct(map(_marked, kind, values.flatten())))
    return pa.field(field.name, kind)


def _exceeds(column: pa.Array, most: int) -> bool:
    """Whether an int64 column has a value beyond ±most."""
    values = (column.fill_null(0) if column.null_count else column).to_numpy()
    return bool(values.max(initial=0) > most or values.min(initial=0) < -most)


def declared(given: Any) -> pa.Schema:
    """A schema of columns that keep their types. TypeError, and ValueError for types that a store does not keep."""
    if isinstance(given, Mapping):
        named = [(column_name(name), kind) for name, kind in given.items()]
        given = pa.schema([(name, _type(name, kind)) for name, kind in named])
    if not isinstance(given, pa.Schema):
        raise TypeError(f"a schema is an Arrow schema, or a dict of names and types, not {given!r}")
    plain = pa.schema([pa.field(column_name(f.name), plain_type(f.type), metadata={DECLARED: b"1"}) for f in given])
    limits.check_schema(plain)
    return plain


def column_name(name: object) -> str:
    """TypeError, ValueError for a name that records have for something else."""
    checked = text("a metadata column's name", name)
    if checked in OWN or checked == "_stale":  # of which Parquet tells
        raise ValueError(f"{checked!r} is what lamina calls something of its own: give the column another name")
    return checked


def _type(name: str, kind: Any) -> pa.DataType:
    if isinstance(kind, pa.DataType):
        return kind
    try:
        return PLAIN[kind] if isinstance(kind, type) else pa.type_for_alias(kind)
    except (KeyError, ValueError, TypeError):
        known = ", ".join(plain.__name__ for plain in PLAIN)
        raise TypeError(f"column {name!r} is declared {kind!r}: a type is an Arrow one, or of {known}") from None


def plain_type(kind: pa.DataType, ns: str | None = None) -> pa.DataType:
    """The plain type that stands for a type, without marks. `ns`: the unit for nanoseconds, where what is not declared
    is to be of plain units."""
    types = pa.types
    if types.is_integer(kind):
        return pa.int64()
    if types.is_floating(kind):
        return pa.float64()
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return pa.string()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_dictionary(kind):
        return plain_type(kind.value_type, ns)
    if types.is_timestamp(kind):
        return pa.timestamp(ns or "ns" if kind.unit == "ns" else "us", kind.tz)
    if ns is not None and (types.is_duration(kind) or types.is_time(kind)):
        unit = ns if kind.unit == "ns" else "us"
        return pa.duration(unit) if types.is_duration(kind) else pa.time64(unit)
    if ns is not None and types.is_date(kind):
        return pa.date32()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type, ns))
    if types.is_struct(kind):
        return pa.struct([(field.name, plain_type(field.type, ns)) for field in kind])
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type, ns)
    return kind
