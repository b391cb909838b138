"""A collection at one version, and everything that can be read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lamina import _core
from lamina.arguments import refused_search, threads_or_none, whole
from lamina.closed import Closed
from lamina.errors import ClosedError, ModelMismatchError
from lamina.filters import Filter, as_filter
from lamina.hits import BatchHits, Hits, hits_of
from lamina.models import Model, TaggedVectors, mismatch, unnamed
from lamina.neighbours import Neighbours, Rows
from lamina.shared import Settings
from lamina.vectors import as_id, as_int_ids, as_queries, as_str_ids
from lamina.writes import as_ids

if TYPE_CHECKING:
    import os

    import pyarrow as pa
    from typing_extensions import Unpack

    from lamina.records import Records
    from lamina.shared import Shared
    from lamina.verbs import Verbs

__all__ = ["Snapshot"]

DEFAULT_INCLUDE = ("vectors", "metadata", "content")


class Snapshot(Neighbours):
    """A collection at one version: `collection.snapshot()`. Immutable and safe from any thread.

    It keeps the files that it needs until it is closed or forgotten, and writes to the collection do not change it.
    """

    __slots__ = ("_core", "_filter", "_model_of", "_reopen", "_shared", "name")

    def __init__(
        self,
        core: _core.Snapshot,
        name: str,
        model_of: Callable[[_core.Snapshot], Model],
        shared: Shared,
        reopen: Callable[[], Any],
        filter: Any = None,
    ) -> None:
        self._shared = shared  # keeps decoded blocks, and what filters have found
        self._filter = None if filter is None else as_filter(filter)
        self._core = core
        if filter is not None:
            self._core = self._passing(self._filter)
        self.name = name
        self._model_of = model_of
        self._reopen = reopen  # what a pickle of this becomes

    @property
    def model(self) -> Model:
        """The model that made the vectors."""
        return self._model_of(self._core)

    @property
    def version(self) -> int:
        """The version of the last write that touched the collection."""
        return self._core.version

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
        """The `k` nearest records of each query. See `Collection.search`."""
        if verbs or query is None:
            from lamina.verbs import search

            options: dict[str, Any] = {"ef": ef, "recall": recall, "radius": radius, "exact": exact, "threads": threads}
            options |= {"filter": filter, "include": include, "model": model, "explain": explain}
            return search(self, query, k, verbs, options)
        core = self._core if filter is None else self._passing(filter)
        fingerprint = None
        if model is not None or type(query) is TaggedVectors:
            query, fingerprint = self._of_served_model(query, model)
        if threads is not None:
            threads = threads_or_none(threads)
        try:
            found = core.search(query, k, ef, recall, exact, threads, fingerprint, radius, explain)
            if found is None:
                if is_text(query):
                    query, fingerprint = self._embedded(query), core.fingerprint
                queries = as_queries(query, core.dim, core.metric)
                found = core.search(queries, k, ef, recall, exact, threads, fingerprint, radius, explain)
        except ModelMismatchError:
            raise unnamed(self.model, doing="search", collection=self.name) from None
        except TypeError as error:
            raise refused_search(error, k, ef, recall, exact, radius, explain) from None
        hits = hits_of(found, core.metric, self)
        if include:
            fetch(hits, include)
        return hits

    def search_iter(self, query: Any = None, *, page: int = 100, **options: Any) -> Iterator[Hits]:
        """The records nearest to one query, and then those that follow, in pages, until there are no more.

        Every page but the last has `page` hits, nearest first, and no record comes twice; all are of this version. A
        record that an approximate search had missed comes on a later page than its distance would have it. A page deep
        down costs what a search for all before it costs. `options` are those of `search`, without `diversity`.
        """
        from lamina.verbs import pages

        return pages(self, query, page, options)

    def search_to_arrow(
        self, queries: Any, k: int = 10, *, memory: int = 64 << 20, include: Iterable[str] = (), **options: Any
    ) -> pa.RecordBatchReader:
        """The `k` nearest records of many queries, as a stream of Arrow batches of about `memory` bytes at most.

        Columns: `query` (int64, its number), `id`, `distance` (float32), and what is named in `include`: `metadata` (a
        struct), `content`, `vector`. The hits of a query follow each other, nearest first. Queries are vectors
        `(q, dim)`, which may be mapped from a file (`numpy.load(…, mmap_mode="r")`), or a list of texts; they are read
        as the batches are asked for. `exclude` names what no query, or (a list of ids for each) what each query, must
        not find: its positives, where hard negatives are looked for. Other `options` are those of `search`.
        """
        from lamina.retrieval import reader

        return reader(self, queries, k, memory, include, options)

    def get(self, ids: Any, include: Iterable[str] = DEFAULT_INCLUDE) -> Records:
        """Records by id, in the order asked for; those that are not there are in `.missing`.

        One id (an int or a str) counts as a list of one. `include=` names "vectors", "metadata", "content", or single
        columns of metadata ("metadata.year"), which alone are then decoded. Raises TypeError or ValueError for what
        cannot be an id here, and ValueError for a column that is not there.
        """
        ids = [ids] if isinstance(ids, (int, str, np.integer)) else ids
        if not len(self._core):  # the kind of ids may not be decided yet
            return self._records(np.empty(0, np.uint64), include, _listed(as_ids(ids)))
        ids = self.as_ids(ids)
        refs = self._core.find(ids)
        there = refs != np.uint64(_core.NO_REF)
        if there.all():
            return self._records(refs, include)
        missing = [id for id, found in zip(_listed(ids), there.tolist(), strict=True) if not found]
        return self._records(refs[there], include, missing)

    def scan(
        self, *, filter: Any = None, batch_size: int = 1000, include: Iterable[str] = DEFAULT_INCLUDE
    ) -> Iterator[Records]:
        """All records, or those that pass a filter, in batches, in no promised order, of this one version however long
        it takes."""
        batch_size = whole("batch_size", batch_size, 1)
        core = self._passing(filter)
        return (self._records(refs, include) for refs in self._refs(batch_size, core))

    def count(self, filter: Any = None) -> int:
        """Number of records, or of those that pass a filter; those that are owed a vector are included."""
        return len(self._passing(filter))

    def ids(self, filter: Any = None) -> NDArray[Any]:
        """All ids, or those of the records that pass a filter, in no promised order: int64 `(n,)`, or objects (str)."""
        core = self._passing(filter)
        parts = [core.ids_at(refs) for refs in self._refs(1 << 16, core)]
        if not parts:
            return np.empty(0, object if self._core.id_kind == "str" else np.int64)
        return np.concatenate(parts)

    def to_arrow(self, *, filter: Any = None, include: Iterable[str] = DEFAULT_INCLUDE) -> pa.Table:
        """All records, or those that pass a filter, as one table, in no promised order.

        Columns: `id` (int64 or string), `metadata` (a struct; not there where the collection has none), `content`
        (large_string), `vector` (a fixed-size list, null where the record is owed one), `_scope`, `_stale` (the vector
        is of another text), and `_created_at`, `_updated_at`, `_embedded_at` (timestamps in UTC).
        """
        from lamina import parquet

        return parquet.to_table(self._narrowed(filter), include)

    def to_parquet(self, path: str | os.PathLike[str], *, filter: Any = None, progress: bool = False) -> int:
        """Writes all records, or those that pass a filter, to a Parquet file, a row group at a time; returns how many.

        The columns are those of `to_arrow`; the model and what else the collection is stand in the schema's metadata,
        so that `store.from_parquet` brings all of it back. The file takes the place of `path` when it is
        whole and durable. TypeError for a metadata column that Parquet has no type for, StorageError.
        """
        from lamina import parquet

        return parquet.write(self._narrowed(filter), path, progress)

    def filter(self, given: Any) -> Filter:
        """A compiled filter, checked against the metadata of this version. See `lamina.Filter`."""
        from lamina import narrowing

        made = as_filter(given)
        narrowing.check(made, self._core, Settings.of(self._core.settings).schema)
        return made

    def warm(self) -> None:
        """Verifies what a search touches, and brings it into memory: under a budget (`memory=`) that of the system."""
        self._core.warm()

    def ages(self, ids: NDArray[Any]) -> NDArray[np.uint64]:
        """The record numbers of records that are there: one that was added later has a larger one."""
        refs = self._core.find(self.as_ids(ids))
        rids: NDArray[np.uint64] = self._core.fields_at(refs)["rid"]
        return rids

    def as_ids(self, ids: Any) -> NDArray[np.int64] | tuple[str, ...]:
        """Ids in the kind of this collection, if that is decided. TypeError or ValueError names what cannot be one."""
        kind = self._core.id_kind
        return as_ids(ids) if kind is None else as_int_ids(ids) if kind == "int" else as_str_ids(ids)

    def close(self) -> None:
        """Lets go of the files. Twice is harmless; what is asked afterwards is ClosedError."""
        self._core = _CLOSED

    def __len__(self) -> int:
        return len(self._core)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, id: object) -> bool:
        try:
            return self._core.contains(id if isinstance(id, str) and self._core.id_kind == "str" else as_id(id))
        except (TypeError, ValueError) as error:
            if isinstance(error, ClosedError):
                raise
            return False

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._core is _CLOSED else f"version {self.version}, {len(self)} records"
        return f"<lamina.Snapshot {self.name!r}: {state}>"

    def __reduce__(self) -> Any:
        return reopened, (self._reopen, self.version, self._filter)

    def _refs(self, batch_size: int, core: _core.Snapshot | None = None) -> Iterator[NDArray[np.uint64]]:
        core = self._core if core is None else core
        after = None
        while len(refs := core.scan(after, batch_size)):
            yield refs
            if len(refs) < batch_size:
                return
            after = int(refs[-1])

    def _rows(self) -> Rows:
        core = self._core
        refs = np.concatenate([np.empty(0, np.uint64), *self._refs(1 << 16)])
        refs = refs[~np.isin(refs, core.missing()[0])]
        ids = core.ids_at(refs)
        order = np.argsort(ids)
        refs, model = refs[order], self.model
        return Rows(
            ids[order],
            lambda positions: core.vectors_at(refs[positions])[0],
            lambda vectors, k, **options: cast(BatchHits, self.search(vectors, k, model=model, **options)),
        )

    def _passing(self, filter: Any) -> _core.Snapshot:
        """The records that pass, as a snapshot of the same version; FilterError."""
        return self._core if filter is None else self._shared.narrower.narrowed(self._core, as_filter(filter))

    def _narrowed(self, filter: Any) -> Snapshot:
        if filter is None:
            return self
        return Snapshot(self._core, self.name, self._model_of, self._shared, self._reopen, filter)

    def _records(self, refs: NDArray[np.uint64], include: Iterable[str], missing: Any = None) -> Records:
        from lamina import records

        fields, core = records.included(include), self._core
        names = None
        if fields.difference(records.FIELDS):
            names = records.projection(fields, Settings.of(core.settings).columns())
        has_metadata = names is not None or "metadata" in fields
        return records.Records(
            core.ids_at(refs),
            missing=missing,
            metadata=records.metadata_at(core, refs, self._shared.cache, names) if has_metadata else None,
            content=records.content_at(core, refs, self._shared.cache) if "content" in fields else None,
            vectors=core.vectors_at(refs) if "vectors" in fields else None,
        )

    def _embedded(self, query: Any) -> NDArray[Any]:
        if isinstance(query, str):
            vector: NDArray[Any] = self.model.embed_query([query])[0]
            return vector
        return self.model.embed_query(query)

    def _query_vectors(self, query: Any, model: Model | None) -> tuple[NDArray[Any], Model | None]:
        """The vectors of queries, and the model that they are of: the served one, or None where nothing names it."""
        if model is not None or type(query) is TaggedVectors:
            query, model = self._of_served_model(query, model)[0], self.model
        if is_text(query):
            query, model = self._embedded(query), self.model
        return as_queries(query, self._core.dim, self._core.metric), model

    def _of_served_model(self, query: Any, model: Model | None) -> tuple[Any, bytes]:
        """The query, for the model that made the vectors: as it is, or over a bridge; and its fingerprint.

        ModelMismatchError. On the way of each search that names its model: without a call that it can do without.
        """
        vectors, tag = (query.vectors, query.model) if type(query) is TaggedVectors else (query, None)
        if model is None:
            model = tag
        if not isinstance(model, Model):
            raise TypeError(f"model= is a lamina.Model, not {model!r}")
        if tag is not None and tag is not model and tag != model:
            raise mismatch(tag, model, doing="search", collection=self.name)
        served = self._core.fingerprint
        if model.digest == served:
            return vectors, served
        bridge = self._shared.bridges.get((self.name, model.digest))
        if bridge is None:
            raise mismatch(model, self.model, doing="search", collection=self.name)
        if is_text(vectors):
            vectors = model.embed_query([vectors])[0] if isinstance(vectors, str) else model.embed_query(vectors)
        return bridge.queries(as_queries(vectors, model.dim, model.metric), served), served


def fetch(hits: Hits | BatchHits, include: Iterable[str]) -> None:
    """Fetches what is to be included: ValueError for a name of nothing."""
    from lamina.records import FIELDS, included

    fields = included(include)
    columns = fields.difference(FIELDS)
    for field in fields.difference(columns):
        hits.fetch(field)
    if columns:
        hits.fetch("metadata", columns)


def is_text(query: Any) -> bool:
    """Whether a query is a text, or a list of them."""
    if isinstance(query, str):
        return True
    return isinstance(query, (list, tuple)) and bool(query) and all(isinstance(text, str) for text in query)


_CLOSED: Any = Closed("the snapshot is closed: take another with collection.snapshot()")


def reopened(reopen: Callable[[], Any], version: int, filter: Filter | None) -> Snapshot:
    """A pickled snapshot, opened again; NotFoundError if its version is no longer kept."""
    snapshot: Snapshot = reopen().snapshot(version=version, filter=filter)
    return snapshot


def _listed(ids: NDArray[np.int64] | tuple[str, ...]) -> list[Any]:
    return list(ids) if isinstance(ids, tuple) else ids.tolist()
