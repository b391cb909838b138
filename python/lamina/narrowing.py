"""Narrowing snapshots by filters, and what is remembered of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lamina import _core
from lamina.fields import BatchTable, Columns, PartTable, Table
from lamina.matching import passing
from lamina.predicate import Predicate
from lamina.recent import Recent
from lamina.shared import Settings

if TYPE_CHECKING:
    from lamina.filters import Filter
    from lamina.writes import Ids


def check(filter: Filter, core: _core.Snapshot, schema: str) -> None:
    """FilterError if it cannot be asked of this collection with this schema."""
    passing(filter.predicate, Table(schema, core.id_kind))


def passing_rows(filter: Filter, schema: str, ids: Ids, metadata: pa.RecordBatch) -> list[bool]:
    """Which of some records pass that are about to be written. FilterError."""
    table = BatchTable(schema, ids, metadata)
    answers: list[bool] = passing(filter.predicate, table).to_pylist()
    return answers


class Narrower:
    """Narrows the snapshots of one store. Safe from any thread.

    A filter is evaluated once for each record segment, and for each row of a head; a repeated one over an unchanged
    collection costs a look-up. Decoded columns, and which rows fail, are kept within a bound, whatever the snapshot.
    """

    def __init__(self, *, column_bytes: int = 256 << 20, row_bytes: int = 64 << 20) -> None:
        self._columns: Columns = Recent(column_bytes)
        self._failing: Recent[tuple[bytes, str, int], _core.FailingRows] = Recent(row_bytes)

    def narrowed(self, core: _core.Snapshot, filter: Filter, schema: str | None = None) -> _core.Snapshot:
        """The same version with the records that pass alone; `schema`: the one that its collection is about to have,
        if not its own. FilterError."""
        known = core.narrowed(filter.key)
        if known is not None:
            return known
        schema = Settings.of(core.settings).schema if schema is None else schema
        parts = core.parts()
        if not parts:
            check(filter, core, schema)
        failing = [self._failing_of(core, filter, schema, number, *part) for number, part in enumerate(parts)]
        return core.narrow(filter.key, failing)

    def _failing_of(
        self, core: _core.Snapshot, filter: Filter, schema: str, number: int, key: int, rows: int, sealed: bool
    ) -> _core.FailingRows:
        place = (filter.key, schema, key)
        changing = asks_of_vectors(filter.predicate)
        known = None if changing else self._failing.find(place)
        if known is not None and len(known) >= rows:  # a head may have grown since the snapshot
            return known
        first = 0 if known is None else len(known)
        kept = self._columns if sealed else None
        table = PartTable(core, schema, number, key, range(first, rows), kept)
        table.load(filter.predicate.fields())
        found = _core.FailingRows(table.rows, bits_of(passing(filter.predicate, table)))
        found = found if known is None else known.followed_by(found)
        return found if changing else self._failing.keep(place, found, rows // 8 + len(filter.key))


def asks_of_vectors(node: Predicate) -> bool:
    """Whether the answer may change for a record that does not."""
    if node.kind == "arrow":
        return "_embedded_at" in str(node.values[0])
    return node.field == "_embedded_at" or any(map(asks_of_vectors, node.parts))


def bits_of(answers: pa.BooleanArray) -> pa.Buffer:
    """A bit a row, from the first on."""
    if answers.offset:
        answers = pa.array(answers.to_numpy(zero_copy_only=False))
    return answers.buffers()[1]
