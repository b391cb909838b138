"""The fields that a filter may ask for: metadata columns, paths into them, and what each record has by itself."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lamina import codec, columns
from lamina.errors import FilterError
from lamina.filters import unknown
from lamina.recent import Recent
from lamina.shared import columns_of
from lamina.widening import OWN, leads
from lamina.writes import Ids, kind_of

if TYPE_CHECKING:
    from lamina import _core

INSTANT = pa.timestamp("us", "UTC")

Columns = Recent[tuple[int, str, pa.DataType], pa.Array]  # by part, name and type


class Table:
    """So many rows of a collection with this schema (as `Settings` has it): here none, which is enough to check a
    predicate."""

    rows = 0

    def __init__(self, schema: str, id_kind: str | None) -> None:
        self._schema = schema
        self._types = _types(schema, id_kind)

    def names(self) -> list[str]:
        """The columns, without paths into them."""
        return list(self._types)

    def column(self, field: str) -> pa.Array:
        """A column, or what a path leads to in one. FilterError for a field that is not there."""
        name, path = self._place(field)
        array = self._array(name, self._types[name])
        return pc.struct_field(array, path) if path else array

    def unknown(self, field: str) -> FilterError:
        return FilterError(unknown("field", field, [*_paths(columns_of(self._schema)), *OWN]))

    def _array(self, name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([], kind)

    def _place(self, field: str) -> tuple[str, list[str]]:
        """The column of a field, the longest name first, and the path from there."""
        steps = field.split(".")
        for taken in range(len(steps), 0, -1):
            name, path = ".".join(steps[:taken]), steps[taken:]
            if name in self._types and leads(self._types[name], path):
                return name, path
        raise self.unknown(field)


class BatchTable(Table):
    """Records that are about to be written: their ids and metadata."""

    def __init__(self, schema: str, ids: Ids, metadata: pa.RecordBatch) -> None:
        super().__init__(schema, kind_of(ids))
        self._ids = ids
        self._metadata = columns.conform(metadata, columns_of(schema))
        self.rows = len(ids)

    def _array(self, name: str, kind: pa.DataType) -> pa.Array:
        if name == "_id":
            return pa.array(self._ids, kind)
        if name in OWN:
            raise FilterError(f"field {name!r} is not known of what this transaction has written")
        return self._metadata.column(name)


class PartTable(Table):
    """The rows of one part of a snapshot from one on, deleted ones too. Columns of a whole sealed part are kept."""

    def __init__(
        self,
        core: _core.Snapshot,
        schema: str,
        part: int,
        key: int,
        rows: range,
        kept: Columns | None,
    ) -> None:
        super().__init__(schema, core.id_kind)
        self._core = core
        self._part = part
        self._key = key
        self._first = rows.start
        self.rows = len(rows)
        self._kept = kept
        self._arrays: dict[str, pa.Array] = {}

    def load(self, fields: Iterable[str]) -> None:
        """Reads what columns of metadata these fields need and are not kept, all in one go."""
        names = {self._place(field)[0] for field in fields}
        wanted = {name: self._types[name] for name in names if name not in OWN and not self._find(name)}
        if not wanted:
            return
        parts: dict[str, list[pa.Array]] = {name: [] for name in wanted}
        for batch in self._batches(list(wanted)):
            for name, kind in wanted.items():
                at = batch.schema.get_field_index(name)
                found = pa.nulls(batch.num_rows, kind) if at < 0 else columns.widen(batch.column(at), kind)
                parts[name].append(found)
        for name in wanted:
            self._keep(name, pa.concat_arrays(parts[name]))

    def _array(self, name: str, kind: pa.DataType) -> pa.Array:
        if not self._find(name):
            if name in OWN:
                self._load_own(name)
            else:
                self.load([name])
        return self._arrays[name]

    def _find(self, name: str) -> bool:
        if name not in self._arrays and self._kept is not None:
            known = self._kept.find((self._key, name, self._types[name]))
            if known is not None:
                self._arrays[name] = known
        return name in self._arrays

    def _keep(self, name: str, array: pa.Array) -> None:
        self._arrays[name] = array
        if self._kept is not None and name != "_embedded_at":  # which changes with the vectors
            self._kept.keep((self._key, name, array.type), array, array.nbytes)

    def _batches(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        for block in self._core.blocks(self._part, self._first):
            yield codec.read_metadata(block, names)

    def _load_own(self, name: str) -> None:
        if name == "_id":
            ids = self._core.ids_at(self._refs())
            self._keep(name, pa.array(ids.tolist() if ids.dtype == object else ids, self._types[name]))
        elif name == "_embedded_at":
            found = self._core.provenance_at(self._refs())
            self._keep(name, _instants(found["embedded_us"], ~found["has_vector"]))
        else:
            found = self._core.fields_at(self._refs())
            self._keep("_created_at", _instants(found["created_us"]))
            self._keep("_updated_at", _instants(found["updated_us"]))
            self._keep("_scope", pa.array(found["scope"], pa.string()))

    def _refs(self) -> NDArray[np.uint64]:
        first = (self._part << 32) + self._first
        return np.arange(first, first + self.rows, dtype=np.uint64)


@functools.lru_cache(maxsize=1024)
def _types(schema: str, id_kind: str | None) -> Mapping[str, pa.DataType]:
    """Of the metadata columns, and of what each record has by itself, which goes first."""
    types = {field.name: field.type for field in columns_of(schema)} | dict.fromkeys(OWN, INSTANT)
    of_ids = pa.null() if id_kind is None else pa.string() if id_kind == "str" else pa.int64()
    return types | {"_id": of_ids, "_scope": pa.string()}


def _instants(microseconds: NDArray[np.int64], mask: Any = None) -> pa.Array:
    return pa.array(microseconds, pa.int64(), mask=mask).view(INSTANT)


def _paths(fields: Iterable[Any], before: str = "") -> Iterator[str]:
    for field in fields:
        yield before + field.name
        if pa.types.is_struct(field.type):
            yield from _paths(field.type, f"{before}{field.name}.")
