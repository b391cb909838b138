"""Refresh: bring a collection up to date with a source, embedding only what changed."""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lamina import _core, codec, columns, records, sources, writes
from lamina.errors import ConflictError
from lamina.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from lamina.collection import Collection
    from lamina.models import Embed, Model
    from lamina.snapshot import Snapshot

__all__ = ["RefreshReport", "refresh"]


@dataclasses.dataclass
class RefreshReport:
    """What a refresh did, in records: each record of the source is in exactly one of the first four."""

    added: int = 0
    updated: int = 0  # with another text than before, or without a vector before
    metadata_only: int = 0
    unchanged: int = 0
    embedded: int = 0  # texts given to the embedder
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """Records of the source."""
        return self.added + self.updated + self.metadata_only + self.unchanged

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def refresh(
    collection: Collection,
    source: Any,
    embed: Embed | str | None = None,
    *,
    batch_size: int = 512,
    progress: bool = True,
) -> RefreshReport:
    """Adds what is new in a source and updates what changed, by id and by the hash of the content.

    Unchanged content is never embedded again, and changed metadata embed nothing. Each batch is durable, with its
    vectors, when the next begins, so a refresh that was stopped goes on where it was. Nothing is deleted. An id that
    comes again in a source replaces what it had before.

    Args:
        source: an iterable of `(id, content)`, `(id, content, metadata)` or dicts; a pandas or polars frame; an Arrow
            table; or the path of a JSONL, CSV or Parquet file, or of a folder of text files.
        embed: the embedder; None: the one that the collection's model is bound to.
        batch_size: texts that are embedded and written together.
        progress: show a bar on stderr, where that is a terminal.

    Raises ValueError without an embedder or for a source that cannot be read, and what embedder and writes raise.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}")
    model = collection.model if embed is None else collection.model.bind(embed)
    if model.embed_with is None:
        raise ValueError(
            f"refresh embeds texts: give embed=, since the model {model.name!r} has no embedder bound to it"
        )
    collection._target()  # closed, dropped and read-only ones refuse before the source is read
    report, started = RefreshReport(), time.perf_counter()
    found = sources.items(source)
    with Progress(progress, sources.size(source), "refresh") as bar:
        while batch := {item.id: item for item in itertools.islice(found, batch_size)}:
            _refresh_batch(collection, model, _Batch.of(list(batch.values())), report)
            report.seconds = time.perf_counter() - started
            bar.update(report.seen, f"{report.embedded} embedded")
    return report


@dataclasses.dataclass
class _Batch:
    ids: writes.Ids
    metadata: pa.RecordBatch
    content: pa.Array
    hashes: NDArray[np.uint8]
    embedded: dict[int, NDArray[Any]]  # by row, over retries

    @classmethod
    def of(cls, found: list[sources.Item]) -> _Batch:
        texts = [item.content for item in found]
        return cls(
            writes.as_ids([item.id for item in found]),
            columns.from_metadata([item.metadata for item in found], len(found)),
            writes.as_content(texts, len(found)),
            codec.content_hashes(texts),
            {},
        )


def _refresh_batch(collection: Collection, model: Model, batch: _Batch, report: RefreshReport) -> None:
    while True:
        with collection.snapshot() as snapshot:
            there, embed, rewrite = _diff(snapshot, batch)
            version = snapshot.version
        changed = np.flatnonzero(embed | rewrite)
        if len(changed):
            put = _put(model, batch, changed, embed)
            try:
                collection._write(put, version)
            except ConflictError:  # somebody wrote since the snapshot: compare again
                continue
        report.added += int((~there).sum())
        report.updated += int((embed & there).sum())
        report.metadata_only += int((rewrite & ~embed & there).sum())
        report.unchanged += len(batch.ids) - len(changed)
        report.embedded += len(batch.embedded)
        return


def _diff(snapshot: Snapshot, batch: _Batch) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each row: whether its record is there, whether its text is to be embedded, whether its metadata differ."""
    rows = len(batch.ids)
    there, embed, rewrite = np.zeros(rows, bool), np.ones(rows, bool), np.ones(rows, bool)
    core = snapshot._core
    if len(core):
        refs = core.find(writes.of_kind(batch.ids, core.id_kind, snapshot.name))
        there = refs != np.uint64(_core.NO_REF)
        at, found = np.flatnonzero(there), refs[there]
        same_text = (core.fields_at(found)["content_hash"] == batch.hashes[at]).all(axis=1)
        embed[at] = ~(same_text & core.vectors_at(found)[1])
        old = columns.rows_of(records.metadata_at(core, found, snapshot._shared.cache))
        new = columns.rows_of(batch.metadata)
        rewrite[at] = [
            before != new[row] and repr(before) != repr(new[row]) for row, before in zip(at, old, strict=True)
        ]
    embed &= batch.hashes.any(axis=1)
    return there, embed, rewrite | ~there


def _put(model: Model, batch: _Batch, changed: NDArray[np.int64], embed: NDArray[np.bool_]) -> writes.Put:
    """The changed rows, whole: with a new vector, or with the one that they have."""
    import pyarrow as pa

    to_embed = changed[embed[changed]]
    new = [row for row in to_embed.tolist() if row not in batch.embedded]
    if new:
        texts = [batch.content[row].as_py() for row in new]
        batch.embedded.update(zip(new, model.embed(texts), strict=True))
    vectors = np.stack([batch.embedded[row] for row in to_embed.tolist()]) if len(to_embed) else None
    rows = pa.array(changed)
    return writes.Put(
        "upsert",
        writes.ids_at(batch.ids, changed.tolist()),
        columns.take(batch.metadata, rows),
        batch.content.take(rows),
        batch.hashes[changed],
        np.where(embed[changed], _core.FATE_GIVEN, _core.FATE_KEPT).astype(np.uint8),
        vectors,
    )
