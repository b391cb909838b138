"""What is embedded and written together, and the writing of it."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lamina import _core, columns, writes
from lamina.caller import Caller, Outcome
from lamina.errors import ConflictError, RefreshError
from lamina.known import Known
from lamina.quarantine import Quarantine, Row
from lamina.standing import Standing, hashes_of

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.refresh import Options
    from lamina.report import RefreshReport


@dataclasses.dataclass
class Batch:
    """Records that changed, and the texts among theirs that have to be embedded."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    texts: dict[bytes, str] = dataclasses.field(default_factory=dict)  # by hash
    tokens: dict[bytes, int] = dataclasses.field(default_factory=dict)
    gone: list[str] = dataclasses.field(default_factory=list)  # chunks that their sources no longer have

    def ids(self) -> set[int | str]:
        return {item.id for item, _ in self.rows}


class BatchWriter:
    """Embeds batches, and writes each at once as one version. `write` is for any thread.

    Nothing that a comparison saw is trusted when a batch is written: its records are compared again with what is there.
    """

    def __init__(
        self,
        collection: Collection,
        caller: Caller,
        options: Options,
        report: RefreshReport,
        known: Known,
        quarantine: Quarantine,
    ) -> None:
        self.lock = threading.RLock()  # of the report, of what is known, and of the quarantine
        self._collection = collection
        self._caller = caller
        self._options = options
        self._report = report
        self._known = known
        self._quarantine = quarantine

    def write(self, batch: Batch) -> None:
        """When this returns the batch is durable. RefreshError if the embedder does not work."""
        outcomes: dict[bytes, Outcome] = {}
        if batch.texts:
            outcomes = dict(zip(batch.texts, self._caller.embed(list(batch.texts.values())), strict=True))
        vectors = {hash: made for hash, made in outcomes.items() if not isinstance(made, Exception)}
        wrong = {hash: made for hash, made in outcomes.items() if isinstance(made, Exception)}
        good = [row for row in batch.rows if row[1] not in wrong]
        failed = [row for row in batch.rows if row[1] in wrong]
        with self.lock:
            self._commit(good, batch.gone, vectors)
            self._report.embedded += len(vectors)
            self._report.tokens += sum(batch.tokens[hash] for hash in vectors)
            self._report.failed += len(failed)
            self._quarantine.release({item.id for item, _ in good})
            self._quarantine.add(failed, wrong)
        if failed and self._options.on_error == "raise":
            item, hash = failed[0]
            raise RefreshError(f"the text of {item.id!r} cannot be embedded: {wrong[hash]}") from wrong[hash]

    def _commit(self, rows: list[Row], gone: list[str], vectors: dict[bytes, NDArray[Any]]) -> None:
        ids = writes.as_ids([item.id for item, _ in rows])
        hashes = hashes_of([item for item, _ in rows])
        while True:
            with self._collection.snapshot() as snapshot:
                standing = Standing.of(snapshot, ids, hashes, self._options)
                version: int | None = snapshot.version
            given = hashes.any(axis=1) & ~standing.fresh
            planned: list[Any] = []
            if rows:
                put = self._put(rows, ids, hashes, standing, given, vectors)
                planned.append((self._collection, put, version))
                version = None  # asked for once
            if gone:
                planned.append((self._collection, writes.Delete(writes.as_ids(gone)), version))
            try:
                results = self._collection._store._commit(planned)
                break
            except ConflictError:  # somebody else wrote since the snapshot
                continue
        self._report.count(standing.there, given | ~standing.same_text)
        self._report.deduplicated += max(int(given.sum()) - len(vectors), 0)
        self._report.deleted += sum(result.deleted for result in results)
        for (item, hash), new in zip(rows, given.tolist(), strict=True):
            if new:
                self._known.wrote(hash, item.id)

    def _put(
        self,
        rows: list[Row],
        ids: writes.Ids,
        hashes: NDArray[np.uint8],
        standing: Standing,
        given: NDArray[np.bool_],
        vectors: dict[bytes, NDArray[Any]],
    ) -> writes.Put:
        """The rows, whole: with a new vector, with the one that they have, or without a text and so without one."""
        wanted = {hash: item.content or "" for (item, hash), new in zip(rows, given.tolist(), strict=True) if new}
        vectors = vectors | self._known.vectors([hash for hash in wanted if hash not in vectors])
        late = [hash for hash in wanted if hash not in vectors]  # what was there has gone meanwhile
        if late:
            vectors.update(zip(late, self._caller.model.embed([wanted[hash] for hash in late]), strict=True))
        new_ones = [vectors[hash] for (_, hash), new in zip(rows, given.tolist(), strict=True) if new]
        kept = ~given & (standing.fresh | (~hashes.any(axis=1) & standing.same_text))
        declared = self._collection._target().declared()
        return writes.Put(
            "upsert",
            ids,
            columns.from_metadata([item.metadata for item, _ in rows], len(rows), declared),
            writes.as_content([item.content for item, _ in rows], len(rows)),
            hashes,
            np.select([given, kept], [_core.FATE_GIVEN, _core.FATE_KEPT], _core.FATE_NONE).astype(np.uint8),
            np.stack(new_ones) if new_ones else None,
            self._caller.model,
            scope=self._options.scope,
        )
