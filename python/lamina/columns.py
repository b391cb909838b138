"""Metadata as Arrow columns: whatever a user hands over, in few plain types, widened without loss or refused.

A key that is absent and a key that is None are the same.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lamina import _core, limits
from lamina.kinds import MOST_NESTED, mixture, refuse_mixed
from lamina.widening import DECLARED, admit, column_name, is_instant, is_naive, merge_schemas, plain_type

WIDENED = 4096  # rows of a block that are brought to another schema as they are; of a longer one those wanted alone
NONE: Mapping[str, pa.DataType] = {}
ALIKE = (pa.types.is_date, pa.types.is_time, pa.types.is_duration, pa.types.is_decimal, is_instant, is_naive)


def from_metadata(metadata: Any, rows: int, declared: Mapping[str, pa.DataType] = NONE) -> pa.RecordBatch:
    """Metadata of `rows` records as a batch of plain types, or of those `declared` of columns.

    A list of dicts (or None), a dict of columns, a pandas or polars frame, an Arrow table or record batch. ValueError
    if it has another number of rows or a name twice, TypeError if a column cannot be one type or does not fit.
    """
    if metadata is None:
        return no_columns(rows)
    if isinstance(metadata, Mapping):
        columns = {column_name(name): _array(name, values, declared) for name, values in metadata.items()}
        for name, column in columns.items():
            if len(column) != rows:
                raise ValueError(f"metadata column {name!r} has {len(column)} values for {rows} ids")
        return _batch(columns, rows)
    if isinstance(metadata, (str, bytes)):
        raise TypeError(f"metadata is a {type(metadata).__name__}: give a list of dicts, a dict of columns, or a frame")
    table = as_table(metadata)
    if table is not None:
        if table.num_rows != rows:
            raise ValueError(f"metadata has {table.num_rows} rows for {rows} ids")
        limits.check_names(table.column_names, "metadata")
        names = table.column_names
        return _batch(
            {column_name(name): _array(name, table.column(at), declared) for at, name in enumerate(names)}, rows
        )
    if isinstance(metadata, Sequence):
        return _from_dicts(metadata, rows, declared)
    raise TypeError(
        f"metadata is a {type(metadata).__name__}: give a list of dicts, a dict of columns, a pandas or polars "
        "frame, or an Arrow table"
    )


def partly_given(metadata: Any, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Of the columns that not every row was given a value of: which were (None counts: it clears)."""
    if not isinstance(metadata, Sequence) or as_table(metadata) is not None:
        return {}  # frames and columns give every cell
    cells = {name: [row is not None and name in row for row in metadata] for name in batch.schema.names}
    return {name: pa.array(given) for name, given in cells.items() if not all(given)}


def no_columns(rows: int) -> pa.RecordBatch:
    """A batch of `rows` rows and no column."""
    return pa.RecordBatch.from_struct_array(pa.Array.from_buffers(pa.struct([]), rows, [None]))


