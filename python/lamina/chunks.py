"""The chunks of sources: those of one source come together, and replace all that were stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.sources import CHUNK_MARK, Item
from lamina.standing import CHUNK

if TYPE_CHECKING:
    from lamina.collection import Collection


class Chunks:
    """Which chunks a scope has of each source; read when the first chunk comes."""

    def __init__(self, collection: Collection, scope: str) -> None:
        self._collection = collection
        self._scope = scope
        self._stored: dict[str, list[str]] | None = None
        self._seen: set[str] = set()

    def gone(self, items: Sequence[Item]) -> dict[str, list[str]]:
        """Of each source that is here, the stored chunks that are not. ValueError for one that was here before."""
        sources = {item.source for item in items if item.source is not None}
        if not sources:
            return {}
        for source in sources & self._seen:
            raise ValueError(f"the chunks of {source!r} do not come one after another: sort the source by source_id")
        self._seen |= sources
        if self._stored is None:
            self._stored = self._read()
        ids = {item.id for item in items}
        gone = {source: [id for id in self._stored.get(source, ()) if id not in ids] for source in sources}
        return {source: ids for source, ids in gone.items() if ids}

    def _read(self) -> dict[str, list[str]]:
        stored: dict[str, list[str]] = {}
        with self._collection.snapshot() as snapshot:
            core = snapshot._core
            for refs in snapshot._refs(CHUNK):
                for id, scope in zip(core.ids_at(refs).tolist(), core.fields_at(refs)["scope"], strict=True):
                    if scope == self._scope and isinstance(id, str) and CHUNK_MARK in id:
                        stored.setdefault(id.rpartition(CHUNK_MARK)[0], []).append(id)
        return stored
