"""Filling a generation until nothing is owed or stale: what a migration's `run` does, and the way back."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lamina.backfill import Backfill, BackfillReport, Failed
from lamina.caller import Caller
from lamina.errors import MigrationStateError
from lamina.known import Known
from lamina.progress import Progress
from lamina.refresh import BATCH_SIZE, check_canary
from lamina.report import Budget
from lamina.retry import Retry
from lamina.sourced import Contents, Cut, Embedded, ReadyMade
from lamina.standing import NEVER

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.models import Model

NO_LIMIT = Budget()


@dataclasses.dataclass(frozen=True)
class Pace:
    """How a run goes about it."""

    batch_size: int | str = "auto"
    concurrency: int = 4
    budget: Budget = NO_LIMIT
    progress: bool = False

    def batch(self, embedded: Embedded | None) -> int:
        if not isinstance(self.batch_size, str):
            return self.batch_size
        return min(BATCH_SIZE, (embedded.caller.max_batch if embedded else None) or BATCH_SIZE)

    def threads(self, model: Model) -> int:
        return min(self.concurrency, getattr(model.embed_with, "max_concurrency", None) or self.concurrency)


@contextlib.contextmanager
def running(collection: Collection) -> Iterator[threading.Event]:
    """While this lasts, `stop` sets the event. MigrationStateError if another run goes on."""
    shared, event = collection._store._shared, threading.Event()
    with shared.structure:
        if collection.name in shared.backfills:
            raise MigrationStateError(f"a run of the migration of {collection.name!r} goes on already")
        shared.backfills[collection.name] = event
    try:
        yield event
    finally:
        shared.backfills.pop(collection.name, None)


def stop(collection: Collection) -> None:
    """Ends the run of this collection, if one goes on, after the batches that are running."""
    event = collection._store._shared.backfills.get(collection.name)
    if event is not None:
        event.set()


def embedded(
    collection: Collection,
    model: Model,
    source: Contents | None,
    stopping: threading.Event,
    retry: Retry | int | None = None,
) -> Embedded | None:
    """Vectors that the model's embedder makes, of what is not known already; None if it has none."""
    if model.embed_with is None:
        return None
    caller = Caller(model, Retry(retry) if isinstance(retry, int) else retry or Retry(), stopping)
    return Embedded(caller, Known(collection, model, NEVER), source, collection._store._shared.cache)


def drain(
    collection: Collection,
    model: Model,
    given: tuple[ReadyMade | None, Cut | None, Embedded | None],
    failed: Failed,
    stopping: threading.Event,
    pace: Pace,
    optimize: bool = False,
) -> BackfillReport:
    """Fills the generation of `model`, the new or the old one; `failed` takes what got no vector, and why."""
    made = given[2]
    if made is not None:
        check_canary(collection, made.caller)
    backfill = Backfill(collection, model, *given, failed, stopping)
    with Progress(pace.progress, len(collection), "migrate") as bar:
        how = (pace.batch(made), pace.threads(model), pace.budget, bar)
        backfill.run(*how, last=False)
        if optimize and backfill.report.stopped is None:
            collection._store._writable().optimize(collection.name, 0, True)
        backfill.run(*how, last=True)
    return backfill.report
