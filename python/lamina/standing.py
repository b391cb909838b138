"""How the records of a source stand in a collection: what is there, and how fresh it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamina import _core, codec, columns, records, writes
from lamina.shared import Settings
from lamina.sources import Item

if TYPE_CHECKING:
    from lamina.refresh import Options
    from lamina.snapshot import Snapshot

Bools = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).min
CHUNK = 1 << 20  # records looked at together


class Standing(NamedTuple):
    """Of some records of a source, how each stands in a snapshot: arrays of one element a record."""

    refs: NDArray[np.uint64]
    there: Bools
    same_text: Bools
    same_scope: Bools
    fresh: Bools  # its vector is of this text, and young enough
    rids: NDArray[np.uint64]  # zero where it is not there

    @classmethod
    def of(cls, snapshot: Snapshot, ids: writes.Ids, hashes: NDArray[np.uint8], options: Options) -> Standing:
        core, rows = snapshot._core, len(ids)
        refs = np.full(rows, _core.NO_REF, np.uint64)
        if len(core):
            refs = core.find(writes.of_kind(ids, core.id_kind, snapshot.name))
        there = refs != np.uint64(_core.NO_REF)
        same_text, same_scope, fresh = (np.zeros(rows, np.bool_) for _ in range(3))
        rids = np.zeros(rows, np.uint64)
        if there.any():
            fields, vector = core.fields_at(refs[there]), core.provenance_at(refs[there])
            wanted = hashes[there]
            same_text[there] = (fields["content_hash"] == wanted).all(axis=1)
            same_scope[there] = [name == options.scope for name in fields["scope"]]
            of_text = vector["has_vector"] & (vector["made_from"] == wanted).all(axis=1)
            fresh[there] = of_text & (vector["embedded_us"] >= options.oldest_us)
            rids[there] = fields["rid"]
        return cls(refs, there, same_text, same_scope, fresh, rids)

    def same_metadata(self, snapshot: Snapshot, items: Sequence[Item]) -> Bools:
        """Of each record, whether it is there with these metadata."""
        same: Bools = self.there.copy()
        at = np.flatnonzero(self.there)
        if len(at):
            old = records.metadata_at(snapshot._core, self.refs[at], snapshot._shared.cache)
            given = [items[row].metadata for row in at.tolist()]
            declared = Settings.of(snapshot._core.settings).declared()
            same[at] = columns.same_rows(old, columns.from_metadata(given, len(at), declared))
        return same


def hashes_of(items: Sequence[Item]) -> NDArray[np.uint8]:
    """(n, 16): of each text. ValueError names the record whose text is none."""
    try:
        return codec.content_hashes([item.content for item in items])
    except UnicodeEncodeError as error:
        wrong = next(item.id for item in items if item.content is error.object)
        raise ValueError(f"the text of {wrong!r} holds lone surrogates, which are no characters") from None


def oldest_us(max_age: timedelta | float | None, now_us: int) -> int:
    """When a vector of this age (or of so many seconds) was made."""
    if max_age is None:
        return NEVER
    age = max_age if isinstance(max_age, timedelta) else timedelta(seconds=max_age)
    return now_us - age // timedelta(microseconds=1)


def owed(snapshot: Snapshot) -> NDArray[Any]:
    """Ids of the records that have no vector."""
    return snapshot._core.ids_at(snapshot._core.missing()[0])


def stale(snapshot: Snapshot, max_age: timedelta | float | None, now_us: int) -> NDArray[Any]:
    """Ids of the records whose vector is of another text than theirs, or older than `max_age`."""
    core = snapshot._core
    found = [core.missing()[1]]
    oldest = oldest_us(max_age, now_us)
    if max_age is not None:
        for refs in snapshot._refs(CHUNK):
            vector = core.provenance_at(refs)
            found.append(refs[vector["has_vector"] & (vector["embedded_us"] < oldest)])
    return core.ids_at(np.unique(np.concatenate(found)))
