"""Well-formed Arrow streams for the fuzzer of blocks to damage: small, one for each layout of a column in Arrow."""

from __future__ import annotations

import contextlib
import datetime
import decimal
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS = 12
DAY = datetime.date(2024, 2, 29)


class Seed(NamedTuple):
    name: str
    stream: bytes
    rows: int


def streams() -> list[Seed]:
    """Streams of one batch, among them what lamina never writes."""
    made = [_seed(name, {name: column}) for name, column in _columns().items()]
    made.append(_seed("mixed", _plain()))
    made += [_seed(f"packed_{how}", _plain(), pa.ipc.IpcWriteOptions(compression=how)) for how in ("lz4", "zstd")]
    made += [_twice(), _no_columns(), _with_metadata(), _deltas()]
    return made


def texts() -> list[Seed]:
    """Streams as blocks keep them for content."""
    given = {
        "short": ["one", None, "", "tre\u00e9", "\U0001f600"] + ["x" * n for n in range(ROWS - 5)],
        "long": ["lorem ipsum " * n for n in range(ROWS)],
        "null": [None] * ROWS,
    }
    return [_seed(f"text_{name}", {"content": pa.array(list(t), pa.large_string())}) for name, t in given.items()]


def _plain() -> dict[str, pa.Array]:
    """As lamina itself writes them."""
    return {
        "int": pa.array([None if i % 5 == 0 else i for i in range(ROWS)], pa.int64()),
        "double": pa.array([i / 3 for i in range(ROWS)]),
        "string": pa.array([None if i % 4 == 0 else "abc\u00e9"[: i % 5] for i in range(ROWS)]),
        "bool": pa.array([i % 3 == 0 for i in range(ROWS)]),
        "null": pa.nulls(ROWS),
        "list": pa.array([None if i % 6 == 0 else list(range(i)) for i in range(ROWS)], pa.list_(pa.int64())),
        "struct": pa.array([None if i == 3 else {"a": i, "b": {"c": str(i)}} for i in range(ROWS)]),
        "lists": pa.array([[[str(i)] * 2, None, []] for i in range(ROWS)]),
        "structs": pa.array([[{"k": i, "v": [i, None]}] * (i % 3) for i in range(ROWS)]),
        "timestamp": pa.array([datetime.datetime(2024, 1, 1 + i) for i in range(ROWS)], pa.timestamp("us", "UTC")),
        "binary": pa.array([bytes(i) for i in range(ROWS)]),
    }


