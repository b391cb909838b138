"""Refresh: bring a collection up to date with a source, embedding only what changed."""

from __future__ import annotations

import dataclasses
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import canary, sources, waiting
from lamina import collection as collections
from lamina.caller import Caller, StoppedError
from lamina.errors import LaminaError, RefreshError
from lamina.kept import NO_CANARY, keep, kept_of
from lamina.pipeline import Pipeline
from lamina.progress import Progress
from lamina.report import Budget, RefreshReport
from lamina.retry import Retry, may_pass
from lamina.shared import logger
from lamina.standing import oldest_us

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.models import Embed

__all__ = ["Options", "RefreshReport", "arefresh", "refresh"]

BATCH_SIZE = 512


@dataclasses.dataclass(frozen=True)
class Options:
    """What a pipeline is told."""

    scope: str
    max_delete: float
    batch_size: int
    concurrency: int
    on_error: str
    retry_failed: bool
    oldest_us: int  # vectors that were made before are made anew
    dry_run: bool
    budget: Budget
    clock: float  # when the refresh began, on the clock that `budget` is measured on
    complete: bool  # the source yields everything that there is, not only what changed


def refresh(
    collection: Collection,
    source: Any,
    embed: Embed | str | None = None,
    *,
    scope: str = "default",
    delete: str = "none",
    max_delete: float = 0.2,
    batch_size: int | str = "auto",
    concurrency: int = 4,
    retry: Retry | int | None = None,
    on_error: str = "quarantine",
    retry_failed: bool = True,
    max_age: timedelta | float | None = None,
    dry_run: bool = False,
    budget: Budget | float | None = None,
    progress: bool = True,
    id_field: str | None = None,
    text_field: str | None = None,
    source_field: str | None = None,
    stop: threading.Event | None = None,
) -> RefreshReport:
    """Adds what is new in a source, updates what changed, and deletes what left it, by id and content hash.

    Unchanged content is never embedded again, a text that stands somewhere in the collection takes the vector that is
    there, and changed metadata embed nothing. Old vectors serve until the new ones are durable. Each batch is durable
    as soon as it is embedded: a refresh that was killed goes on where it was, and embeds at most `concurrency ×
    batch_size` texts twice. An id that comes again in a source replaces what it had before. A record belongs to the
    scope that refreshed it last. First of all a few fixed texts are embedded and compared with what they gave when the
    collection was filled (the *canary*).

    Args:
        source: an iterable of `(id, content)`, `(id, content, metadata)` or dicts; a pandas or polars frame; an Arrow
            table; the path of a JSONL, CSV or Parquet file, or of a folder of text files; or a callable that is given
            when the last whole refresh of this scope began (a datetime in UTC; None: never) and returns any of these
            with what changed since. An id may be a pair `(source_id, chunk_id)`, stored as `source_id#chunk_id`: the
            chunks of a source come one after another, and replace all those that were stored of it, in one version.
        embed: the embedder; None: the one that the collection's model is bound to. See `lamina.embedders`.
        scope: the name of what this source covers; several sources can fill one collection.
        delete: "missing": records of this scope that the source, read to its end, does not have are deleted. A callable
            is then asked for everything (None). "none": nothing but chunks that their sources no longer have.
        max_delete: RefreshError, and none is deleted, if that were more than this share of the scope.
        batch_size: texts that are embedded and written together; "auto": 512, or what the embedder takes at once.
        concurrency: batches at a time, each in a thread; an embedder's `max_concurrency` bounds it.
        retry: of calls that fail and may not fail again; a number: of attempts.
        on_error: "quarantine": a text that the embedder refuses, while it embeds others, is listed by
            `Collection.failed()`, what the store had of it stays, and the refresh goes on. "raise": RefreshError.
        retry_failed: try those again whose text has not changed since they failed.
        max_age: embed what is older again: a timedelta, or seconds.
        dry_run: embed and write nothing; the report says what would be done, with tokens and cost.
        budget: stop before this cost, or `Budget(cost=, tokens=, seconds=)`, is exceeded; `report.stopped` says so.
        progress: show a bar on stderr, where that is a terminal.
        id_field, text_field: the names of these fields of dicts, files and frames, if they are not usual ones.
        source_field: the name of the field with a source_id, whose chunk_id is then the id.
        stop: set it from another thread to end the refresh with RefreshError after the batches that are running.

    Raises ModelMismatchError if the embedder is not the one of the stored vectors; RefreshError for too many deletions,
    an embedder that does not work, more than 1,000 failed texts; DimensionMismatchError and InvalidVectorError if it
    returns nothing else; ValueError for options that cannot be and a source that cannot be read; and what a source and
    a write raise. Whatever it raises, what was finished stays, and nothing is deleted.
    """
    _check(delete, max_delete, batch_size, concurrency, on_error)
    model = collection.model if embed is None else collections.bound(collection.model, None, embed, collection.name)
    if model.embed_with is None and not dry_run:
        raise ValueError(
            f"refresh embeds texts: give embed=, since the model {model.name!r} has no embedder bound to it"
        )
    started, clock, stop = datetime.now(timezone.utc), time.perf_counter(), stop or threading.Event()
    collection._target()  # closed, dropped and read-only ones refuse before the source is read
    caller = Caller(model, Retry(retry) if isinstance(retry, int) else retry or Retry(), stop)
    read = _Reading.of(source, collection, scope, everything=delete == "missing")
    options = Options(
        scope=scope,
        max_delete=max_delete,
        batch_size=min(BATCH_SIZE, caller.max_batch or BATCH_SIZE) if isinstance(batch_size, str) else batch_size,
        concurrency=min(concurrency, getattr(model.embed_with, "max_concurrency", None) or concurrency),
        on_error=on_error,
        retry_failed=retry_failed,
        oldest_us=oldest_us(max_age, int(started.timestamp() * 1e6)),
        dry_run=dry_run,
        budget=Budget.of(budget),
        clock=clock,
        complete=read.complete,
    )
    if options.budget.cost is not None and caller.price is None:
        raise ValueError(f"a budget in money needs an embedder with a price; {model.name!r} has none: Budget(tokens=…)")
    report = RefreshReport(
        scope=scope, dry_run=dry_run, version_before=collection.version, model=model.fingerprint, cost=caller.cost(0)
    )
    try:
        if not dry_run:
            check_canary(collection, caller)
        pipeline = Pipeline(collection, caller, options, report, stop)
        with Progress(progress, read.size, "refresh") as bar:
            pipeline.run(sources.items(read.source, sources.Fields(id_field, text_field, source_field)), bar)
        if delete == "missing" and report.stopped is None:
            pipeline.delete_missing()
        read.remember(collection, scope, started, report)
    except StoppedError:
        raise RefreshError("the refresh was stopped; what was finished stays", report) from None
    except RefreshError as error:
        error.report = report
        raise
    finally:
        report.seconds = time.perf_counter() - clock
        report.version_after = collection.version
        report.requests, report.retries = caller.requests, caller.retries
        report.cost = caller.cost(report.tokens)
    return report