def clean(value: Any) -> Any:
    """A value as a user sees it: keys that hold None are absent, as they are where the column does not exist."""
    if isinstance(value, dict):
        return {name: clean(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    return value


def listed(column: pa.Array) -> list[Any]:
    """A column as Python values. Where nanoseconds are no whole microseconds, which Python's times cannot be, the value
    is the Arrow scalar; pandas is not asked, whether it is there or not."""
    kind = column.type
    if "[ns" not in str(kind):
        values: list[Any] = column.to_pylist()
        return values
    there = column.is_valid().to_pylist()
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        rows = zip(*map(listed, column.flatten()), strict=True)
        return [dict(zip(names, row, strict=True)) if valid else None for row, valid in zip(rows, there, strict=True)]
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        column = pa.concat_arrays([column])
        inner = listed(column.values)
        if pa.types.is_map(kind):
            inner = [tuple(pair.values()) for pair in inner]
        bounds = itertools.pairwise(column.offsets.to_pylist())
        return [inner[start:end] if valid else None for (start, end), valid in zip(bounds, there, strict=True)]
    whole = plain_type(kind, "us")
    exact = column.cast(whole, safe=False)
    values = exact.to_pylist()
    for at in np.flatnonzero(pc.not_equal(exact.cast(kind), column).fill_null(False).to_numpy(zero_copy_only=False)):
        values[at] = column[int(at)]
    return values


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch as clean dicts."""
    if not batch.num_columns:
        return [{} for _ in range(batch.num_rows)]
    rows: list[dict[str, Any]] = listed(batch.to_struct_array())
    if any(pa.types.is_nested(column.type) for column in batch.columns):
        return [clean(row) for row in rows]
    if any(column.null_count for column in batch.columns):
        return [{name: value for name, value in row.items() if value is not None} for row in rows]
    return rows


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in a schema that holds it: columns in its order and types, null where the batch has none."""
    if batch.schema.equals(schema):
        return batch
    return _batch({field.name: column(batch, field) for field in schema}, batch.num_rows)


def column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    """A column of a batch in the type that it has in a schema which holds the batch."""
    at = batch.schema.get_field_index(field.name)
    return pa.nulls(batch.num_rows, field.type) if at < 0 else widen(batch.column(at), field.type)


def same_rows(old: pa.RecordBatch, new: pa.RecordBatch) -> NDArray[np.bool_]:
    """Of each row, whether both batches say the same: NaN equals itself, and null a column that is not there."""
    same = np.ones(new.num_rows, np.bool_)
    try:
        schema = merge_schemas(old.schema, new.schema)
    except TypeError:  # the write that follows says what does not fit
        return ~same
    old, new = conform(old, schema), conform(new, schema)
    for field, before, after in zip(schema, old.columns, new.columns, strict=True):
        if before.equals(after):
            continue
        if pa.types.is_nested(field.type) or pa.types.is_null(field.type):
            pairs = zip(listed(before), listed(after), strict=True)
            same &= np.array([repr(clean(one)) == repr(clean(other)) for one, other in pairs], np.bool_)
            continue
        equal = pc.fill_null(pc.equal(before, after), False)
        if pa.types.is_floating(field.type):
            equal = pc.or_(equal, pc.fill_null(pc.and_(pc.is_nan(before), pc.is_nan(after)), False))
        equal = pc.or_(equal, pc.and_(before.is_null(), after.is_null()))
        same &= equal.to_numpy(zero_copy_only=False)
    return same


def take(batch: pa.RecordBatch, rows: pa.Array) -> pa.RecordBatch:
    """These rows of a batch, in that order. (Arrow forgets the number of rows where there is no column.)"""
    return batch.take(rows) if batch.num_columns else no_columns(len(rows))


def select(batch: pa.RecordBatch, names: Container[str]) -> pa.RecordBatch:
    """These columns of a batch, as far as it has them."""
    found = [name for name in batch.schema.names if name in names]
    return batch.select(found) if found else no_columns(batch.num_rows)


def pick(
    batches: Sequence[pa.RecordBatch],
    which: NDArray[np.int64],
    rows: NDArray[np.int64],
    names: Container[str] | None = None,
    blank: Sequence[str] = (),
) -> pa.RecordBatch:
    """Row rows[i] of batches[which[i]], for each i, in the schema that holds all batches, or at least these columns.

    Columns of `blank` keep their places, and hold nothing but null.
    """
    batches = list(batches) if names is None else [select(batch, names) for batch in batches]
    if blank:
        batches = [_blanked(batch, blank) for batch in batches]
    schema = functools.reduce(merge_schemas, (batch.schema for batch in batches))
    for at, batch in enumerate(batches):
        if batch.num_rows > WIDENED and not batch.schema.equals(schema):
            here = np.flatnonzero(which == at)
            batches[at] = pa.record_batch(Taken([batch], np.zeros(len(here), np.int64), rows[here]))
            rows = rows.copy()
            rows[here] = np.arange(len(here))
    return pa.record_batch(Taken([conform(batch, schema) for batch in batches], which, rows))


def _blanked(batch: pa.RecordBatch, blank: Sequence[str]) -> pa.RecordBatch:
    """The batch with nothing but null in these columns."""
    for at, name in enumerate(batch.schema.names):
        if name in blank:
            batch = batch.set_column(at, name, pa.nulls(batch.num_rows))
    return batch


class Taken:
    """Row rows[i] of arrays[which[i]], for each i, of arrays or batches of one type: for Arrow to import, once."""

    def __init__(self, arrays: Sequence[Any], which: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        self._capsules = _core.take(arrays, which, rows)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._capsules


def concat(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of all batches, in order, in the schema that holds them all."""
    schema = pa.schema([])
    for batch in batches:
        schema = merge_schemas(schema, batch.schema)
    rows = sum(batch.num_rows for batch in batches)
    parts = [conform(batch, schema) for batch in batches]
    joined = {name: pa.concat_arrays([part.column(at) for part in parts]) for at, name in enumerate(schema.names)}
    return _batch(joined, rows)


def as_table(metadata: Any) -> pa.Table | None:
    """A frame or Arrow object as a table; None if it is neither."""
    if isinstance(metadata, pa.Table):
        return metadata
    if isinstance(metadata, pa.RecordBatch):
        return pa.Table.from_batches([metadata])
    module = type(metadata).__module__.partition(".")[0]
    if module == "pandas":
        for name, column in metadata.items():
            refuse_mixed(name, column)
        return pa.Table.from_pandas(metadata, preserve_index=False)
    if module == "polars":
        return metadata.to_arrow()
    return pa.table(metadata) if hasattr(metadata, "__arrow_c_stream__") else None


def _from_dicts(rows: Sequence[Any], count: int, declared: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    if len(rows) != count:
        raise ValueError(f"metadata has {len(rows)} rows for {count} ids")
    given = [{} if row is None else row for row in rows]
    for at, row in enumerate(given):
        if type(row) is not dict and not isinstance(row, Mapping):
            raise TypeError(f"metadata[{at}] is a {type(row).__name__}: each row is a dict, or None")
    names = dict.fromkeys(itertools.chain.from_iterable(given))
    return _batch(
        {column_name(name): _array(name, [row.get(name) for row in given], declared) for name in names}, count
    )


def _batch(columns: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    if not columns:
        return no_columns(rows)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _array(name: object, values: Any, declared: Mapping[str, pa.DataType]) -> pa.Array:
    """One column in a plain type, or the declared one. TypeError, naming the column, if its values have no one type."""
    kind = declared.get(str(name))
    if kind is None or not pa.types.is_map(kind):  # whose keys and values are looked at apart
        refuse_mixed(name, values)
    try:
        column = _column(values, kind)
    except UnicodeEncodeError as error:
        raise ValueError(f"metadata column {name!r} holds {error.object!r}, with lone surrogates: no text") from None
    except (TypeError, ValueError, OverflowError, pa.ArrowNotImplementedError) as error:
        why = "cannot be one Arrow type" if kind is None else f"was declared {kind}, which does not fit"
        raise TypeError(f"metadata column {name!r} {why}: {error}") from error
    if pa.types.is_nested(column.type) and _depth(column.type) > MOST_NESTED:
        raise ValueError(
            f"metadata column {name!r} nests lists or dicts {MOST_NESTED} levels deep or deeper: flatten it"
        )
    return column


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _depth(kind: pa.DataType) -> int:
    return 1 + max((_depth(kind.field(at).type) for at in range(kind.num_fields)), default=0)


def _arrow(values: Any) -> pa.Array:
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
        raise TypeError(f"a column is a list or an array of values, not {values!r}")
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(np.asarray(values), mask=np.ma.getmaskarray(values))
    if isinstance(values, list) and any(issubclass(of, pa.Scalar) for of in set(map(type, values))):
        scalars = np.array([isinstance(value, pa.Scalar) for value in values])
        if not scalars.all():
            return _joined(values, scalars)
    column = pa.array(values)
    if isinstance(values, list) and ("timestamp[us" in str(column.type) or "duration[us" in str(column.type)):
        _refuse_finer(values)
    return column


def _joined(values: list[Any], scalars: NDArray[np.bool_]) -> pa.Array:
    """Python's values and Arrow's scalars, which Arrow takes apart only."""
    places = [np.flatnonzero(~scalars), np.flatnonzero(scalars)]
    parts = [_plain(pa.array([values[at] for at in place])) for place in places]
    schema = functools.reduce(admit, (_batch({"": part}, len(part)) for part in parts), pa.schema([]))
    joined = pa.concat_arrays([widen(part, schema.field(0).type) for part in parts])
    return joined.take(pa.array(np.argsort(np.concatenate(places))))


def _refuse_finer(values: Any) -> None:
    """TypeError for times of pandas with nanoseconds, which Arrow would cut."""
    for value in values.values() if isinstance(values, Mapping) else values:
        if isinstance(value, (list, tuple, Mapping)):
            _refuse_finer(value)
        elif getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
            raise TypeError(f"{value!r} is finer than microseconds: give a frame, or an Arrow column or scalar")


def _column(values: Any, kind: pa.DataType | None) -> pa.Array:
    """Values in a plain type; in `kind` where that loses nothing. Of what it cannot be at all, `widening` tells."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        column = _whole(values) if isinstance(values, pa.ChunkedArray) else values
    elif kind is not None and pa.types.is_map(kind):
        return _mapped(values, kind)
    else:
        column = _arrow(values)
    if kind is None:
        return _plain(column)
    return column if column.type.equals(kind) else _fitted(_plain(column), kind)


def _fitted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column of plain type in a declared type, where one stands for the other. pa.ArrowInvalid for a loss."""
    types, given = pa.types, column.type
    if types.is_map(kind) and types.is_struct(given):
        return _mapped([clean(row) for row in listed(column)], kind)
    if types.is_list(kind) and types.is_list(given):
        column = pa.concat_arrays([column])
        return pa.ListArray.from_arrays(column.offsets, _fitted(column.values, kind.value_type), mask=column.is_null())
    if types.is_struct(kind) and types.is_struct(given):
        inner = {field.name: field.type for field in kind}
        names = [field.name for field in given]
        parts = zip(names, column.flatten(), strict=True)
        fitted = [_fitted(part, inner[name]) if name in inner else part for name, part in parts]
        return pa.StructArray.from_arrays(fitted, names, mask=column.is_null())
    alike = any(of(kind) and of(given) for of in ALIKE) or (types.is_integer(kind) and types.is_floating(given))
    return column.cast(kind) if alike else column


def _mapped(values: Any, kind: pa.DataType) -> pa.Array:
    """Dicts, or lists of pairs, as a map."""
    rows = [row.items() if isinstance(row, Mapping) else row for row in values]
    try:
        pairs = [(key, item) for row in rows if row is not None for key, item in row]
        ends = np.cumsum([0, *(0 if row is None else len(row) for row in rows)])
    except (TypeError, ValueError):
        raise TypeError("a map is a dict, or a list of pairs of key and value") from None
    keys = _exactly([key for key, _ in pairs], "key", kind.key_type)
    items = _exactly([item for _, item in pairs], "value", kind.item_type)
    if keys.null_count:
        raise TypeError("a key of a map is None")
    absent = pa.array([row is None for row in rows], pa.bool_())
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, items, type=kind, mask=absent)


def _exactly(values: list[Any], name: str, kind: pa.DataType) -> pa.Array:
    """Values in a type that they must have, as nothing widens it later."""
    if mixed := mixture(values, name):
        raise TypeError(f"its {mixed}")
    column = _column(values, kind)
    admit(pa.schema([pa.field(name, kind, metadata={DECLARED: b"1"})]), _batch({name: column}, len(values)))
    return widen(column, kind)


def _plain(column: pa.Array) -> pa.Array:
    """In plain types: of microseconds, as Python's own times, unless digits would be lost."""
    try:
        return _cast(column, plain_type(column.type, "us"))
    except pa.ArrowInvalid:
        return _cast(column, plain_type(column.type, "ns"))


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type.equals(kind) else column.cast(kind)


def widen(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as the wider type that `unify` found for it. Arrow's own cast adds no fields to a struct."""
    if column.type.equals(kind):
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), kind)
    if pa.types.is_list(kind):
        column = pa.concat_arrays([column])  # an array of its own: no offset, no hidden values behind it
        values = widen(column.values, kind.value_type)
        return pa.ListArray.from_arrays(column.offsets, values, mask=column.is_null())
    if pa.types.is_map(kind):
        column = pa.concat_arrays([column])
        items = widen(column.items, kind.item_type)
        return pa.MapArray.from_arrays(column.offsets, column.keys, items, type=kind, mask=column.is_null())
    if pa.types.is_struct(kind):
        names = [field.name for field in column.type]
        children = dict(zip(names, column.flatten(), strict=True))
        fields = [
            widen(children[field.name], field.type) if field.name in children else pa.nulls(len(column), field.type)
            for field in kind
        ]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=column.is_null())
    return column.cast(kind, safe=False)
