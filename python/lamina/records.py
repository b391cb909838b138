"""Records as a user reads them, and the reading of them from blocks."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lamina import codec, columns
from lamina.filters import unknown
from lamina.recent import Recent
from lamina.shared import Settings

if TYPE_CHECKING:
    import pandas as pd

    from lamina import _core

__all__ = ["BlockCache", "Record", "Records"]

FIELDS = ("vectors", "metadata", "content")
COLUMN = "metadata."  # before the name of one
# Of some records: the blocks that they are in, which of these each is in, and its row there.
Places = tuple[list["_core.Block"], NDArray[np.int64], NDArray[np.int64]]
NONE = pa.nulls(0, pa.large_string())  # kept for a block without content
NULL = pa.nulls(1, pa.large_string())  # what each record of such a block has


class Record(NamedTuple):
    """One record. What was not asked for with `include=`, and what it does not have, is None."""

    id: int | str
    metadata: dict[str, Any] | None = None
    content: str | None = None
    vector: NDArray[Any] | None = None


class Records(Sequence[Record]):
    """Records in the order asked for: a sequence of `Record`.

    Attributes: `ids`, int64 `(n,)` or objects (str); `missing`, the ids that were asked for and are not there.
    """

    def __init__(
        self,
        ids: NDArray[Any],
        *,
        missing: list[Any] | None = None,
        metadata: pa.RecordBatch | None = None,
        content: pa.Array | None = None,
        vectors: tuple[NDArray[Any], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.ids = ids
        self.missing = missing or []
        self._metadata = metadata
        self._content = content
        self._vectors: Any = None if vectors is None else vectors[0]
        self._has_vector: Any = None if vectors is None else vectors[1]

    @functools.cached_property
    def metadata(self) -> list[dict[str, Any]] | None:
        """The metadata of each record; keys without a value are absent. None if not asked for.

        A time that is finer than microseconds, and so than Python's times, is an Arrow scalar of nanoseconds.
        """
        return None if self._metadata is None else columns.rows_of(self._metadata)

    @functools.cached_property
    def content(self) -> list[str | None] | None:
        """The content of each record. None if not asked for."""
        return None if self._content is None else self._content.to_pylist()

    @property
    def vectors(self) -> NDArray[Any] | None:
        """`(n, dim)` float32, or `(n, dim / 8)` uint8 for "hamming"; zero where `owed`. None if not asked for."""
        vectors: NDArray[Any] | None = self._vectors
        return vectors

    @property
    def owed(self) -> NDArray[np.bool_] | None:
        """`(n,)`: which records have no vector. None if vectors were not asked for."""
        return None if self._has_vector is None else ~self._has_vector

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return self._part(range(len(self))[index])
        at = range(len(self))[index]
        key = self.ids[at]
        vector = self._vectors[at] if self._vectors is not None and self._has_vector[at] else None
        return Record(
            id=key if isinstance(key, str) else int(key),
            metadata=None if self.metadata is None else self.metadata[at],
            content=None if self._content is None else self._content[at].as_py(),
            vector=vector,
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[at] for at in range(len(self)))

    def __repr__(self) -> str:
        shown = ", ".join(repr(key) for key in self.ids[:5].tolist())
        absent = f", {len(self.missing)} missing" if self.missing else ""
        return f"<{len(self)} records: {shown}{', …' if len(self) > 5 else ''}{absent}>"

    def to_list(self) -> list[dict[str, Any]]:
        """A dict for each record: `id`, and what was asked for of `metadata`, `content`, `vector`."""
        lists = self._lists()
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def to_arrow(self) -> pa.Table:
        """A table with the keys of `to_list` as columns; `metadata` is a struct of all columns of the collection, or of
        those that were asked for, whatever these records have."""
        made: dict[str, Any] = {"id": pa.array(self.ids.tolist(), pa.string() if self._of_str() else pa.int64())}
        if self._metadata is not None:
            made["metadata"] = self._metadata.to_struct_array()
        if self._content is not None:
            made["content"] = self._content
        if self._vectors is not None:
            made["vector"] = lists_of(self._vectors, self._has_vector)
        return pa.table(made)

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with the keys of `to_list` as columns."""
        import pandas as pd

        return pd.DataFrame(self._lists())

    def _lists(self) -> dict[str, list[Any]]:
        """`id`, and what was asked for, of all records."""
        vectors = None
        if self._vectors is not None:
            pairs = zip(self._vectors, self._has_vector.tolist(), strict=True)
            vectors = [vector if present else None for vector, present in pairs]
        asked = {"metadata": self.metadata, "content": self.content, "vector": vectors}
        return {"id": self.ids.tolist(), **{name: values for name, values in asked.items() if values is not None}}

    def _of_str(self) -> bool:
        return self.ids.dtype == object

    def _part(self, rows: range) -> Records:
        taken = pa.array(rows, pa.int64())
        return Records(
            self.ids[rows],
            missing=list(self.missing),
            metadata=None if self._metadata is None else columns.take(self._metadata, taken),
            content=None if self._content is None else self._content.take(taken),
            vectors=None if self._vectors is None else (self._vectors[rows], self._has_vector[rows]),
        )


