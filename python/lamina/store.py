"""A store: collections behind one log, in one directory. Handles on it, and the thread that keeps it tidy."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import weakref
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from lamina import _core
from lamina.arguments import text, whole
from lamina.base import Base
from lamina.collection import Collection, bound
from lamina.errors import ClosedError, ConflictError, ModelMismatchError, NotFoundError, ReadOnlyError
from lamina.models import Embed, Model
from lamina.shared import Settings, Shared, acquire
from lamina.transaction import Transaction
from lamina.versions import check_name, microseconds
from lamina.writes import Delete, Update, Write, WriteResult

__all__ = ["Missing", "Recovery", "RepairReport", "Store", "VerifyReport", "open"]

logger = logging.getLogger("lamina")


class Missing(NamedTuple):
    """What a store that was opened with `salvage=True` is without."""

    collection: str  # "": of all
    file: str
    what: str
    rows: int  # live ones, as far as that is known
    why: str


class Recovery(NamedTuple):
    """What opening had to mend: all of it zero, and `clean`, after a close."""

    clean: bool
    frames_replayed: int  # of the log, into memory
    bytes_cut: int  # of a torn last frame
    files_swept: int  # that nothing referred to
    note: str
    missing: list[Missing]  # with salvage=True


class VerifyReport(NamedTuple):
    """What `verify`, and those that it resumed, went through without finding damage."""

    files: int
    bytes: int
    bytes_in_all: int  # to be gone through
    records: int  # 0 until it is complete
    vectors: int
    complete: bool


class RepairReport(NamedTuple):
    """What `repair` found: (collection, what was damaged) of each segment that was made anew, or is lost."""

    repaired: list[tuple[str, str]]
    lost: list[tuple[str, str]]


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = False,
    read_only: bool = False,
    durability: str | None = None,
    log_limit: int | None = None,
    maintenance: str | None = None,
    keep_versions: timedelta | None = None,
    salvage: bool = False,
    memory: int | None = None,
) -> Store:
    """Opens a store, or another handle on one that this process has open.

    Args:
        path: its directory.
        create: make it if it is not there.
        read_only: open for reading, in any number of processes beside one writer.
        durability: when a write is acknowledged: "fsync" (default), once it is on the disk; "interval", once it is
            handed to the system, which is told to sync about a second later; "os", with syncs by `sync()` and
            `close()` alone.
        log_limit: bytes of log (64 MiB) from which on the store seals. Writers wait for that before there is more than
            twice as much, so that opening replays no more than twice `log_limit` and the writes under way then.
        maintenance: "auto" (default): a thread seals and merges, from the first write on, and another syncs where
            durability is "interval"; "manual": no thread: `maintain()` and `optimize()` do, a writer who finds half as
            much again as `log_limit` in the log seals it, and "interval" syncs at the first write, `maintain()`,
            `sync()` or `close()` that comes a second after the last sync.
        keep_versions: how long a version can be had once there is a newer one (24 hours). What is older goes bit by
            bit, as the store is written to, and whole by `cleanup()`; what is tagged stays.
        salvage: open what can still be read of a damaged store, read-only: `store.recovery.missing` says what is not
            there. Reads every byte; rows of damaged segments are kept in memory.
        memory: bytes of this process's memory that the store's files may take; None (default): as much as is touched of
            them. What searches walk is kept first (graph and 4-bit or 8-bit codes: about 320 bytes a vector of 384
            dimensions), then what they choose on, then vectors; the rest is read from the files when it is needed,
            which the system's page cache makes cheap. Where even what is walked does not fit, searches go on, slowly.
            About 60 bytes a vector and what finds a record by its id are kept whatever the budget. On top of it come
            the log with its rows (see `log_limit`), what a filter narrows a collection to, and `optimize()`, `repair()`
            or a merge while it runs. Each segment that is open then holds a file descriptor.

    Raises NotFoundError where no store is and `create` is not given, LockedError while another process writes to it,
    CorruptionError, FormatVersionError, StorageError.
    """
    if durability not in (None, "fsync", "interval", "os"):
        raise ValueError(f'durability is "fsync", "interval" or "os", not {durability!r}')
    if maintenance not in (None, "auto", "manual"):
        raise ValueError(f'maintenance is "auto" or "manual", not {maintenance!r}')
    if log_limit is not None:
        log_limit = whole("log_limit", log_limit, 1)
    if create and read_only:
        raise ValueError("create=True makes a store, and read_only=True cannot")
    if salvage and create:
        raise ValueError("create=True makes a store, and salvage=True reads a damaged one")
    if keep_versions is not None:
        microseconds(keep_versions, "keep_versions")
    if memory is not None:
        memory = whole("memory", memory, 1)
    wanted = {
        "durability": durability,
        "log_limit": log_limit,
        "maintenance": maintenance,
        "keep_versions": keep_versions,
        "salvage": salvage or None,
        "memory": memory,
    }
    read_only = read_only or salvage
    return Store(acquire(os.path.realpath(path), create, read_only, wanted), read_only)


class Store:
    """A handle on a store: `lamina.open(path)`. Safe from any thread.

    The last handle of a process to be closed closes the store. Methods raise ClosedError afterwards, and ReadOnlyError
    for a write through a handle that was opened with `read_only=True`.
    """

    def __init__(self, shared: Shared, read_only: bool) -> None:
        self._shared = shared
        self._open = True
        self._collections: weakref.WeakSet[Collection] = weakref.WeakSet()
        self.path = shared.path
        self.read_only = read_only

    # Collections

    def create_collection(
        self,
        name: str,
        model: Model | str,
        *,
        embed: Embed | str | None = None,
        schema: Any = None,
        dtype: str = "float32",
        m: int = 16,
        ef_construction: int = 200,
        seed: int = 0,
    ) -> Collection:
        """Makes a collection whose vectors come from `model` (a `Model`, or a spec such as "hash:384").

        Args:
            embed: the model's embedder, if it has none yet.
            schema: metadata columns whose type is settled: an Arrow schema, or a dict such as `{"year": int, "tags":
                pa.list_(pa.string())}`. They can be filtered by at once, and take what fits without a loss (a time in
                another unit or zone, a dict or list of pairs for a map) and nothing else; other columns are inferred as
                they come. As everywhere integers are int64, floats double, texts string.
            dtype: how vectors are stored: "float32" or "float16".
            m, ef_construction, seed: of the graph; see `Index`.

        The first write decides whether ids are int or str. Raises ValueError if the name is taken or cannot be one, and
        for a schema of types that a store does not keep; TypeError for what is no schema.
        """
        core = self._writable()
        check_name(name, "collection")
        model = Model(model) if isinstance(model, str) else model
        model = model if embed is None else model.bind(embed)
        with self._shared.structure:
            if self._has(core, name):
                raise ValueError(f"there is a collection {name!r} already: get_collection or get_or_create_collection")
            graph = {
                "dtype": text("dtype", dtype),
                "m": whole("m", m, 2, 512),
                "ef_construction": whole("ef_construction", ef_construction, 1, 2**31 - 1),
                "seed": whole("seed", seed, 0, 2**64 - 1),
            }
            made = self._shared.create(name, model, graph, Settings().with_schema(schema))
        return self._handle(made, model)

    def get_collection(
        self, name: str, model: Model | str | None = None, *, embed: Embed | str | None = None
    ) -> Collection:
        """A collection by name.

        Its model is bound to the embedder of `model`, or to `embed`; those of `hash:DIM`, `sentence-transformers:NAME`
        and `module:callable` are bound by themselves. Raises NotFoundError, and ModelMismatchError if `model` is not
        the one that made its vectors.
        """
        try:
            core = self._live().collection(text("a collection's name", name))
        except NotFoundError:
            there = ", ".join(map(repr, self.list_collections())) or "none"
            raise NotFoundError(f"no collection {name!r} in {self.path}; there are: {there}") from None
        return self._handle(core, bound(self._shared.model_of(name, core.snapshot()), model, embed, name))

    def get_or_create_collection(
        self, name: str, model: Model | str, *, embed: Embed | str | None = None, **options: Any
    ) -> Collection:
        """`get_collection`, or `create_collection` if there is none."""
        with self._shared.structure:
            if self.read_only or self._has(self._live(), name):
                return self.get_collection(name, model, embed=embed)
            return self.create_collection(name, model, embed=embed, **options)

    def from_parquet(
        self,
        path: str | os.PathLike[str],
        name: str,
        model: Model | str | None = None,
        *,
        embed: Embed | str | None = None,
        metric: str | None = None,
        id_field: str | None = None,
        text_field: str | None = None,
        vector_field: str | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Collection:
        """A new collection of the rows of a Parquet file, all of them or, if anything fails, none.

        It is filled as `NAME.importing`, in batches that take a bounded amount of memory, and renamed when it is whole.
        What `to_parquet` wrote comes back whole: ids, vectors, texts, metadata and their types, scopes, times, which
        records are owed vectors and which vectors are stale. Only versions begin anew.

        Args:
            model: the model that made the vectors, a `Model` or its name; what `to_parquet` wrote says it.
            metric: of a model that is given by its name; None: "cosine".
            embed: the model's embedder. It makes the vectors of a file that has none.
            id_field, text_field, vector_field: columns; None: "id" or "_id"; "text", "content", "body" or "document";
                "vector", "embedding", "vectors" or "embeddings". All others are metadata, and so are the fields of a
                struct "metadata". Vectors are lists of real numbers; null: the record is owed one.
            options: of `create_collection`.

        Raises ValueError if the name is taken, for a column that is not there, and for no model; ModelMismatchError if
        `model` is not the file's; DuplicateIdError, DimensionMismatchError, InvalidVectorError; CorruptionError if the
        file is damaged or no Parquet, StorageError if it cannot be read.
        """
        from lamina import parquet_source

        self._writable()
        check_name(name, "collection")
        fields = parquet_source.Fields(id_field, text_field, vector_field)
        return parquet_source.load(self, path, name, model, embed, metric, fields, progress, options)

    def list_collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return sorted(self._live().collections())

    def drop_collection(self, name: str) -> None:
        """Deletes a collection with all that is in it, and its tags. NotFoundError if there is none.

        Its space comes back when `keep_versions` is over, or with `cleanup()` of another collection.
        """
        with self._shared.structure:
            self._writable().drop_collection(text("a collection's name", name))
            self._shared.dropped(name)
        self._shared.wrote()

    def rename_collection(self, old: str, new: str, *, replace: bool = False) -> None:
        """Gives a collection another name; with `replace=True` a collection that has it goes, in the same step.

        That is how a branch is promoted: `store.rename_collection("experiment", "docs", replace=True)`. Handles on
        `old` go on under the new name; those on what was replaced raise NotFoundError. Tags of what was replaced go
        over, its other versions cannot be had any more. Raises NotFoundError if there is no `old`; ValueError if `new`
        is taken and `replace` is not given, cannot be a name, or if both have a tag of one name.
        """
        core = self._writable()
        check_name(new, "collection")
        with self._shared.structure:
            core.rename_collection(old, new, replace)
            if old != new:
                self._shared.renamed(old, new)
        self._shared.wrote()

    # Writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Several writes, to several collections, as one version: whole, or not at all.

            with store.transaction() as tx:
                tx["docs"].upsert(ids, vectors)
                tx["notes"].delete(other_ids)

        Values are checked as each call is made. They are written when the block ends, and not if it raises; what
        depends on the records that are there (DuplicateIdError, NotFoundError, ConflictError) is raised at that point.
        `tx.results` holds the WriteResult of each afterwards.
        """
        self._writable()
        tx = Transaction(self)
        try:
            yield tx
        finally:
            tx.end()
        tx.results = self._commit(tx.planned)

    def sync(self) -> None:
        """Makes everything that was acknowledged durable; of use with durability "interval" and "os"."""
        self._writable().sync()

    def maintain(self, threads: int = 0) -> bool:
        """Does one step of the upkeep that is due: syncing, sealing or merging; False when there is nothing to do.

        With `maintenance="manual"` it is to be called after writes, at a time of your choosing, until it is False;
        otherwise a thread does. Searches and writes go on meanwhile. `threads`: for a merge; 0: all of the machine.
        """
        return self._writable().maintain(threads)

    def optimize(self, threads: int = 0) -> None:
        """`Collection.optimize` for all collections."""
        threads = whole("threads", threads, 0, 65_536)
        for name in self.list_collections():
            self._writable().optimize(name, threads)

    # Looking after

    def reload(self) -> bool:
        """Moves a reader to the newest acknowledged write of any process; True if it moved."""
        moved = self._live().reload()
        if moved:
            self._shared.reloaded()
        return moved

    def verify(self, max_seconds: float | None = None, resume: bool = False) -> VerifyReport:
        """Reads and checks every byte, digest and count of the newest version, and every byte of what others need.

        CorruptionError at the first damage: it names the file, and the collection, tag or older version that needs it.
        What only older versions need can be let go of by `cleanup()`.

        Args:
            max_seconds: stop about then, with `complete` False; a segment that was begun is ended first.
            resume: go on where the last one that stopped so, in whatever process, had come to. Files do not change once
                written, so what was found sound since verification began is not looked at again.
        """
        if max_seconds is not None and not max_seconds >= 0:
            raise ValueError(f"max_seconds is a number of seconds, at least 0, not {max_seconds!r}")
        return VerifyReport(**self._live().verify(max_seconds, resume))

    def repair(self, threads: int = 0) -> RepairReport:
        """Makes anew what is derived (graph, codes, orders) where it is damaged, from vectors and records.

        Reads every byte of all segments that the newest version, an older one, a tag or a branch needs. A segment in
        which vectors or records themselves are damaged is left as it is and listed under `lost`:
        `lamina.open(path, salvage=True)` reads what is left of the newest version, `cleanup()` lets go of older ones.
        A damaged order of ids is made in memory when it is needed; this writes it.
        """
        report = RepairReport(*self._writable().repair(threads))
        for collection, damage in report.repaired:
            logger.warning("%s: made anew in %r: %s", self.path, collection, damage)
        for collection, damage in report.lost:
            logger.warning("%s: lost in %r: %s", self.path, collection, damage)
        return report

    def stats(self) -> dict[str, Any]:
        """The version, bytes by kind of file, and for each collection its records, vectors and segments by number.

        "memory": with a budget, `{"budget": bytes, "in_place": bytes}`: how much of it the vector segments that are
        open may keep in memory now; else None.
        """
        return self._live().stats()

    @property
    def recovery(self) -> Recovery:
        """What opening had to mend, or with `salvage=True` to leave out."""
        found = self._live().recovery()
        return Recovery(**{**found, "missing": [Missing(*one) for one in found["missing"]]})

    @property
    def version(self) -> int:
        """The number of the newest version."""
        return self._live().version

    def close(self) -> None:
        """Closes this handle, its collections with it; twice is harmless. The last handle closes the store."""
        with self._shared.structure:
            was_open, self._open = self._open, False
        if not was_open:
            return
        for collection in list(self._collections):
            collection._refuse(ClosedError(f"the store {self.path} is closed: open it again with lamina.open"))
        self._shared.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            with contextlib.suppress(Exception):
                self.close()

    def __repr__(self) -> str:
        state = "closed" if not self._open else f"version {self.version}, {len(self.list_collections())} collections"
        return f"<lamina.Store {self.path!r}: {state}{', read-only' if self.read_only else ''}>"

    def __reduce__(self) -> Any:
        options = {name: self._shared.options[name] for name in ("salvage", "memory")}
        return functools.partial(open, self.path, read_only=True, **options), ()

    @staticmethod
    def _has(core: _core.Store, name: str) -> bool:
        try:
            core.collection(text("a collection's name", name))
        except NotFoundError:
            return False
        return True

    def _live(self) -> _core.Store:
        if not self._open:
            raise ClosedError(f"the store {self.path} is closed: open it again with lamina.open")
        core: _core.Store = self._shared.core
        return core

    def _writable(self) -> _core.Store:
        core = self._live()
        if self.read_only:
            raise ReadOnlyError(f"the store {self.path} was opened with read_only=True: open it without to write")
        return core

    def _handle(self, core: _core.Collection, model: Model) -> Collection:
        collection = Collection(self, core, model)
        self._shared.remember(collection.name, model)
        self._collections.add(collection)
        self._shared.collections.add(collection)
        return collection

    def _commit(self, planned: Sequence[tuple[Collection, Write, int | None]]) -> list[WriteResult]:
        """Writes all of it as one version. What rests on the collections as they were is made anew if they changed."""
        core = self._writable()
        for collection, _, _ in planned:
            self._shared.holds.admit(collection.name)
        while True:
            operations = self._operations(planned)
            try:
                results = core.write(operations) if operations else []
            except ConflictError:
                if any(if_version is not None for _, _, if_version in planned):
                    raise
                continue
            except ModelMismatchError:
                if not all(isinstance(write, Delete) or write.embedded for _, write, _ in planned):
                    raise
                continue
            self._shared.wrote()
            return [WriteResult(*result) for result in results]

    def _operations(self, planned: Sequence[tuple[Collection, Write, int | None]]) -> list[_core.WriteOp]:
        """The core's operations. Those that rest on a collection as it is now are refused once it is another."""
        bases: dict[str, Base] = {}
        operations = []
        last = {collection.name: at for at, (collection, _, _) in enumerate(planned)}
        for at, (collection, write, if_version) in enumerate(planned):
            name = collection.name
            base = bases.get(name)
            if base is None:
                base = bases[name] = Base(name, collection._take(), self._shared)
            if_version = None if if_version is None else whole("if_version", if_version)
            if not isinstance(write, Delete) and write.embedded and write.model.digest != base.snapshot.fingerprint:
                write = write.by(collection._target_of(base.snapshot))  # another model is served by now
            settings = base.admit(write)
            if isinstance(write, Delete) and write.filter is not None:
                write = Delete(base.passing(write.filter))
                if_version = base.version if if_version is None else if_version
            if isinstance(write, Update):
                write = write.merged(base)
                if_version = base.version if if_version is None else if_version
            if at < last[name]:
                base.apply(write)
            operations.append(write.op(name, if_version, settings))
        return operations
