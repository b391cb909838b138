"""What all handles of this process on one store share, and the register of it.

A path is opened once for writing and once for reading; each further `lamina.open` is a handle on that. A forked child
forgets what its parent had open for writing: the handles that it inherited refuse to write, and reading opens anew.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import json
import logging
import os
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina import _core
from lamina.closed import Closed
from lamina.errors import ClosedError, ConflictError, NotFoundError
from lamina.holds import Holds
from lamina.maintenance import Maintainer
from lamina.versions import microseconds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from lamina.bridge import Bridge
    from lamina.collection import Collection
    from lamina.models import Model
    from lamina.narrowing import Narrower
    from lamina.records import BlockCache

logger = logging.getLogger("lamina")

DEFAULTS = {
    "durability": "fsync",
    "log_limit": 64 << 20,
    "maintenance": "auto",
    "keep_versions": timedelta(hours=24),
    "salvage": False,
    "memory": None,
}

_changed = threading.Condition(threading.RLock())  # re-entrant: a handle that is collected inside closes itself
_open: dict[tuple[str, bool], Shared] = {}  # by path and whether it is for reading
_all: weakref.WeakSet[Shared] = weakref.WeakSet()


def acquire(path: str, create: bool, read_only: bool, wanted: dict[str, Any]) -> Shared:
    """The open store of a path, with one handle more. What is not None in `wanted` must be as it was opened."""
    with _changed:
        while (shared := _find(path, read_only)) is not None and shared.closing:
            _changed.wait()
        if shared is None:
            options = DEFAULTS | {name: value for name, value in wanted.items() if value is not None}
            shared = _open[path, read_only] = Shared(path, create, read_only, options)
        for name, value in wanted.items():
            if value is not None and value != shared.options[name]:
                raise ValueError(f"{path} is open in this process with {name}={shared.options[name]!r}, not {value!r}")
        shared.handles_open += 1
        return shared


def _find(path: str, read_only: bool) -> Shared | None:
    return _open.get((path, False)) or (_open.get((path, True)) if read_only else None)


class LazyCodec:
    """`codec.Codec`, which brings in pyarrow, imported when the first block is read."""

    def check(self, block: memoryview, rows: int) -> None:
        self._codec.check(block, rows)

    def concat_take(self, slices: list[tuple[memoryview, NDArray[np.uint32]]]) -> bytes:
        return self._codec.concat_take(slices)

    @functools.cached_property
    def _codec(self) -> _core.Codec:
        from lamina.codec import Codec

        return Codec()


class Shared:
    """An open store of this process."""

    def __init__(self, path: str, create: bool, read_only: bool, options: dict[str, Any]) -> None:
        self.path = path
        self.options = options
        _all.add(self)
        self.handles_open = 0
        self.closing = False
        self.structure = threading.RLock()  # held while a collection is made or dropped
        self.collections: weakref.WeakSet[Collection] = weakref.WeakSet()
        # With the embedders that callers brought, by collection and fingerprint.
        self.models: dict[tuple[str, bytes], Model] = {}
        self.backfills: dict[str, threading.Event] = {}  # by collection: set, it ends the run of a migration
        self.holds = Holds()
        self.bridges: dict[tuple[str, bytes], Bridge] = {}  # by collection and the fingerprint that they begin at
        self._read_only = read_only
        self._pid = os.getpid()
        self.core: Any = _core.Store.open(
            path,
            create=create,
            read_only=read_only,
            salvage=options["salvage"],
            durability=options["durability"],
            log_limit=options["log_limit"],
            keep_versions_us=microseconds(options["keep_versions"], "keep_versions"),
            memory=options["memory"],
            codec=LazyCodec(),
        )
        interval = options["durability"] == "interval"
        self._maintainer = Maintainer(self.core, path, interval) if options["maintenance"] == "auto" else None
        recovery = self.core.recovery()
        if not recovery["clean"]:
            logger.warning("%s was not closed: %s", path, recovery["note"] or "its log was replayed")
        for collection, file, what, rows, why in recovery["missing"]:
            logger.warning("%s without %s (%d rows) of %r, in %s: %s", path, what, rows, collection, file, why)

    @functools.cached_property
    def cache(self) -> BlockCache:
        from lamina.records import BlockCache

        return BlockCache(metadata_bytes=self._room(256 << 20), content_bytes=self._room(64 << 20))

    @functools.cached_property
    def narrower(self) -> Narrower:
        from lamina.narrowing import Narrower

        return Narrower(column_bytes=self._room(256 << 20), row_bytes=self._room(64 << 20))

    def _room(self, most: int) -> int:
        """Of one of the four caches of what is decoded; see cpp/segment/memory_budget.h for their share."""
        memory = self.options["memory"]
        return most if memory is None else min(most, memory // 128)

    def wrote(self) -> None:
        """Something was written: maintenance may be due."""
        maintainer = self._maintainer
        if maintainer is not None:
            maintainer.wake()

    def release(self) -> None:
        """One handle less; the last one closes the store. Who opens the path meanwhile waits until it is closed."""
        with _changed:
            self.handles_open -= 1
            if self.handles_open > 0:
                return
            self.closing = True
        try:
            self._close()
        finally:
            with _changed:
                if _open.get((self.path, self._read_only)) is self:
                    del _open[self.path, self._read_only]
                _changed.notify_all()

    def _close(self) -> None:
        if self._pid != os.getpid():  # a forked child: the store is its parent's
            with contextlib.suppress(ClosedError):
                self.core.close()
            return
        maintainer, self._maintainer = self._maintainer, None
        if maintainer is not None:
            maintainer.stop()
        core, self.core = self.core, Closed(f"the store {self.path} is closed: open it again with lamina.open")
        core.close()
        for kept in ("cache", "narrower"):
            self.__dict__.pop(kept, None)

    def create(self, name: str, model: Model, graph: dict[str, Any], settings: Settings) -> _core.Collection:
        codes = "none" if model.metric == "hamming" else "i8"
        made: _core.Collection = self.core.create_collection(
            name, dim=model.dim, metric=model.metric, codes=codes, fingerprint=model.digest, model=model.canonical(),
            settings=settings.text(), **graph,
        )  # fmt: skip
        return made

    def keep(self, collection: Collection, change: Callable[[str], str]) -> None:
        """Changes what refresh keeps about a collection. `change` is called again if others changed it meanwhile."""
        while True:
            text = collection._take().settings
            before = Settings.of(text)
            after = before._replace(kept=change(before.kept))
            if after == before:
                return
            with contextlib.suppress(ConflictError):
                self.core.write([_core.WriteOp(collection.name, "upsert", settings=(text, after.text()))])
                return

    def model_of(self, name: str, core: _core.Snapshot) -> Model:
        """The model that made the vectors of this snapshot, with the embedder that is known for it."""
        from lamina.models import Model

        return self.models.get((name, core.fingerprint)) or Model.from_canonical(core.model)

    def remember(self, name: str, model: Model) -> None:
        """From now on the model is bound to this embedder in the collection."""
        if model.embed_with is not None:
            self.models[name, model.digest] = model

    def dropped(self, name: str) -> None:
        """Handles on a collection that is gone say so."""
        self._rename_models(name, None)
        for handle in list(self.collections):
            if handle.name == name:
                handle._refuse(NotFoundError(f"the collection {name!r} was dropped"))

    def renamed(self, old: str, new: str) -> None:
        """Handles go on under the new name; those on a collection that had it before say that it is gone."""
        for handle in list(self.collections):
            if handle.name == new:
                handle._refuse(NotFoundError(f"another collection has taken the place of {new!r}: get it anew"))
        for handle in list(self.collections):
            if handle.name == old:
                handle._renamed(new)
        self._rename_models(new, None)
        self._rename_models(old, new)

    def _rename_models(self, old: str, new: str | None) -> None:
        for key in [key for key in self.models if key[0] == old]:
            model = self.models.pop(key)
            if new is not None:
                self.models[new, key[1]] = model

    def reloaded(self) -> None:
        """After a reader moved: handles on what was dropped say so."""
        for handle in list(self.collections):
            if isinstance(handle._core, Closed):
                continue
            if not handle._core.dropped:
                handle._renamed(handle._core.name)
            else:
                handle._refuse(NotFoundError(f"the collection {handle.name!r} was dropped"))


class Settings(NamedTuple):
    """What the Python face keeps about a collection, as JSON, in the store."""

    schema: str = ""  # of the metadata: an Arrow schema in base64, "" where there is none yet
    kept: str = ""  # what refresh keeps, as `kept.Kept` writes it

    @staticmethod
    @functools.lru_cache(maxsize=1024)
    def of(text: str) -> Settings:
        return Settings(**json.loads(text))

    def text(self) -> str:
        return json.dumps(self._asdict())

    def admit(self, metadata: pa.RecordBatch) -> Settings:
        """The settings of a collection that takes this metadata; `self` if nothing changes.

        TypeError for a column that changes its type, ValueError for integers that would be rounded.
        """
        from lamina import widening

        before = schema_of(self.schema)
        after = widening.admit(before, metadata)
        return self if after is before else self.with_columns(after)

    def with_schema(self, given: Any) -> Settings:
        """The settings of a new collection with these columns, which are not to change their types; or with those of
        other settings, as they are there."""
        if given is None:
            return self
        if isinstance(given, Settings):
            return self._replace(schema=given.schema)
        from lamina import widening

        return self.with_columns(widening.declared(given))

    def with_columns(self, schema: pa.Schema) -> Settings:
        """With a schema that has marks."""
        return self._replace(schema=base64.b64encode(schema.serialize()).decode())

    def columns(self) -> pa.Schema:
        """The metadata columns, without marks."""
        return columns_of(self.schema)

    def declared(self) -> dict[str, pa.DataType]:
        """The types of the metadata columns that were settled beforehand."""
        return declared_of(self.schema)

    def marked(self) -> pa.Schema:
        """The metadata columns, with the marks of `widening`."""
        return schema_of(self.schema)


@functools.lru_cache(maxsize=1024)
def schema_of(text: str) -> pa.Schema:
    """What `Settings.schema` says, with the marks of `widening`."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))) if text else pa.schema([])


@functools.lru_cache(maxsize=1024)
def declared_of(text: str) -> dict[str, pa.DataType]:
    """Of it the columns whose types were settled beforehand."""
    from lamina.widening import DECLARED

    marked = {field.name for field in schema_of(text) if DECLARED in (field.metadata or {})}
    return {field.name: field.type for field in columns_of(text) if field.name in marked}


@functools.lru_cache(maxsize=1024)
def columns_of(text: str) -> pa.Schema:
    """The same without marks."""
    import pyarrow as pa

    from lamina.widening import plain_type

    return pa.schema([(field.name, plain_type(field.type)) for field in schema_of(text)])


def _close_all() -> None:
    """At the end of the process: what was left open is closed, so that the next open has nothing to mend."""
    for shared in list(_open.values()):
        with contextlib.suppress(Exception):
            shared._close()


def _after_fork_in_child() -> None:
    global _changed  # whoever held a lock in the parent does not exist here
    _changed = threading.Condition(threading.RLock())
    for shared in _all:
        shared.structure = threading.RLock()
    for key in [key for key in _open if not key[1]]:
        del _open[key]


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