def _columns() -> dict[str, Any]:
    ints = pa.array(range(ROWS), pa.int64())
    words = pa.array([f"word {i % 3}" for i in range(ROWS)])
    return {
        **_plain(),
        "date": pa.array([DAY] * ROWS),
        "date64": pa.array([DAY] * ROWS, pa.date64()),
        "time": pa.array([datetime.time(1, 2, 3)] * ROWS, pa.time64("us")),
        "time32": pa.array([datetime.time(1, 2, 3)] * ROWS, pa.time32("s")),
        "duration": pa.array([datetime.timedelta(days=1)] * ROWS),
        "nanoseconds": pa.array([i * 1000 for i in range(ROWS)], pa.timestamp("ns")),
        "interval": pa.array([pa.MonthDayNano([1, 2, 3])] * ROWS),
        "decimal": pa.array([decimal.Decimal("1.25")] * ROWS, pa.decimal128(10, 2)),
        "decimal256": pa.array([decimal.Decimal("1.25")] * ROWS, pa.decimal256(60, 2)),
        "half": pa.array(np.arange(ROWS, dtype=np.float16)),
        "small": ints.cast(pa.uint8()),
        "map": pa.array([[(str(i), i)] * (i % 3) for i in range(ROWS)], pa.map_(pa.string(), pa.int64())),
        "large_list": pa.array([list(range(i)) for i in range(ROWS)], pa.large_list(pa.int32())),
        "fixed_list": pa.array([[i, i] for i in range(ROWS)], pa.list_(pa.int32(), 2)),
        "fixed_binary": pa.array([b"abcd"] * ROWS, pa.binary(4)),
        "large_binary": pa.array([bytes(i) for i in range(ROWS)], pa.large_binary()),
        "nulls_in_list": pa.array([[None] * i for i in range(ROWS)], pa.list_(pa.null())),
        "dictionary": words.dictionary_encode(),
        "dictionary_in_list": pa.ListArray.from_arrays(list(range(ROWS + 1)), words.dictionary_encode()),
        "sparse_union": pa.UnionArray.from_sparse(pa.array([i % 2 for i in range(ROWS)], pa.int8()), [ints, words]),
        "dense_union": pa.UnionArray.from_dense(
            pa.array([i % 2 for i in range(ROWS)], pa.int8()),
            pa.array([i // 2 for i in range(ROWS)], pa.int32()),
            [ints, words],
        ),
        "naive": pa.array([datetime.datetime.min, None, datetime.datetime.max] * (ROWS // 3), pa.timestamp("us")),
        "zoned": pa.array([datetime.datetime(2024, 1, 1 + i) for i in range(ROWS)], pa.timestamp("us", "+01:00")),
        "dates_in_list": pa.array([[{"d": DAY, "t": None}] * (i % 3) for i in range(ROWS)]),
        "seconds": pa.array([datetime.timedelta(seconds=i) for i in range(ROWS)], pa.duration("s")),
        "weightless": pa.array([[{}] * (i % 2) for i in range(ROWS)], pa.list_(pa.struct([]))),
        "no_keys": pa.array([{}] * ROWS, pa.struct([])),
        "deep": _deep(20),
        "deepest": _deep(60),
        **_newer(ints, words),
    }


def _newer(ints: pa.Array, words: pa.Array) -> dict[str, Any]:
    """Layouts and extension types that not every supported pyarrow has."""
    lists = [list(range(i)) for i in range(ROWS)]
    makers: dict[str, Callable[[], Any]] = {
        "run_ends": lambda: pc.run_end_encode(words),
        "string_view": lambda: pa.array([None, "short", "longer than twelve bytes"] * 4, pa.string_view()),
        "binary_view": lambda: pa.array([b"x" * i for i in range(ROWS)], pa.binary_view()),
        "list_view": lambda: pa.array(lists, pa.list_view(pa.int64())),
        "large_list_view": lambda: pa.array(lists, pa.large_list_view(pa.int64())),
        "tensor": lambda: _extension(
            pa.fixed_shape_tensor(pa.int64(), [2]), pa.FixedSizeListArray.from_arrays(pa.concat_arrays([ints] * 2), 2)
        ),
        "json": lambda: _extension(pa.json_(pa.string()), words),
        "uuid": lambda: _extension(pa.uuid(), pa.array([bytes(16)] * ROWS, pa.binary(16))),
    }
    made = {}
    for name, make in makers.items():
        with contextlib.suppress(AttributeError, pa.ArrowNotImplementedError):
            made[name] = make()
    return made


def _extension(kind: pa.DataType, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, storage)


def _deep(levels: int) -> pa.Array:
    column = pa.array(range(ROWS), pa.int64())
    for level in range(levels):
        if level % 2:
            column = pa.StructArray.from_arrays([column], names=["s"])
        else:
            column = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), column)
    return column


def _seed(name: str, columns: dict[str, pa.Array], options: pa.ipc.IpcWriteOptions | None = None) -> Seed:
    return Seed(name, stream_of(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)), options), ROWS)


def _twice() -> Seed:
    ints = pa.array(range(ROWS), pa.int64())
    inner = pa.StructArray.from_arrays([ints, ints], fields=[pa.field("a", pa.int64())] * 2)
    return Seed("twice", stream_of(pa.RecordBatch.from_arrays([ints, ints, inner], names=["x", "x", "y"])), ROWS)


def _no_columns() -> Seed:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}] * ROWS, type=pa.struct([])))
    return Seed("no_columns", stream_of(batch), ROWS)


def _with_metadata() -> Seed:
    field = pa.field("f", pa.int64(), metadata={b"ARROW:extension:name": b"lamina.none", b"key": b"value"})
    schema = pa.schema([field], metadata={b"pandas": b"{}"})
    return Seed("described", stream_of(pa.RecordBatch.from_arrays([pa.array(range(ROWS))], schema=schema)), ROWS)


def _deltas() -> Seed:
    """Two batches, whose dictionary grows between them."""
    sink = pa.BufferOutputStream()
    columns = [pa.array(["a", "b"] * 6).dictionary_encode(), pa.array(["a", "b", "c"] * 4).dictionary_encode()]
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, pa.schema([("d", columns[0].type)]), options=options) as writer:
        for column in columns:
            writer.write_batch(pa.RecordBatch.from_arrays([column], names=["d"]))
    return Seed("deltas", bytes(sink.getvalue()), ROWS)


def stream_of(batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