class BlockCache:
    """Decoded blocks, the least recently used dropped first. Safe from any thread."""

    def __init__(self, *, metadata_bytes: int = 256 << 20, content_bytes: int = 64 << 20) -> None:
        self._metadata: Recent[int, pa.RecordBatch] = Recent(metadata_bytes)
        self._content: Recent[int, pa.Array] = Recent(content_bytes)

    def metadata(self, blocks: Sequence[_core.Block], names: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The metadata of each block, or at least these columns of it, which alone may be decoded."""
        known = self._metadata.find_all([block.key for block in blocks])
        for block, batch in zip(blocks, known, strict=True):
            yield self._read_metadata(block, names) if batch is None else batch

    def content(self, blocks: Sequence[_core.Block]) -> Iterator[pa.Array | None]:
        """The content of each block; None where no record has any."""
        known = self._content.find_all([block.key for block in blocks])
        for block, kept in zip(blocks, known, strict=True):
            texts = self._read_content(block) if kept is None else kept
            yield texts if len(texts) else None

    def _read_metadata(self, block: _core.Block, names: Sequence[str] | None) -> pa.RecordBatch:
        if names is not None:
            return codec.read_metadata(block, names)
        read = codec.read_metadata(block)
        return self._metadata.keep(block.key, read, read.nbytes)

    def _read_content(self, block: _core.Block) -> pa.Array:
        read = codec.read_content(block)
        read = NONE if read is None else read
        return self._content.keep(block.key, read, max(read.nbytes, 64))


def metadata_at(
    snapshot: _core.Snapshot, refs: NDArray[np.uint64], cache: BlockCache, names: Sequence[str] | None = None
) -> pa.RecordBatch:
    """The metadata of these records, or columns of it, in order, in the schema of the collection."""
    schema = Settings.of(snapshot.settings).columns()
    if names is not None:
        schema = pa.schema([field for field in schema if field.name in names])
    return columns.conform(metadata_in(snapshot.blocks_at(refs), cache, names), schema)


def content_at(snapshot: _core.Snapshot, refs: NDArray[np.uint64], cache: BlockCache) -> pa.Array:
    """The content of these records, in order: large_string, null where there is none."""
    return content_in(snapshot.blocks_at(refs), cache)


def metadata_in(
    found: Places, cache: BlockCache, names: Sequence[str] | None = None, blank: Sequence[str] = ()
) -> pa.RecordBatch:
    """The metadata of the records that `blocks_at` has found, or columns of it, in the schema that holds them all;
    columns of `blank` hold nothing but null."""
    blocks, which, rows = found
    if not blocks:
        return columns.no_columns(0)
    return columns.pick(list(cache.metadata(blocks, names)), which, rows, names, blank)


def content_in(found: Places, cache: BlockCache) -> pa.Array:
    """`content_at` of what `blocks_at` has found."""
    blocks, which, rows = found
    held = list(cache.content(blocks))
    there = np.array([texts is not None for texts in held], np.bool_)
    if not there.any():
        return pa.nulls(len(rows), pa.large_string())
    held = [NULL if texts is None else texts for texts in held]
    return pa.array(columns.Taken(held, which, np.where(there[which], rows, 0)))


def lists_of(vectors: NDArray[Any], has_vector: NDArray[np.bool_]) -> pa.Array:
    """Vectors as fixed-size lists, null where a record has none."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).reshape(-1)), vectors.shape[1])
    return rows if has_vector.all() else rows.take(pa.array(np.arange(len(vectors)), mask=~has_vector))


def included(include: Iterable[str]) -> frozenset[str]:
    """What `include=` names: fields, and columns as "metadata.NAME". ValueError for another name."""
    named = (include,) if isinstance(include, str) else tuple(include)
    for name in named:
        if name not in FIELDS and not f"{name}".startswith(COLUMN):
            raise ValueError(f"include={name!r}: the fields are {', '.join(map(repr, FIELDS))}, or 'metadata.NAME'")
    return frozenset(named)


def projection(fields: Iterable[str], schema: pa.Schema) -> list[str] | None:
    """The columns of metadata that are named; None: all. ValueError for one that is not there."""
    if "metadata" in fields:
        return None
    named = [field.removeprefix(COLUMN) for field in fields if field.startswith(COLUMN)]
    for name in named:
        if name not in schema.names:
            raise ValueError(f"include={COLUMN + name!r}: {unknown('metadata column', name, schema.names)}")
    return named
