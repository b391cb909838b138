"""Writes, from what a user hands over to the operations that the core takes.

A write is prepared whole before anything of it is written: ids, metadata, content and vectors are converted and
checked, texts are embedded. `Put` holds all of its records. `Update` is merged into the records that are there when it
is committed: those of a snapshot, and in a transaction also those of the operations before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamina import _core
from lamina.errors import DuplicateIdError
from lamina.filters import Filter, as_filter
from lamina.models import Model, TaggedVectors, mismatch, unnamed
from lamina.shared import Settings
from lamina.vectors import as_int_ids, as_str_ids, as_vectors

if TYPE_CHECKING:
    import pyarrow as pa

    from lamina.base import Base

Ids = NDArray[np.int64] | tuple[str, ...]


class WriteResult(NamedTuple):
    """What a write did: numbers of records, and the version that it made (0 changes make none)."""

    added: int
    updated: int
    deleted: int
    version: int


def as_ids(ids: Any) -> Ids:
    """Ids of either kind: int64 `(n,)`, or a tuple of str. TypeError or ValueError names the one that cannot be."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        return as_int_ids(ids)
    if not isinstance(ids, (str, bytes)) and isinstance(ids, Iterable):
        ids = ids if hasattr(ids, "__len__") else list(ids)
        first: Any = next(iter(ids), None)
        first = first.as_py() if hasattr(first, "as_py") else first  # of an Arrow array
        return as_str_ids(ids) if isinstance(first, str) else as_int_ids(ids)
    return as_int_ids(ids)


def kind_of(ids: Ids) -> str:
    return "str" if isinstance(ids, tuple) else "int"


def of_kind(ids: Ids, kind: str | None, collection: str) -> Ids:
    """The ids, if they are of the collection's kind (no ids are of either; None: it has none yet). TypeError."""
    if kind is None or kind_of(ids) == kind:
        return ids
    if len(ids):
        raise TypeError(f"ids of {collection!r} are {kind}, and {listed(ids)[0]!r} is {kind_of(ids)}")
    return () if kind == "str" else np.empty(0, np.int64)


def listed(ids: Ids) -> list[Any]:
    """Ids as Python values."""
    return list(ids) if isinstance(ids, tuple) else ids.tolist()


@dataclasses.dataclass(frozen=True)
class Target:
    """The collection that a write is prepared for."""

    name: str
    model: Model
    settings: str  # of the collection
    wants_name: bool  # it was cut over once: arrays must say which model made them

    def declared(self) -> dict[str, pa.DataType]:
        """The types of the metadata columns that were settled beforehand."""
        return Settings.of(self.settings).declared()

    def embed(self, texts: list[str]) -> tuple[NDArray[Any], str]:
        """The vectors of texts, and the canary that the collection is to keep from now on, "" if none."""
        from lamina import canary, kept

        vectors = self.model.embed(texts)
        known = kept.Kept.of(Settings.of(self.settings).kept).canary(self.model)
        return vectors, canary.first(self.model) if texts and not known else ""


class Origin(NamedTuple):
    """What is known of records that come from elsewhere: times in microseconds since 1970 (int64)."""

    created_us: NDArray[np.int64]  # (n,)
    updated_us: NDArray[np.int64]
    made_from: NDArray[np.uint8]  # (g, 16), of the vectors: hashes of the texts, zero where there was none
    embedded_us: NDArray[np.int64]  # (g,)


@dataclasses.dataclass
class Put:
    """An `add` or `upsert`: whole records."""

    verb: str
    ids: Ids
    metadata: pa.RecordBatch
    content: pa.Array | None
    hashes: NDArray[np.uint8] | None  # of the contents; None: there are none, or an update has left them as they are
    fates: NDArray[np.uint8] | None  # None: each record is given a vector, or none is
    vectors: NDArray[Any] | None
    model: Model  # that made the vectors
    embedded: bool = False  # the vectors are the model's of the texts, made for this write
    scope: str = ""  # who writes the records: "" for plain writes
    canary: str = ""  # to be kept, if the collection keeps none
    origin: Origin | None = None  # None: of now, the vectors of these contents
    found: tuple[_core.Snapshot, NDArray[np.uint64]] | None = None  # where the records were last seen

    def by(self, target: Target) -> Put:
        """The same for a collection that another model is served in by now."""
        texts = [] if self.content is None else self.content.to_pylist()
        if target.model.embed_with is None:
            return dataclasses.replace(self, vectors=None, model=target.model, canary="")
        vectors, canary = target.embed(texts)
        return dataclasses.replace(self, vectors=vectors, model=target.model, canary=canary)

    def op(self, collection: str, if_version: int | None, settings: tuple[str, str] | None = None) -> _core.WriteOp:
        from lamina.codec import encode

        return _core.WriteOp(
            collection,
            self.verb,
            self.ids,
            columns=encode(self.metadata, self.content),
            content_hash=self.hashes,
            fates=self.fates,
            vectors=self.vectors,
            fingerprint=self.model.digest,
            scope=self.scope,
            if_version=if_version,
            settings=settings,
            origin=self.origin,
            found=self.found,
        )


