"""Changing the model of a collection while it is read and written: a second generation, filled beside the first.

The collection's manifest keeps the stage, and data say the rest: a record without a vector in the new generation is
owed, one whose vector was made from another text is stale, and `run` drains both. So a process that dies at any moment
leaves a migration that `collection.migrate()` takes up, or the old generation as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import drain, waiting, writes
from lamina.backfill import BackfillReport, Failed
from lamina.bridge import Bridge
from lamina.drain import Pace
from lamina.errors import MigrationStateError
from lamina.gate import Evaluation, Gate, evaluate
from lamina.known import generation_of
from lamina.migration import MigrationPlan, MigrationStatus, Note
from lamina.models import Embed, Model
from lamina.planning import plan
from lamina.report import Budget
from lamina.retry import Retry
from lamina.sourced import Contents, Cut, Embedded, ReadyMade

if TYPE_CHECKING:
    from lamina import _core
    from lamina.collection import Collection

__all__ = ["Migration"]

ROLLBACK_ATTEMPTS = 3


class Migration:
    """A migration of one collection: `collection.migrate(to=…)`. Methods are safe from any thread.

    Each step raises MigrationStateError if the migration is not where the step starts from, and ReadOnlyError in a
    store that was opened for reading.
    """

    def __init__(
        self,
        collection: Collection,
        model: Model,
        source: Contents | None = None,
        vectors: Any = None,
        gate: Gate | None = None,
        serve: str = "old",
    ) -> None:
        if serve not in ("old", "bridge"):
            raise ValueError(f'serve is "old" or "bridge", not {serve!r}')
        core = collection._take()
        self.model = model
        self.gate = gate
        self._collection = collection
        self._source = source
        self._ready = None if vectors is None else ReadyMade(vectors, model, core, collection.name)
        self._begun = core.migration[0] != "none"
        self._bridge = Bridge(collection, model, (gate or Gate()).min_bridge_recall) if serve == "bridge" else None

    # What is there

    def status(self) -> MigrationStatus:
        """How it stands now. Reads what is stored of every record."""
        core = self._collection._take()
        stage, _, text = core.migration
        note = Note.of(text)
        served = self._collection._model_of(core)
        other = core.other()
        if other is None:
            owed, stale, vectors, failed = (len(core) if served != self.model else 0), 0, 0, {}
        else:
            missing = other.missing()
            owed, stale, vectors = len(missing[0]), len(missing[1]), other.vectors
            failed = self._failed_still(other, missing, note.failed)
        state = self._state(stage, served, note, owed + stale - len(failed))
        events = note.events if self._begun else ()
        bridge = None if self._bridge is None else self._bridge.report()
        return MigrationStatus(state, served, self.model, len(core), vectors, owed, stale, failed, events, bridge)

    def plan(self) -> MigrationPlan:
        """What `run` would take: records, texts, tokens, cost, disk and time. Embeds a sample of texts to time it."""
        core = self._collection._take()
        generation = None if self._stage(core) == "none" else generation_of(core, self.model, self._collection.name)
        given = [source for source in (self._ready, self._cut(core)) if source is not None]
        return plan(core, generation, self.model, given, self._embedded(threading.Event()))

    def evaluate(self) -> Evaluation:
        """What the new generation answers to the gate's golden queries, beside the old one; without them, its coverage.

        Raises ValueError if there are golden queries and no embedder for them, of the old or of the new model.
        """
        self._require("backfill")
        core = self._collection._take()
        new = generation_of(core, self.model, self._collection.name)
        coverage = self.status().coverage
        return evaluate(self.gate or Gate(), self._collection._model_of(core), self.model, core, new, coverage)

    # The steps

    def run(
        self,
        *,
        batch_size: int | str = "auto",
        concurrency: int = 4,
        retry: Retry | int | None = None,
        budget: Budget | float | None = None,
        optimize: bool = True,
        progress: bool = True,
    ) -> BackfillReport:
        """Fills the new generation, the newest records first, until nothing is owed or stale; begins or goes on.

        Searches and writes go on meanwhile; a write makes its record owed or stale, and this drains that too. Each
        batch is durable when its vectors are there. Writes of other threads wait only while the very last batch is
        filled, so that there is an end, and a quarter of a second longer if no `cutover` follows. A vector is stored
        only if its record is still live and still has the text that it was made from. What the embedder refuses is
        listed in `status().failed`, and tried again by the next run. First of all the canary of the new model is
        compared, or kept.

        Args:
            batch_size, concurrency, retry, budget, progress: as of `Collection.refresh`.
            optimize: at the end, make one graph of the new generation, for the fastest reads.

        Raises RefreshError if the embedder does not work, ModelMismatchError if it is not the one of the vectors that
        are there already, ValueError if there is nothing that vectors could come from.
        """
        with drain.running(self._collection) as stop:
            core = self._collection._take()
            stage = self._stage(core)
            if stage == "cut_over":
                raise MigrationStateError(f"{self._collection.name!r} has been cut over: there is nothing left to run")
            if self._ready is None and self.model.embed_with is None and self._cut(core) is None:
                raise ValueError(
                    f"nothing makes vectors of {self.model.name!r}, which has no embedder: give embed= or vectors="
                )
            note = Note.of(core.migration[2]) if stage == "backfill" else Note()
            if stage == "none":
                self._begin(core, note.after("begin"))
            elif note.last in ("pause", "rollback"):
                self._keep(note.after("run"))
            pace = Pace(batch_size, concurrency, Budget.of(budget), progress)
            given = (self._ready, self._cut(core), self._embedded(stop, retry))
            with self._noting_failures() as failed:
                return drain.drain(self._collection, self.model, given, failed, stop, pace, optimize)

    async def arun(self, **options: Any) -> BackfillReport:
        """`run`, in a thread; an embedder that is a coroutine function runs on the loop that awaits this.

        Cancelling it ends the run after the batches that are running; what was finished stays.
        """
        report: BackfillReport = await waiting.in_thread(
            lambda: self.run(**options), lambda: drain.stop(self._collection)
        )
        return report

    def pause(self) -> None:
        """Ends a run, in whatever thread of this process, after the batches that are running, until the next `run`."""
        self._require("backfill")
        drain.stop(self._collection)
        self._keep(self._note().after("pause"))

    def cutover(self, force: bool = False) -> int:
        """From here on the new model is served: one step, for whoever reads the collection next. Returns the version.

        Arrays without the name of their model are refused from now on. Snapshots that are open, and readers that do
        not `reload`, go on with the old model. Raises MigrationStateError if anything is owed or stale, or if the gate
        refuses (`evaluate` says why).

        Args:
            force: serve it though the gate refuses, and though the records that failed (`status().failed`) have no
                vector, and so are not found. Recorded in `status().events`.
        """
        self._require("backfill")
        refused = self._refused() if self.gate is not None else ()
        if refused and not force:
            raise MigrationStateError(
                f"the gate of the migration of {self._collection.name!r} refuses: {'; '.join(refused)}. evaluate() has "
                "the numbers, and cutover(force=True) serves the new model all the same"
            )
        with drain.running(self._collection), self._collection._store._shared.holds.hold(self._collection.name):
            exempt = list(self.status().failed) if force else []
            without = [f"{len(exempt)} records without a vector"] if exempt else []
            allowed = "; ".join(["forced", *refused, *without]) if force else ""
            return self._exchange(self.model, False, exempt, self._note().after("cutover", allowed))

    def rollback(self, embed: Embed | str | None = None, allow_missing: bool = False) -> int:
        """Serves the old model again, whose generation is still there. Returns the version.

        What was written since the cut-over has no vector of the old model. It is embedded, by `embed` or by the
        embedder that the old model is bound to; `cutover` or `abort` may follow.

        Args:
            allow_missing: go back without that: those records stay, and are owed their vectors (`Collection.owed`).

        Raises MigrationStateError if records lack a vector and there is neither an embedder nor `allow_missing`.
        """
        self._require("cut_over")
        old = self._other_model()
        old = old if embed is None else old.bind(embed)
        allowed = "without the vectors of what was written since" if allow_missing else ""
        fills = old.embed_with is not None and not allow_missing
        for left in reversed(range(ROLLBACK_ATTEMPTS if fills else 1)):
            if fills:
                with drain.running(self._collection) as stop:
                    made = drain.embedded(self._collection, old, self._source, stop)
                    drain.drain(self._collection, old, (None, None, made), {}, stop, Pace())
            try:
                return self._exchange(old, allow_missing, [], self._note().after("rollback", allowed))
            except MigrationStateError as error:  # nothing filled it, or somebody wrote meanwhile
                refused = error
                if not left:
                    break
        raise MigrationStateError(
            f"{refused}. Give embed=, the old model's embedder, or allow_missing=True to go back without them"
        )

    def finalize(self) -> int:
        """Ends a migration that was cut over: the old generation goes. There is no way back. Returns the version."""
        return self._end("cut_over")

    def abort(self) -> int:
        """Ends a migration that is not cut over: the new generation goes, and nothing else. Returns the version."""
        return self._end("backfill")

    def __repr__(self) -> str:
        return f"<lamina.Migration of {self._collection.name!r} to {self.model.name!r}: {self.status()}>"

    # Inside

    @property
    def _store(self) -> _core.Store:
        return self._collection._store._writable()

    def _stage(self, core: _core.Snapshot) -> str:
        """ "none", "backfill" or "cut_over", of a migration to this model. MigrationStateError for another's."""
        stage = core.migration[0]
        new = core if stage == "cut_over" else core.other()
        if new is not None and new.fingerprint != self.model.digest:
            open_to = Model.from_canonical(new.model)
            raise MigrationStateError(
                f"{self._collection.name!r} is in a migration to {open_to.name!r}, fingerprint {open_to.fingerprint}: "
                f"end that first (collection.migrate() takes it up)"
            )
        if stage == "none" and core.fingerprint == self.model.digest:
            raise MigrationStateError(f"{self._collection.name!r} is served by {self.model.name!r} already")
        return stage

    def _require(self, stage: str) -> None:
        found = self._stage(self._collection._take())
        if found == stage:
            return
        said = {
            "none": "has not begun: run() it",
            "backfill": "is not cut over: cutover() comes first, and abort() ends it",
            "cut_over": "is cut over: rollback() goes back, and finalize() ends it",
        }
        raise MigrationStateError(f"the migration of {self._collection.name!r} {said[found]}")

    def _state(self, stage: str, served: Model, note: Note, left: int) -> str:
        if stage == "none":
            if served == self.model:
                return "finalized"
            return "aborted" if self._begun else "planned"
        if stage == "cut_over":
            return stage
        if note.last in ("pause", "rollback"):
            return {"pause": "paused", "rollback": "rolled_back"}[note.last]
        return "backfilling" if left else "ready"

    def _failed_still(self, other: _core.Snapshot, missing: Any, failed: Failed) -> dict[Any, str]:
        if not failed:
            return {}
        refs = np.concatenate(missing)
        still = dict(zip(other.ids_at(refs).tolist(), other.basis_at(refs), strict=True))
        return {id: why for id, (why, of) in failed.items() if id in still and still[id].tobytes().hex() == of}

    def _refused(self) -> tuple[str, ...]:
        """What the gate refuses beside what is missing, of which cutting over takes care."""
        return tuple(why for why in self.evaluate().refusals if not why.startswith("coverage"))

    def _other_model(self) -> Model:
        """That of the generation which is not served."""
        other = self._collection._take().other()
        return self.model if other is None else self._collection._store._shared.model_of(self._collection.name, other)

    def _note(self) -> Note:
        return Note.of(self._collection._take().migration[2])

    def _keep(self, note: Note) -> None:
        self._store.note_migration(self._collection.name, note.text())

    @contextlib.contextmanager
    def _noting_failures(self) -> Iterator[Failed]:
        """What a run puts there is kept, however it ends."""
        failed: Failed = {}
        try:
            yield failed
        finally:
            note = self._note()
            if failed != note.failed:
                self._keep(dataclasses.replace(note, failed=failed))

    def _begin(self, core: _core.Snapshot, note: Note) -> None:
        hamming = self.model.metric == "hamming"
        self._store.begin_migration(
            self._collection.name, dim=self.model.dim, metric=self.model.metric, codes="none" if hamming else "i8",
            dtype=core.dtype if core.dtype in ("float32", "float16") else "float32", m=core.m,
            ef_construction=core.ef_construction, seed=core.seed, fingerprint=self.model.digest,
            model=self.model.canonical(), note=note.text(),
        )  # fmt: skip
        self._begun = True
        self._collection._store._shared.remember(self._collection.name, self.model)

    def _cut(self, core: _core.Snapshot) -> Cut | None:
        return Cut(self.model) if Cut.fits(self._collection._model_of(core), self.model) else None

    def _embedded(self, stop: threading.Event, retry: Retry | int | None = None) -> Embedded | None:
        return drain.embedded(self._collection, self.model, self._source, stop, retry)

    def _exchange(self, model: Model, allow_missing: bool, exempt: list[Any], note: Note) -> int:
        ids = writes.as_ids(exempt)
        made = self._store.exchange(self._collection.name, model.digest, allow_missing, ids, note.text())
        shared = self._collection._store._shared
        shared.remember(self._collection.name, model)
        shared.wrote()
        return made

    def _end(self, stage: str) -> int:
        self._require(stage)
        drain.stop(self._collection)
        made = self._store.end_migration(self._collection.name, stage)
        self._collection._store._shared.wrote()
        return made


def migration_of(
    collection: Collection,
    to: Model | str | None,
    embed: Embed | str | None,
    source: Contents | None,
    vectors: Any,
    gate: Gate | None,
    serve: str,
) -> Migration:
    """The migration to a model; without one, that which is open."""
    core = collection._take()
    if to is None:
        new = core if core.migration[0] == "cut_over" else core.other()
        if new is None:
            raise MigrationStateError(f"{collection.name!r} has no open migration: name the model, migrate(to=...)")
        model = collection._store._shared.model_of(collection.name, new)
    else:
        model = Model(to) if isinstance(to, str) else to
    model = model if embed is None else model.bind(embed)
    if model.embed_with is None:
        known = collection._store._shared.models.get((collection.name, model.digest))
        model = model if known is None else known
    migration = Migration(collection, model, source, vectors, gate, serve)
    migration._stage(core)  # refuses another model's
    bridges = collection._store._shared.bridges
    if migration._bridge is None:
        bridges.pop((collection.name, model.digest), None)
    else:
        bridges[collection.name, model.digest] = migration._bridge
    return migration