async def arefresh(
    collection: Collection, source: Any, embed: Embed | str | None = None, **options: Any
) -> RefreshReport:
    """`refresh`, in a thread; an embedder that is a coroutine function runs on the loop that awaits this.

    Cancelling it ends the refresh after the batches that are running; what was finished stays.
    """
    stop = threading.Event()
    return await waiting.in_thread(lambda: refresh(collection, source, embed, stop=stop, **options), stop.set)


@dataclasses.dataclass
class _Reading:
    """A source about to be read."""

    source: Any
    complete: bool
    size: int
    is_callable: bool

    @classmethod
    def of(cls, source: Any, collection: Collection, scope: str, everything: bool) -> _Reading:
        if not callable(source) or hasattr(source, "__iter__"):
            return cls(source, True, sources.size(source), False)
        began = None if everything else kept_of(collection).since.get(scope)
        since = None if began is None else datetime.fromisoformat(began)
        return cls(source(since), since is None, 0, True)

    def remember(self, collection: Collection, scope: str, started: datetime, report: RefreshReport) -> None:
        """A callable is asked next for what changed since now, unless something of this is still to be done."""
        if self.is_callable and report.ok and not report.dry_run:
            keep(collection, lambda kept: kept.with_since(scope, started))


def _check(delete: str, max_delete: float, batch_size: int | str, concurrency: int, on_error: str) -> None:
    if delete not in ("none", "missing"):
        raise ValueError(f'delete is "none" or "missing", not {delete!r}')
    if not 0 <= max_delete <= 1:
        raise ValueError(f"max_delete is a share from 0 to 1, not {max_delete!r}")
    if batch_size != "auto" and (isinstance(batch_size, str) or batch_size < 1):
        raise ValueError(f'batch_size is at least 1, or "auto", not {batch_size!r}')
    if concurrency < 1:
        raise ValueError(f"concurrency is at least 1, not {concurrency}")
    if on_error not in ("quarantine", "raise"):
        raise ValueError(f'on_error is "quarantine" or "raise", not {on_error!r}')


def check_canary(collection: Collection, caller: Caller) -> None:
    """Compares the embedder with what is kept of it; the first one is kept."""
    before = kept_of(collection).canary(caller.model).removeprefix(NO_CANARY)
    try:
        outcomes = caller.embed(canary.TEXTS)
        wrong = next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None)
    except (RefreshError, LaminaError) as error:
        wrong = error
    if wrong is None:
        vectors = np.stack([np.asarray(outcome) for outcome in outcomes])
        if before:
            canary.check(caller.model, before, vectors, collection.name)
        else:
            keep(collection, lambda kept: kept.with_canary(caller.model, canary.encode(vectors)))
        return
    cause = wrong.__cause__ or wrong
    if before or may_pass(cause) or isinstance(cause, LaminaError):
        raise wrong if isinstance(wrong, LaminaError) else RefreshError(f"the canary cannot be embedded: {wrong}")
    logger.warning(
        "the embedder of %r cannot embed the fixed texts that would show a change of it: %r", caller.model.name, cause
    )
