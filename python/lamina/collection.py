"""A collection: records of one model, to be searched, read and written."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lamina import writes
from lamina.arguments import in_huge_pages, whole
from lamina.closed import Closed
from lamina.embedders import is_spec
from lamina.errors import ClosedError, ConflictError, NotFoundError
from lamina.models import Embed, Model, mismatch
from lamina.reader import Reader
from lamina.snapshot import DEFAULT_INCLUDE, Snapshot
from lamina.versions import CleanupReport, PurgeReport, Version, Wanted, check_name, listed, microseconds
from lamina.writer import Writer
from lamina.writes import WriteResult

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from lamina import _core
    from lamina.duplicates import Deduplication, Keep
    from lamina.filters import Filter
    from lamina.gate import Gate
    from lamina.hits import BatchHits, Hits
    from lamina.kept import Failed
    from lamina.migrate import Migration
    from lamina.records import Records
    from lamina.report import RefreshReport
    from lamina.sourced import Contents
    from lamina.store import Store
    from lamina.verbs import Verbs

__all__ = ["Collection", "WriteResult"]


class Collection(Reader, Writer[WriteResult]):
    """A collection of a store: `store.create_collection(name, model=…)`, `store.get_collection(name)`.

    Reading methods answer from the newest acknowledged version, each call from one. Safe from any thread; searches
    never wait for writers. `name` and `model` are attributes.

    Every method raises ClosedError once the collection or its store handle is closed, NotFoundError once the
    collection is dropped, and CorruptionError where it meets damaged bytes. Every write raises ReadOnlyError in a store
    that was opened for reading, ConflictError if `if_version=` is given and the collection is at another version,
    ModelMismatchError if `model=` or tagged vectors name another model (and for arrays that name none, once the
    collection was cut over to another model), DimensionMismatchError, InvalidVectorError (NaN
    or infinity), and StorageError where the system refuses. A write that raises has changed nothing.
    """

    def __init__(self, store: Store, core: _core.Collection, model: Model) -> None:
        self.name: str = core.name
        self._model = model
        self._store = store
        self._core: Any = core
        self._take = core.snapshot  # replaced when the collection is closed or dropped
        self._reopen = self._reopener()

    @property
    def model(self) -> Model:
        """The model that is served: the one that made the vectors which are searched. Another one after a cut-over."""
        return self._model_of(self._take())

    # Reading

    def snapshot(
        self,
        *,
        version: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        filter: Any = None,
    ) -> Snapshot:
        """One version, pinned: later writes do not change what it answers. The newest costs nothing.

        Args: at most one of the first three, else ValueError.
            version: as the collection was at this version of the store.
            tag: as `tag()` named it.
            at: the newest version at or before this time; a datetime without a time zone is local time.
            filter: the records that pass it alone; see `lamina.Filter`.

        An older version is opened for itself, and its files stay as long as the snapshot does. NotFoundError for one
        that is no longer kept says which ones are.
        """
        wanted = Wanted.of(version, tag, at)
        core = self._take()
        if wanted.given():
            core = self._store._live().snapshot(self.name, *wanted)
        return Snapshot(core, self.name, self._model_of, self._store._shared, self._reopen, filter)

    @property
    def version(self) -> int:
        """The version of the last write that touched this collection."""
        return self._take().version

    def search(
        self,
        query: Any = None,
        k: int = 10,
        *,
        filter: Any = None,
        ef: int | None = None,
        recall: float | None = None,
        radius: float | None = None,
        exact: bool = False,
        include: Iterable[str] = (),
        model: Model | None = None,
        threads: int | None = None,
        explain: bool = False,
        **verbs: Unpack[Verbs],
    ) -> Hits | BatchHits:
        """The `k` records nearest to each query, nearest first.

        Args:
            query: a vector `(dim,)` or a text: `Hits`. Vectors `(q, dim)` or a list of texts: `BatchHits`. Texts are
                embedded by the collection's embedder. No queries are `(0, dim)`, and an empty list is refused.
            k: at most how many; fewer where fewer records have vectors and pass the filter.
            filter: a dict such as `{"year": {"$gte": 2020}}`, an Arrow expression, or a compiled `lamina.Filter`.
            ef: breadth of the search: larger finds more of the true neighbours, and takes longer.
            recall: let the index choose `ef` for this share of the true neighbours, from what it measured on itself;
                for a query farther from the records than most of them are from each other, as it goes (unless more than
                a quarter of them is deleted or fails the filter, or fewer than `k` lie within `radius`). Neither:
                `recall=0.95`. Both: ValueError.
            radius: no hit is farther than this, in the unit of the distances.
            exact: compare with every vector.
            include: what to fetch inside this call: "metadata", or single columns as "metadata.year", "content",
                "vectors". Else it is fetched on first use.
            model: the model that the query is meant for.
            threads: for a batch; None: all of the machine.
            like, unlike: ids of examples, for "more like these, less like those", instead of a query or beside it: the
                search is for query + 0.75 · mean(like) − 0.15 · mean(unlike) (Rocchio 1971; see `blending.blended`).
                The examples themselves are not found.
            exclude: ids that are not found; for a batch perhaps a list of ids for each query.
            group_by, group_limit: a metadata column, and of how many hits at most its values may be the same (1).
                Records without a value are a group too.
            diversity: from 0, the nearest, to 1: of the 4 · k nearest, k that are also unlike each other, by maximal
                marginal relevance (Carbonell and Goldstein 1998, whose λ is 1 − diversity).
            explain: note in `plan` of the hits what was done in each part, and how long it took. Of a single query.

        However many are excluded or of one group, `k` are found as long as there are as many.

        Raises NotFoundError for an example or column that is not there, ModelMismatchError for another model than the
        one that made the vectors, DimensionMismatchError, InvalidVectorError, FilterError, ValueError for k < 1, for
        `ef` and `recall` both, or for a text without an embedder.
        """
        return Snapshot(self._take(), self.name, self._model_of, self._store._shared, self._reopen).search(
            query,
            k,
            filter=filter,
            ef=ef,
            recall=recall,
            radius=radius,
            exact=exact,
            include=include,
            model=model,
            threads=threads,
            explain=explain,
            **verbs,
        )

    def get(self, ids: Any, include: Iterable[str] = DEFAULT_INCLUDE) -> Records:
        """Records by id, in the order asked for. See `Snapshot.get`."""
        return self.snapshot().get(ids, include)

    def scan(
        self, *, filter: Any = None, batch_size: int = 1000, include: Iterable[str] = DEFAULT_INCLUDE
    ) -> Iterator[Records]:
        """All records, or those that pass a filter, in batches, of the newest version. See `Snapshot.scan`."""
        return self.snapshot().scan(filter=filter, batch_size=batch_size, include=include)

    def count(self, filter: Any = None) -> int:
        """Number of records, or of those that pass a filter; those that are owed a vector are included."""
        return len(self._take()) if filter is None else self.snapshot().count(filter)

    def ids(self, filter: Any = None) -> NDArray[Any]:
        """All ids, or those of what passes a filter, in no promised order: int64 `(n,)`, or objects (str)."""
        return self.snapshot().ids(filter)

    def filter(self, given: Any) -> Filter:
        """A compiled filter, checked against the metadata that are there now. See `lamina.Filter`. FilterError."""
        return self.snapshot().filter(given)

    def stale(self, max_age: timedelta | float | None = None) -> NDArray[Any]:
        """Ids of the records whose vector was made from another text, or longer than `max_age` (or seconds) ago."""
        from lamina import standing

        return standing.stale(self.snapshot(), max_age, time.time_ns() // 1000)

    def owed(self) -> NDArray[Any]:
        """Ids of the records that have no vector, and so cannot be found."""
        from lamina import standing

        return standing.owed(self.snapshot())

    def failed(self) -> list[Failed]:
        """The records that a refresh could not embed, each with `id, scope, reason, attempts, at, content_hash`."""
        from lamina.kept import kept_of

        return list(kept_of(self).failed)

    def warm(self, pages: str = "mapped") -> None:
        """Verifies what a search touches, and brings it into memory: under a budget (`memory=`) that of the system.

        "huge" also copies what walks touch to huge pages of this process, as `Index.warm` does: for snapshots from
        then on. Call it again after merges, and after a `reload()` that moved. CorruptionError; ValueError for other
        pages, and for "huge" under a budget.
        """
        if in_huge_pages(pages):
            self._take()  # it refuses if this is closed
            self._store._live().copy_to_huge_pages(self.name, 0)
        self.snapshot().warm()

    def __len__(self) -> int:
        return len(self._take())

    def __bool__(self) -> bool:
        return True

    def __contains__(self, id: object) -> bool:
        return id in self.snapshot()

    # Writing: add, upsert, update, delete and clear come from Writer

    def refresh(self, source: Any, embed: Embed | str | None = None, **options: Any) -> RefreshReport:
        """Adds, updates and deletes as a source says, embedding only what changed. See `lamina.refresh.refresh`."""
        from lamina.refresh import refresh

        return refresh(self, source, embed, **options)

    async def arefresh(self, source: Any, embed: Embed | str | None = None, **options: Any) -> RefreshReport:
        """`refresh`, awaited. See `lamina.refresh.arefresh`."""
        from lamina.refresh import arefresh

        return await arefresh(self, source, embed, **options)

    def migrate(
        self,
        to: Model | str | None = None,
        embed: Embed | str | None = None,
        source: Contents | None = None,
        vectors: Any = None,
        gate: Gate | None = None,
        serve: str = "old",
    ) -> Migration:
        """A migration to another model, while the collection is searched and written. Changes nothing by itself.

            m = docs.migrate(to=lamina.Model("new", dim=768, embed=embed))
            m.plan(); m.run(); m.evaluate(); m.cutover()    # and then m.rollback(), or m.finalize()

        Args:
            to: the model, a `Model` or a spec such as "hash:384"; its dimension and metric may be others. None: that of
                the migration which is open, after a restart, say.
            embed: its embedder, if it has none yet. Not needed for a model that is the old one with fewer dimensions
                (`Model(..., dim=256, full_dim=768)`): the stored vectors are cut.
            source: contents of records that the store has none of: a mapping from id, or a callable from a list of ids.
            gate: what `cutover` asks of the new generation; see `lamina.Gate`.
            serve: until the cut-over, queries of the new model (`model=`, tagged arrays) are refused: "old"; or
                answered from the old vectors over a fitted map, and refused where that does not hold: "bridge".
            vectors: ready-made ones: a mapping from id, a pair (ids, array), or a table with columns `id` and `vector`.
                They are taken to be of the records as they are now, and not stored for one that changes later.

        Raises MigrationStateError if that model is served already, if another migration is open, or if none is and `to`
        is not given.
        """
        from lamina.migrate import migration_of

        return migration_of(self, to, embed, source, vectors, gate, serve)

    def optimize(self, threads: int = 0) -> None:
        """Merges everything into one segment for the fastest reads. `threads` 0: all of the machine."""
        self._take()
        self._store._writable().optimize(self.name, whole("threads", threads, 0, 65_536))

    def deduplicate(
        self,
        threshold: float,
        *,
        keep: Keep = "first",
        dry_run: bool = False,
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> Deduplication:
        """Deletes records that lie at most `threshold` from one that stays, as one version.

        Of near duplicates that are linked (see `near_duplicates`) one is chosen to stay, and those within the threshold
        of it go; of what is left another is chosen, and so on. So no record goes without one that stays for it.

        Args:
            threshold: a distance: for cosine, 0.05 is a similarity of 0.95.
            keep: which stays: "first" or "last", the one that was added first or last; or a callable that is given
                them as `Records`, oldest first, and returns an id: `lambda records: max(records, key=…).id`.
            dry_run: delete nothing, and say what would be deleted.
            ef, recall, exact, threads: of the search for them; see `search`.

        Raises ConflictError, and has deleted nothing, if the collection was written to meanwhile.
        """
        from lamina import duplicates

        with self.snapshot() as snapshot:
            options = {"ef": ef, "recall": recall, "exact": exact, "threads": threads}
            rows = snapshot._rows()
            found = duplicates.find(rows, threshold, keep, options, progress, rank=snapshot.ages, shown=snapshot.get)
            if dry_run or not len(found.deleted):
                return found
            version = snapshot.version
        return found._replace(version=self.delete(found.deleted, if_version=version).version)

    # Versions

    def versions(self) -> list[Version]:
        """The versions that can be had, oldest first: those of the last `keep_versions`, and those with a tag."""
        self._take()
        return listed(self._store._live().versions(self.name))

    def tag(self, name: str, *, version: int | None = None, at: datetime | None = None) -> int:
        """Names a version (the newest, if none is given), which is then kept until `untag(name)`. Returns it.

        Raises ValueError if the collection has a tag of this name, NotFoundError for a version that is not kept.
        """
        wanted = Wanted.of(version, None, at)
        check_name(name, "tag")
        self._take()
        tagged = self._store._writable().tag(self.name, name, wanted.version, wanted.time_us)
        self._store._shared.wrote()
        return tagged

    def untag(self, name: str) -> None:
        """Takes a tag off: the version is then kept no longer than others. NotFoundError if there is none."""
        self._take()
        self._store._writable().untag(self.name, name)
        self._store._shared.wrote()

    def branch(
        self,
        name: str,
        *,
        version: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        filter: Any = None,
    ) -> Collection:
        """A new collection that begins as a version of this one (see `snapshot`), and shares its files.

        With a filter it begins with the records that pass it, in the same step: it never had others. The files that it
        shares still hold them, until it is merged. Neither sees what is written to the other;
        `store.rename_collection(name, …, replace=True)` promotes it. Raises ValueError if the name is taken or cannot
        be one, FilterError, NotFoundError for a version that is not kept.
        """
        wanted = Wanted.of(version, tag, at)
        check_name(name, "collection")
        self._take()
        shared, core = self._store._shared, self._store._writable()
        with shared.structure:
            while True:
                only = None if filter is None else self.snapshot(version=version, tag=tag, at=at, filter=filter)._core
                try:
                    made = core.branch(self.name, name, *wanted, only)
                    break
                except ConflictError:  # somebody wrote since the snapshot
                    continue
        shared.wrote()
        return self._store._handle(made, self.model)

    def rollback(
        self,
        *,
        version: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        model: Model | None = None,
    ) -> int:
        """Writes a new version with the records of an older one (exactly one of three, see `snapshot`); returns it.

        What was written in between stays in the history. A version from before a change of the model needs `model=`,
        the one that it had, which is then served again. Raises NotFoundError for a version that is not kept,
        ModelMismatchError if `model` is not its model, MigrationStateError while a migration is open.
        """
        wanted = Wanted.of(version, tag, at)
        if not wanted.given():
            raise ValueError("rollback needs version=, tag= or at=: where to go back to")
        self._take()
        made = self._store._writable().rollback(self.name, *wanted, b"" if model is None else model.digest)
        if model is not None:
            self._store._shared.remember(self.name, model)
        self._store._shared.wrote()
        return made

    def cleanup(self, older_than: timedelta | None = None) -> CleanupReport:
        """Ends the history that is older than this (None: than `keep_versions`), and returns its space.

        That is the store's history: that of its other collections too. Tags stay; so does what somebody reads, in any
        process, which `.pinned` counts; and versions since the last seal, which cost nothing.
        """
        shared = self._store._shared
        age = shared.options["keep_versions"] if older_than is None else older_than
        self._take()
        return CleanupReport(*self._store._writable().cleanup(microseconds(age, "older_than")))

    def purge(self, ids: Any) -> PurgeReport:
        """Deletes records, and takes them out of all that the store keeps: for erasure that must be complete.

        Afterwards no version, tag or branch of this collection has these ids, and no file of the store holds them,
        their contents or their vectors; ids that are there no more, but were, are looked for too. Files that hold them
        are written anew, tags and branches go on without the records, and the versions that had them are given up.
        Nobody writes meanwhile. Snapshots of this process that are open still answer from memory.

        Raises LockedError while a reader holds a version with these records, and then has changed nothing:
        close it, or `delete`, `optimize` and let it `reload()`. StorageError: purge again.
        """
        self._take()
        core = self._store._writable()
        ids = self.snapshot().as_ids([ids] if isinstance(ids, (int, str)) else ids)
        report = PurgeReport(*core.purge(self.name, ids))
        self._store._shared.wrote()
        return report

    # Handles

    def close(self) -> None:
        """Closes this handle; the store stays open. Twice is harmless."""
        self._refuse(ClosedError(f"the collection {self.name!r} is closed: get it again from its store"))

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            return f"<lamina.Collection {self.name!r}: {len(self)} records, model {self.model.name!r}>"
        except (ClosedError, NotFoundError) as error:
            return f"<lamina.Collection {self.name!r}: {error}>"

    def __reduce__(self) -> Any:
        return self._reopen, ()

    def _target(self) -> writes.Target:
        core = self._take()  # closed and dropped collections refuse before anything is converted or embedded
        self._store._writable()
        return self._target_of(core)

    def _target_of(self, core: _core.Snapshot) -> writes.Target:
        return writes.Target(self.name, self._model_of(core), core.settings, core.migration[1] > 0)

    def _model_of(self, core: _core.Snapshot) -> Model:
        if core.fingerprint != self._model.digest:  # another one is served by now
            return self._store._shared.model_of(self.name, core)
        if self._model.embed_with is None:  # another handle may have bound one
            return self._store._shared.models.get((self.name, core.fingerprint), self._model)
        return self._model

    def _write(self, write: writes.Write, if_version: int | None) -> WriteResult:
        return self._store._commit([(self, write, if_version)])[0]

    def _refuse(self, error: Exception) -> None:
        """From now on every call raises this."""

        def refuse() -> Any:
            raise error

        self._take = refuse
        self._core = Closed(str(error))  # lets go of the files

    def _renamed(self, name: str) -> None:
        self.name = name
        self._reopen = self._reopener()

    def _reopener(self) -> Callable[[], Collection]:
        return functools.partial(open_collection, self._store.path, self.name, self._store._shared.options["memory"])


def bound(stored: Model, model: Model | str | None, embed: Embed | str | None, collection: str) -> Model:
    """The stored model with the embedder that a caller brings. ModelMismatchError if `model` is another one."""
    named = Model(model) if isinstance(model, str) else model
    if named is not None and named != stored:
        raise mismatch(named, stored, doing="open", collection=collection)
    if isinstance(embed, str) and embed != stored.name and is_spec(stored.name):
        raise mismatch(Model(embed, dim=stored.dim, metric=stored.metric), stored, doing="open", collection=collection)
    if embed is not None:
        return stored.bind(embed)
    return stored if named is None or named.embed_with is None else named


def open_collection(path: str, name: str, memory: int | None) -> Collection:
    """A pickled collection, opened again for reading."""
    from lamina import store

    return store.open(path, read_only=True, memory=memory).get_collection(name)
