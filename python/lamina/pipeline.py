"""The inside of a refresh: windows of the source are compared, what changed is embedded and written in batches.

The thread of the caller reads and compares. A few others each take a batch, embed its texts, and write it at once, so
that a finished batch is durable whatever the source and the other batches do.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lamina import writes
from lamina.batch import Batch, BatchWriter
from lamina.caller import Caller, StoppedError
from lamina.chunks import Chunks
from lamina.errors import ConflictError, RefreshError
from lamina.known import Known
from lamina.quarantine import Quarantine
from lamina.sources import Item
from lamina.standing import CHUNK, Standing, hashes_of

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.progress import Progress
    from lamina.refresh import Options
    from lamina.report import RefreshReport

WINDOW = 4096  # records of the source that are compared together
ROWS_MAX = 8192  # records that are written together, if few of them have texts to embed
Changed = tuple[Item, bytes, bool]  # a record, the hash of its text, whether it needs a vector


class BudgetError(Exception):
    """The next batch would exceed the budget."""


class Pipeline:
    """One refresh."""

    def __init__(
        self, collection: Collection, caller: Caller, options: Options, report: RefreshReport, stop: threading.Event
    ) -> None:
        self._collection = collection
        self._caller = caller
        self._options = options
        self._report = report
        self._stop = stop
        self._known = Known(collection, caller.model, options.oldest_us)
        self._quarantine = Quarantine(collection, options.scope)
        self._chunks = Chunks(collection, options.scope)
        self._writer = BatchWriter(collection, caller, options, report, self._known, self._quarantine)
        self._batch = Batch()
        self._running: dict[concurrent.futures.Future[None], Batch] = {}
        self._spent = 0  # tokens of the batches so far
        self._would_go: set[str] = set()  # chunks that are gone, in a dry run
        self._seen = [np.empty(0, np.uint64)]  # rids of the records that the source has and that were there

    def run(self, found: Iterator[Item], bar: Progress) -> None:
        """Reads the source to its end, unless the budget ends before."""
        with concurrent.futures.ThreadPoolExecutor(self._options.concurrency, "lamina-refresh") as self._pool:
            try:
                for window in _windows(found):
                    self._take(window)
                    bar.update(self._report.seen, f"{self._report.embedded} embedded")
                    if self._stop.is_set():
                        raise StoppedError
                self._submit()
                self._wait_for_all()
            except BudgetError as over:
                self._wait_for_all()
                self._report.stopped = str(over)
            except KeyboardInterrupt:
                self._stop.set()
                raise
        if self._report.stopped is None and self._options.complete and not self._options.dry_run:
            self._quarantine.forget_others()

    def delete_missing(self) -> None:
        """Deletes what the scope had before and the source, which was read to its end, has not."""
        while True:
            with self._collection.snapshot() as snapshot:
                version, in_scope, missing = snapshot.version, 0, []
                for refs in snapshot._refs(CHUNK):
                    fields = snapshot._core.fields_at(refs)
                    ours = np.array([name == self._options.scope for name in fields["scope"]], np.bool_)
                    in_scope += int(ours.sum())
                    before = fields["version"] <= self._report.version_before
                    gone = ours & before & ~np.isin(fields["rid"], np.concatenate(self._seen))
                    missing += snapshot._core.ids_at(refs[gone]).tolist()
                missing = [id for id in missing if id not in self._would_go]
            added = 0 if self._options.dry_run else self._report.added
            self._refuse_too_many(len(missing), max(in_scope - added, len(missing)))
            if self._options.dry_run:
                self._report.deleted += len(missing)
            if self._options.dry_run or not missing:
                return
            try:
                self._report.deleted += self._collection._write(writes.Delete(writes.as_ids(missing)), version).deleted
                return
            except ConflictError:  # somebody else wrote since the snapshot
                continue

    def _take(self, window: list[Item]) -> None:
        items = list({item.id: item for item in window}.values())
        gone = self._chunks.gone(items)
        ids = writes.as_ids([item.id for item in items])
        hashes = hashes_of(items)
        self._wait_for_ids(items)
        with self._collection.snapshot() as snapshot:
            standing = Standing.of(snapshot, ids, hashes, self._options)
            same = standing.same_metadata(snapshot, items) & standing.same_text & standing.same_scope
        self._seen.append(standing.rids[standing.there])
        has_text = hashes.any(axis=1)
        needs = has_text & ~standing.fresh
        changed = ~same | needs
        with self._writer.lock:
            self._report.seen += len(window)
            self._report.repeated += len(window) - len(items)
            self._report.without_text += int((~has_text).sum())
            self._report.unchanged += int((~changed).sum())
            if not self._options.retry_failed:
                for at in np.flatnonzero(changed & needs).tolist():
                    if self._quarantine.stays(items[at], hashes[at].tobytes()):
                        self._report.failed += 1
                        changed[at] = False
        rows = [(items[at], hashes[at].tobytes(), bool(needs[at])) for at in np.flatnonzero(changed).tolist()]
        if self._options.dry_run:
            self._report.count(standing.there[changed], (needs | ~standing.same_text)[changed])
            self._would_go.update(itertools.chain.from_iterable(gone.values()))
            self._report.deleted += sum(map(len, gone.values()))
            self._count_texts(rows)
        else:
            self._add(rows, gone)

    def _add(self, rows: list[Changed], gone: dict[str, list[str]]) -> None:
        """Shares the rows out to batches, those of one source to one."""
        wanted = [hash for _, hash, need in rows if need]
        with self._writer.lock:
            known = self._known.has(wanted)
        for source, group in itertools.groupby(enumerate(rows), _source_or_place):
            if len(self._batch.texts) >= self._options.batch_size or len(self._batch.rows) >= ROWS_MAX:
                self._submit()
            for _, (item, hash, need) in group:
                if need and hash not in known and hash not in self._batch.texts and not self._is_embedded(hash):
                    self._batch.texts[hash] = item.content or ""
                    self._batch.tokens[hash] = self._caller.tokens(item.content or "")
                self._batch.rows.append((item, hash))
            if isinstance(source, str):
                self._batch.gone += gone.pop(source, ())
        self._batch.gone += itertools.chain.from_iterable(gone.values())

    def _is_embedded(self, hash: bytes) -> bool:
        """Whether a batch before this one embeds this text: waits for it."""
        for future, batch in self._running.items():
            if hash in batch.texts:
                self._wait_for(future)
                with self._writer.lock:
                    return bool(self._known.has([hash]))
        return False

    def _count_texts(self, rows: list[Changed]) -> None:
        """For a dry run: what would be embedded."""
        known = self._known.has([hash for _, hash, need in rows if need])
        for item, hash, need in rows:
            if need and hash not in known:
                known.add(hash)
                self._known.wrote(hash, item.id)
                self._report.embedded += 1
                self._report.tokens += self._caller.tokens(item.content or "")
            elif need:
                self._report.deduplicated += 1

    def _submit(self) -> None:
        """Hands the batch out; waits while as many as may be are running."""
        batch, self._batch = self._batch, Batch()
        if not batch.rows and not batch.gone:
            return
        while len(self._running) >= self._options.concurrency:
            self._wait_for(*self._running)
        self._spent += sum(batch.tokens.values())
        over = self._options.budget.exceeded(
            tokens=self._spent,
            cost=self._caller.cost(self._spent),
            seconds=time.perf_counter() - self._options.clock,
        )
        if over is not None:
            raise BudgetError(over)
        future = self._pool.submit(contextvars.copy_context().run, self._writer.write, batch)
        self._running[future] = batch

    def _wait_for(self, *futures: concurrent.futures.Future[None]) -> None:
        """Until at least one of these is done; raises what it raised."""
        for future in concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED).done:
            del self._running[future]
            try:
                future.result()
            except BaseException:
                self._stop.set()  # the others finish what they are at, and wait for nothing
                raise

    def _wait_for_all(self) -> None:
        while self._running:
            self._wait_for(*self._running)

    def _wait_for_ids(self, items: Sequence[Item]) -> None:
        """An id that came before is written before it is compared again, so that the later record wins."""
        ids = {item.id for item in items}
        if not ids.isdisjoint(self._batch.ids()):
            self._submit()
        for future, batch in list(self._running.items()):
            if future in self._running and not ids.isdisjoint(batch.ids()):
                self._wait_for(future)

    def _refuse_too_many(self, count: int, before: int) -> None:
        if count > self._options.max_delete * before:
            raise RefreshError(
                f"{count:,} of the {before:,} records of scope {self._options.scope!r} are not in the source: that is "
                f"more than max_delete={self._options.max_delete:g} of them, and none was deleted. If the source is "
                f"whole, refresh with max_delete={min(count / before + 0.005, 1):.2f}."
            )


def _windows(found: Iterator[Item]) -> Iterator[list[Item]]:
    """Runs of about `WINDOW` items that do not part the chunks of one source."""
    window: list[Item] = []
    for item in found:
        if len(window) >= WINDOW and (item.source is None or item.source != window[-1].source):
            yield window
            window = []
        window.append(item)
    if window:
        yield window


def _source_or_place(placed: tuple[int, Changed]) -> str | int:
    at, (item, _, _) = placed
    return at if item.source is None else item.source
