"""What a block of columns may hold, beyond what Arrow validates.

Arrow reads more types than it can take, join or hand to Python, sizes that cost no bytes, and dates that Python has no
words for. What is refused here is refused both when it is written and when it is read, so that a block that was let in
can always be read; and no row is refused for the rows beside it, so that blocks can be joined. Each function raises
ValueError, naming the column.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LEAVES = frozenset(
    [pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.binary()]
    + [pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]
    + [pa.duration(unit) for unit in ("s", "ms", "us", "ns")]
)
SCALE_MAX = {32: 9, 64: 18, 128: 38, 256: 76}  # of decimals, by their bits; Arrow prints none beyond
WEIGHTLESS_MAX = 1 << 10  # values in one list where a value takes no byte (null, a struct without fields)


def schema_of(message: pa.ipc.Message, expected: pa.Schema | None = None) -> pa.Schema:
    """The schema in a message: `expected`, or columns of types that the store keeps, no name twice."""
    if message.type != "schema":  # pyarrow would read it as one, and end the process
        raise ValueError(f"an Arrow schema expected, {message.type} found")
    if expected is None:
        return _kept_schema(bytes(message.metadata))
    schema = pa.ipc.read_schema(message)
    if not schema.equals(expected):
        raise ValueError(f"the columns {expected.names} expected, {schema.names} found")
    return schema


def batch_of(message: pa.ipc.Message, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in a message, not yet validated. Its buffers lie in the message: a compressed one, of which a few bytes
    can ask for a machine's memory, is refused."""
    if message.type != "record batch":
        raise ValueError(f"an Arrow record batch expected, {message.type} found")
    if _is_compressed(message.metadata):
        raise ValueError("an Arrow record batch is compressed")
    return pa.ipc.read_record_batch(message, schema)


def check_values(batch: pa.RecordBatch) -> None:
    """The values of a valid batch: each can be given to Python, and a list is no longer than its bytes allow."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        _check_values(column, name)


@functools.lru_cache(maxsize=64)
def _kept_schema(metadata: bytes) -> pa.Schema:
    prefix = struct.pack("<Ii", 0xFFFFFFFF, len(metadata))
    schema = pa.ipc.read_schema(pa.py_buffer(prefix + metadata))
    check_schema(schema)
    return schema


def check_schema(schema: pa.Schema) -> None:
    """Columns of types that the store keeps, no name twice."""
    check_names(schema.names, "metadata")
    for field in schema:
        _check_type(field.type, field.name)


def _is_compressed(metadata: Any) -> bool:
    """pyarrow does not tell; FlatBuffers does, in slot 3 of its RecordBatch. (Arrow has verified these bytes.)"""
    (root,) = struct.unpack_from("<I", metadata)
    header = _slot(metadata, root, 2)
    if not header:
        raise ValueError("an Arrow message has no header")
    return _slot(metadata, header + struct.unpack_from("<I", metadata, header)[0], 3) != 0


def _slot(data: Any, table: int, index: int) -> int:
    """Where a FlatBuffers table keeps its slot; 0 if it has none."""
    vtable: int = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * index >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    inside: int = struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]
    return table + inside if inside else 0


def check_names(names: list[str], where: str) -> None:
    """ValueError for a name that is there twice."""
    if len(set(names)) < len(names):
        raise ValueError(f"{where} has the name {max(names, key=names.count)!r} twice")


def _check_type(kind: pa.DataType, column: str) -> None:
    types = pa.types
    if types.is_list(kind):
        _check_type(kind.value_type, f"{column}[]")
    elif types.is_struct(kind):
        check_names([field.name for field in kind], f"metadata column {column!r}")
        for field in kind:
            _check_type(field.type, f"{column}.{field.name}")
    elif types.is_map(kind):
        _check_type(kind.key_type, f"{column}.key")
        _check_type(kind.item_type, f"{column}.value")
    elif types.is_timestamp(kind) and kind.unit in ("us", "ns"):
        _check_zone(kind.tz, column)
    elif not (kind in LEAVES or (types.is_decimal(kind) and abs(kind.scale) <= SCALE_MAX[kind.bit_width])):
        raise ValueError(f"metadata column {column!r} is {kind}, a type that a store does not keep: give it as another")


def _check_zone(zone: str | None, column: str) -> None:
    try:
        if zone:
            pa.lib.string_to_tzinfo(zone)
    except (ValueError, LookupError, OSError) as error:
        raise ValueError(f"metadata column {column!r} has an unknown time zone, {zone!r}") from error


def _check_values(column: pa.Array, name: str) -> None:
    kind = column.type
    if not _has_limits(kind):
        return
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        if _is_weightless(kind.field(0).type):
            _check_lengths(column, name)
        _check_values(column.flatten(), f"{name}[]")
    elif pa.types.is_struct(kind):
        for field, child in zip(kind, column.flatten(), strict=True):
            _check_values(child, f"{name}.{field.name}")
    elif len(column):
        _check_range(column, name)


def _check_lengths(column: pa.Array, name: str) -> None:
    longest = int(np.diff(column.offsets.to_numpy()).max(initial=0))
    if longest > WEIGHTLESS_MAX:
        raise ValueError(
            f"metadata column {name!r} has a list of {longest} empty values: {WEIGHTLESS_MAX} are the most"
        )


def _check_range(column: pa.Array, name: str) -> None:
    """The first and the last moment have a Python object; then so have those between."""
    kind = column.type
    numbers = pa.int32() if kind.bit_width == 32 else pa.int64()
    bounds = pc.min_max(column.view(numbers)).as_py()
    try:
        pa.array([bounds["min"], bounds["max"]], numbers).view(kind).to_pylist()
    except OverflowError as error:
        raise ValueError(f"metadata column {name!r} has a {kind} beyond what Python can hold") from error


@functools.lru_cache(maxsize=1024)
def _has_limits(kind: pa.DataType) -> bool:
    """Whether values of a type can be such that `check_values` refuses them."""
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return _is_weightless(kind.field(0).type) or _has_limits(kind.field(0).type)
    if pa.types.is_struct(kind):
        return any(_has_limits(field.type) for field in kind)
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return str(kind.unit) != "ns"  # eight bytes of nanoseconds stay within Python's years
    return bool(pa.types.is_date(kind))


def _is_weightless(kind: pa.DataType) -> bool:
    """Whether any number of values takes no bytes."""
    return pa.types.is_null(kind) or (pa.types.is_struct(kind) and all(_is_weightless(field.type) for field in kind))
