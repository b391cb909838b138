"""What a write meets: a collection as it is, and as the writes before it in a transaction will have left it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina import _core
from lamina.errors import NotFoundError
from lamina.shared import Settings
from lamina.writes import Delete, Ids, Put, Write, as_ids, ids_at, kind_of, listed, of_kind

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from lamina.filters import Filter
    from lamina.shared import Shared


class Rows(NamedTuple):
    """Records as they stand, in the order of some ids."""

    metadata: pa.RecordBatch
    content: pa.Array
    found: tuple[_core.Snapshot, NDArray[np.uint64]] | None = None  # where, if all of them are in a snapshot


class Base:
    """A snapshot, under what a transaction has put over it: what writes are checked against and updates merged into."""

    def __init__(self, name: str, snapshot: _core.Snapshot, shared: Shared) -> None:
        self.version = snapshot.version
        self._name = name
        self.snapshot = snapshot
        self._shared = shared
        self._id_kind = snapshot.id_kind
        self._settings = snapshot.settings
        self._puts: list[Put] = []
        self._over: dict[Any, tuple[int, int] | None] = {}  # id → (which put, its row), or None: deleted
        self._cleared = False

    def admit(self, write: Write) -> tuple[str, str] | None:
        """Checks a write; the settings that the collection has, and those that it needs for this, if it needs others.

        TypeError for ids of the other kind and for a column that changes its type; see `Settings.admit`.
        """
        if write.ids is not None:
            write.ids = of_kind(write.ids, self._id_kind, self._name)
        if isinstance(write, Delete) or not len(write.ids):
            return None
        self._id_kind = kind_of(write.ids)
        before, known = self._settings, Settings.of(self._settings)
        wanted = known
        if write.metadata is not None and write.metadata.num_columns:
            wanted = known.admit(write.metadata)
        if isinstance(write, Put) and write.canary:
            from lamina.kept import Kept

            wanted = wanted._replace(kept=Kept.of(wanted.kept).with_canary(write.model, write.canary).text())
        if wanted == known:
            return None
        self._settings = wanted.text()
        return before, self._settings

    def apply(self, write: Put | Delete) -> None:
        """Later updates see what this write did."""
        if isinstance(write, Put):
            self._over.update((id, (len(self._puts), row)) for row, id in enumerate(listed(write.ids)))
            self._puts.append(write)
        elif write.ids is None:
            self._over.clear()
            self._cleared = True
        else:
            self._over.update(dict.fromkeys(listed(write.ids)))

    def rows(self, ids: Ids, blank: Sequence[str] = ()) -> Rows:
        """The records of these ids; columns of `blank` need not be read, and then hold nothing but null.

        NotFoundError names the first that is not there.
        """
        if not self._over and not self._cleared:
            return self._stored(ids, blank)
        wanted = listed(ids)
        below = [at for at, id in enumerate(wanted) if id not in self._over]
        if self._cleared and below:
            raise self._absent(wanted[below[0]])
        parts, order = [self._stored(ids_at(ids, below))], [below]
        above = sorted((where[0], where[1], at) for at, where in self._above(wanted))
        for which, group in itertools.groupby(above, key=lambda entry: entry[0]):
            found = list(group)
            parts.append(_rows_of(self._puts[which], [row for _, row, _ in found]))
            order.append([at for _, _, at in found])
        return _in_order(parts, order)

    def passing(self, filter: Filter) -> Ids:
        """The ids of the records that pass. FilterError."""
        from lamina import narrowing

        schema = Settings.of(self._settings).schema
        found: list[Any] = []
        if not self._cleared:
            core = self._shared.narrower.narrowed(self.snapshot, filter, schema)
            refs = core.scan(None, len(core))
            found = [id for id in core.ids_at(refs).tolist() if id not in self._over]
        rows: list[list[int]] = [[] for _ in self._puts]
        for where in self._over.values():
            if where is not None:
                rows[where[0]].append(where[1])
        for put, chosen in zip(self._puts, rows, strict=True):
            ids = ids_at(put.ids, chosen)
            passes = narrowing.passing_rows(filter, schema, ids, _rows_of(put, chosen).metadata)
            found += [id for id, passed in zip(listed(ids), passes, strict=True) if passed]
        return of_kind(as_ids(found), self._id_kind, self._name)

    def _above(self, wanted: list[Any]) -> Iterable[tuple[int, tuple[int, int]]]:
        for at, id in enumerate(wanted):
            if id in self._over:
                where = self._over[id]
                if where is None:
                    raise self._absent(id)
                yield at, where

    def _stored(self, ids: Ids, blank: Sequence[str] = ()) -> Rows:
        from lamina import records

        refs = np.full(len(ids), _core.NO_REF, np.uint64) if not len(self.snapshot) else self.snapshot.find(ids)
        absent = refs == np.uint64(_core.NO_REF)
        if absent.any():
            raise self._absent(listed(ids)[int(absent.argmax())])
        found, cache = self.snapshot.blocks_at(refs), self._shared.cache
        metadata = records.metadata_in(found, cache, blank=blank)
        return Rows(metadata, records.content_in(found, cache), (self.snapshot, refs))

    def _absent(self, id: object) -> NotFoundError:
        return NotFoundError(f"no record {id!r} in {self._name!r} to update: upsert adds what is not there")


def _rows_of(put: Put, rows: Sequence[int]) -> Rows:
    import pyarrow as pa

    from lamina import columns

    indices = pa.array(rows, pa.int64())
    content = pa.nulls(len(rows), pa.large_string()) if put.content is None else put.content.take(indices)
    return Rows(columns.take(put.metadata, indices), content)


def _in_order(parts: list[Rows], order: list[list[int]]) -> Rows:
    """Rows of several sources, each to its place."""
    import pyarrow as pa

    from lamina import columns

    places = np.array(list(itertools.chain.from_iterable(order)), np.int64)
    rows = np.empty(len(places), np.int64)
    rows[places] = np.arange(len(places))
    indices = pa.array(rows)
    return Rows(
        columns.take(columns.concat([part.metadata for part in parts]), indices),
        pa.concat_arrays([part.content for part in parts]).take(indices),
    )
