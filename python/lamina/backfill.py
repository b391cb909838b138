"""Draining what a generation is owed: newest first, in batches, each durable as soon as its vectors are there.

What a batch saw is not trusted when it is written: the core stores a vector only if its record is still live, and is
still to be made from what this vector was made from. What is left over is found again in the next pass.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lamina import _core, writes
from lamina.caller import StoppedError
from lamina.errors import RefreshError
from lamina.holds import filling
from lamina.kept import MOST_FAILED, REASON_MAX
from lamina.known import generation_of
from lamina.report import Budget
from lamina.sourced import Cut, Embedded, NoVectorError, ReadyMade

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.models import Model
    from lamina.progress import Progress

MOST_IDLE = 10  # passes in which every record had changed before its vector was there
Failed = dict[Any, tuple[str, str]]  # id → why, and the basis (in hex) that it is about


@dataclasses.dataclass
class BackfillReport:
    """What one `run` did."""

    stored: int = 0  # vectors
    outdated: int = 0  # vectors that were not stored, since their records had changed or gone meanwhile
    embedded: int = 0  # texts that the embedder made vectors of
    tokens: int = 0
    cost: float | None = None
    failed: int = 0  # records that nothing makes a vector of; `status().failed` lists them
    seconds: float = 0.0
    stopped: str | None = None  # why it is not done; None: it is

    @property
    def ok(self) -> bool:
        """Whether nothing is owed or stale any more."""
        return self.stopped is None and not self.failed

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Batch:
    """Records of one snapshot that are to be given vectors."""

    core: _core.Snapshot
    refs: NDArray[np.uint64]
    ids: list[Any]
    basis: list[bytes]


class Backfill:
    """One run. `failed` is added to, and cleared of what no longer holds."""

    def __init__(
        self,
        collection: Collection,
        model: Model,
        ready: ReadyMade | None,
        cut: Cut | None,
        embedded: Embedded | None,
        failed: Failed,
        stop: threading.Event,
    ) -> None:
        self.report = BackfillReport()
        self._collection = collection
        self._model = model
        self._ready = ready
        self._cut = cut
        self._embedded = embedded
        self._failed = failed
        self._stop = stop
        self._lock = threading.Lock()  # of the report, of what failed and of what is known
        self._started = time.perf_counter()

    def run(self, batch_size: int, concurrency: int, budget: Budget, bar: Progress, last: bool) -> None:
        """Until less than two batches are left, or with `last` nothing; or it is stopped, or the budget is spent.

        Writes wait for what is drained last, which would else have no end, and a moment longer for a cut-over.
        """
        name, idle, held = self._collection.name, 0, False
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(concurrency, "lamina-migrate"))
            while self.report.stopped is None:
                batches = self._batches(batch_size)
                if (held and not batches) or (not last and len(batches) < 2):
                    break
                if len(batches) < 2 and not held:  # look once more, and nobody writes
                    stack.enter_context(self._collection._store._shared.holds.hold(name, linger=True))
                    held = True
                    continue
                before = self.report.stored + len(self._failed)
                self._drain(pool, batches, concurrency, budget, bar)
                idle = idle + 1 if self.report.stored + len(self._failed) == before else 0
                if idle > MOST_IDLE:
                    raise RefreshError("records change faster than vectors of them are made: run again")
        if self._embedded is not None:
            self.report.embedded, self.report.tokens = self._embedded.embedded, self._embedded.tokens
            self.report.cost = self._embedded.caller.cost(self._embedded.tokens)
        self.report.failed = len(self._failed)
        self.report.seconds = time.perf_counter() - self._started

    def _batches(self, batch_size: int) -> list[Batch]:
        """What is owed or stale now, the newest first, but for what failed as it is."""
        core = self._collection._take()
        generation = generation_of(core, self._model, self._collection.name)
        refs = np.concatenate(generation.missing())
        ids = core.ids_at(refs).tolist()
        basis = [row.tobytes() for row in core.basis_at(refs)]
        still = dict(zip(ids, basis, strict=True))
        with self._lock:
            for id in [id for id, (_, of) in self._failed.items() if id not in still or still[id].hex() != of]:
                del self._failed[id]
            left = [at for at, id in enumerate(ids) if id not in self._failed]
        newest = np.argsort(core.fields_at(refs[left])["version"], kind="stable")[::-1]
        order = np.asarray(left, np.int64)[newest]
        parts = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        return [Batch(core, refs[part], [ids[at] for at in part], [basis[at] for at in part]) for part in parts]

    def _drain(
        self,
        pool: concurrent.futures.ThreadPoolExecutor,
        batches: list[Batch],
        concurrency: int,
        budget: Budget,
        bar: Progress,
    ) -> None:
        running: set[concurrent.futures.Future[None]] = set()
        try:
            for batch in batches:
                self.report.stopped = self._why_stop(budget)
                if self.report.stopped is not None:
                    break
                running.add(pool.submit(contextvars.copy_context().run, self._fill, batch))
                if len(running) >= concurrency:
                    done, running = concurrent.futures.wait(running, return_when="FIRST_COMPLETED")
                    for future in done:
                        future.result()
                bar.update(self.report.stored)
        except BaseException:
            self._stop.set()  # the others finish what they are at, and wait for nothing
            raise
        finally:
            concurrent.futures.wait(running)
        for future in running:
            future.result()
        if self.report.stopped is None and self._stop.is_set():
            self.report.stopped = "paused"

    def _why_stop(self, budget: Budget) -> str | None:
        if self._stop.is_set():
            return "paused"
        tokens = 0 if self._embedded is None else self._embedded.tokens
        cost = None if self._embedded is None else self._embedded.caller.cost(tokens)
        return budget.exceeded(tokens=tokens, cost=cost, seconds=time.perf_counter() - self._started)

    def _fill(self, batch: Batch) -> None:
        filling.set(True)
        try:
            outcomes = self._outcomes(batch)
        except StoppedError:
            return
        good = [at for at in range(len(batch.ids)) if not isinstance(outcomes[at], Exception)]
        with self._lock:
            for at, outcome in outcomes.items():
                if isinstance(outcome, Exception):
                    named = isinstance(outcome, NoVectorError)
                    why = str(outcome) if named else f"{type(outcome).__name__}: {outcome}"
                    self._failed[batch.ids[at]] = (why[:REASON_MAX], batch.basis[at].hex())
            if len(self._failed) > MOST_FAILED:
                raise RefreshError(
                    f"{len(self._failed):,} records get no vector; no more than {MOST_FAILED:,} are listed"
                )
        if not good:
            return
        operation = _core.WriteOp(
            self._collection.name,
            "backfill",
            writes.as_ids([batch.ids[at] for at in good]),
            content_hash=np.frombuffer(b"".join(batch.basis[at] for at in good), np.uint8).reshape(-1, 16),
            vectors=np.stack([np.asarray(outcomes[at]) for at in good]),
            fingerprint=self._model.digest,
        )
        stored = self._collection._store._writable().write([operation])[0][1]
        self._collection._store._shared.wrote()
        if self._embedded is not None:
            self._embedded.wrote(batch, good)
        with self._lock:
            self.report.stored += stored
            self.report.outdated += len(good) - stored

    def _outcomes(self, batch: Batch) -> dict[int, Any]:
        wanted = list(range(len(batch.ids)))
        found: dict[int, Any] = {}
        for given in (self._ready, self._cut):
            if given is not None and wanted:
                found |= given.of(batch, wanted)
                wanted = [at for at in wanted if at not in found]
        if wanted and self._embedded is not None:
            return found | self._embedded.of(batch, wanted)
        reason = "no vector was given for it as it is now: give vectors= or embed="
        return found | {at: NoVectorError(reason) for at in wanted}