@dataclasses.dataclass
class Update:
    """An `update`: what to change of records that are there."""

    ids: Ids
    metadata: pa.RecordBatch | None
    partly: dict[str, pa.Array]  # of each metadata column that not all rows change, those that do
    content: pa.Array | None
    vectors: NDArray[Any] | None
    model: Model  # that made the vectors
    embedded: bool = False  # there are no other vectors than those that the model makes of the texts
    embedded_texts: dict[bytes, NDArray[Any]] = dataclasses.field(default_factory=dict)  # by hash, over retries

    def by(self, target: Target) -> Update:
        """The same for a collection that another model is served in by now."""
        return dataclasses.replace(self, model=target.model, embedded_texts={})

    def merged(self, base: Base) -> Put:
        """The whole records that come of it. NotFoundError, and what the embedder raises."""
        replaced = [] if self.metadata is None else self.metadata.schema.names
        rows = base.rows(self.ids, [name for name in replaced if name not in self.partly])
        metadata = rows.metadata
        if self.metadata is not None:
            metadata = _merge(metadata, self.metadata, self.partly)
        content, hashes, vectors = rows.content, None, self.vectors
        fates = np.full(len(self.ids), _core.FATE_KEPT if vectors is None else _core.FATE_GIVEN, np.uint8)
        if self.content is not None:
            content, hashes = self.content, _hashes(self.content)
            if vectors is None and self.model.embed_with is not None:
                changed = np.flatnonzero(_differ(rows.content, content) & hashes.any(axis=1))
                fates[changed] = _core.FATE_GIVEN
                vectors = self._embed(content, hashes, changed)
        return Put("update", self.ids, metadata, content, hashes, fates, vectors, self.model, found=rows.found)

    def _embed(self, content: pa.Array, hashes: NDArray[np.uint8], rows: NDArray[np.int64]) -> Any:
        keys = [hash.tobytes() for hash in hashes[rows]]
        new = {key: row for key, row in zip(keys, rows.tolist(), strict=True) if key not in self.embedded_texts}
        if new:
            made = self.model.embed([content[row].as_py() for row in new.values()])
            self.embedded_texts.update(zip(new, made, strict=True))
        return np.array([self.embedded_texts[key] for key in keys]) if keys else None


@dataclasses.dataclass
class Delete:
    """A `delete` of some ids, or of what passes a filter when it is committed; with neither a `clear`."""

    ids: Ids | None
    filter: Filter | None = None

    def op(self, collection: str, if_version: int | None, settings: tuple[str, str] | None = None) -> _core.WriteOp:
        if self.ids is None:
            return _core.WriteOp(collection, "clear", if_version=if_version)
        return _core.WriteOp(collection, "delete", self.ids, if_version=if_version)


Write = Put | Update | Delete


def put(target: Target, verb: str, ids: Any, vectors: Any, metadata: Any, content: Any, model: Model | None) -> Put:
    """An `add` or `upsert`, checked, its texts embedded where no vectors are given."""
    from lamina.columns import from_metadata

    ids = as_ids(ids)
    rows = len(ids)
    batch = from_metadata(metadata, rows, target.declared())
    texts = None if content is None else as_content(content, rows)
    array, canary = _vectors(target, vectors, rows, model), ""
    if array is None:
        if rows and (texts is None or texts.null_count):
            where = "" if texts is None else f" (content {texts.is_null().index(True).as_py()} is None)"
            raise ValueError(f"{verb} needs vectors=, or content= of every record{where}")
        if target.model.embed_with is not None:
            array, canary = target.embed([] if texts is None else texts.to_pylist())
    hashes = None if texts is None else _hashes(texts)
    embedded = vectors is None and array is not None
    return Put(verb, ids, batch, texts, hashes, None, array, target.model, embedded, canary=canary)


def update(target: Target, ids: Any, vectors: Any, metadata: Any, content: Any, model: Model | None) -> Update:
    """An `update`, checked as far as it can be before its records are read."""
    from lamina.columns import from_metadata, partly_given

    if vectors is None and metadata is None and content is None:
        raise ValueError("update needs at least one of metadata=, content= and vectors=")
    ids = as_ids(ids)
    _refuse_repeated(ids)
    batch = None if metadata is None else from_metadata(metadata, len(ids), target.declared())
    return Update(
        ids,
        batch,
        {} if batch is None else partly_given(metadata, batch),
        None if content is None else as_content(content, len(ids)),
        _vectors(target, vectors, len(ids), model),
        target.model,
        vectors is None,
    )


def delete(target: Target, ids: Any, model: Model | None, filter: Any = None) -> Delete:
    """A `delete` of ids or of what passes a filter, or of everything where both are None."""
    _check_model(target, model)
    if filter is None:
        return Delete(None if ids is None else as_ids(ids))
    asked = as_filter(filter)
    if asked == as_filter({}):
        raise ValueError("an empty filter passes all records: clear() deletes them")
    return Delete(None, asked)


def ids_at(ids: Ids, rows: list[int]) -> Ids:
    return tuple(ids[row] for row in rows) if isinstance(ids, tuple) else ids[rows]


def _merge(old: pa.RecordBatch, new: pa.RecordBatch, partly: dict[str, pa.Array]) -> pa.RecordBatch:
    """`old` with the cells of `new` in place of its own, as far as they were given; new columns last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from lamina import columns, widening

    schema = widening.merge_schemas(old.schema, new.schema)
    if not len(schema):
        return old
    merged = []
    for field in schema:
        if field.name not in new.schema.names:
            merged.append(columns.column(old, field))
        elif field.name not in partly:
            merged.append(columns.column(new, field))
        else:
            merged.append(pc.if_else(partly[field.name], columns.column(new, field), columns.column(old, field)))
    return pa.RecordBatch.from_arrays(merged, schema=schema)


def _differ(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    """Of each text, whether it is another."""
    pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
    return np.array([old != new for old, new in pairs], np.bool_)


def _check_model(target: Target, model: Model | None) -> None:
    if model is not None and not isinstance(model, Model):
        raise TypeError(f"model= is a lamina.Model, not {model!r}")
    if model is not None and model != target.model:
        raise mismatch(model, target.model, doing="write", collection=target.name)


def _vectors(target: Target, vectors: Any, rows: int, model: Model | None) -> NDArray[Any] | None:
    _check_model(target, model)
    if vectors is None:
        return None
    given = vectors
    if isinstance(vectors, TaggedVectors):
        _check_model(target, vectors.model)
        given = vectors.vectors
    elif model is None and target.wants_name:
        raise unnamed(target.model, doing="write", collection=target.name)
    array = as_vectors(given, target.model.dim, target.model.metric)
    if len(array) != rows:
        raise ValueError(f"{len(array)} vectors for {rows} ids")
    return array


def as_content(content: Any, rows: int) -> pa.Array:
    """Texts as large_string. ValueError for another number of them, TypeError for what is no text."""
    import pyarrow as pa

    if isinstance(content, (str, bytes)) or not hasattr(content, "__len__"):
        raise TypeError(f"content is a list of str (or None), one for each id, not {type(content).__name__}")
    if len(content) != rows:
        raise ValueError(f"{len(content)} contents for {rows} ids")
    try:
        texts = content
        if not isinstance(content, (pa.Array, pa.ChunkedArray)):
            plain = isinstance(content, (list, tuple)) and set(map(type, content)) <= {str, type(None)}
            texts = pa.array(content, pa.large_string() if plain else None, from_pandas=True)
        if isinstance(texts, pa.ChunkedArray):
            texts = pa.concat_arrays(texts.chunks) if texts.num_chunks else pa.array([], pa.large_string())
        if not (pa.types.is_null(texts.type) or "string" in str(texts.type)):
            raise TypeError(f"content is a list of str (or None), not of {texts.type}")
        return texts if pa.types.is_large_string(texts.type) else texts.cast(pa.large_string())
    except UnicodeEncodeError as error:
        raise ValueError(f"content {error.object!r} holds lone surrogates, which are no characters") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"content is a list of str (or None): {error}") from error


def _hashes(texts: pa.Array) -> NDArray[np.uint8]:
    from lamina.codec import content_hashes

    return content_hashes(texts.to_pylist())


def _refuse_repeated(ids: Ids) -> None:
    if isinstance(ids, np.ndarray):
        ascending = np.sort(ids)
        twice = bool((ascending[1:] == ascending[:-1]).any())
    else:
        twice = len(set(ids)) < len(ids)
    if not twice:
        return
    seen: set[Any] = set()
    for id in listed(ids):
        if id in seen:
            raise DuplicateIdError(f"id {id!r} stands twice in one write")
        seen.add(id)
