"""Parquet files as collections: those that `to_parquet` wrote, whole, and those of others by their columns."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamina import _core, codec, columns, limits, parquet, parquet_own, writes
from lamina.arrival import arriving
from lamina.errors import CorruptionError, StorageError
from lamina.models import METRICS, Embed, Model, mismatch
from lamina.progress import Progress
from lamina.sources import ID_FIELDS, TEXT_FIELDS
from lamina.vectors import as_vectors

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.store import Store

VECTOR_FIELDS = ("vector", "embedding", "vectors", "embeddings")
BATCH_BYTES = 16 << 20  # of vectors, written at once
UNKNOWN_DIM = 1024  # taken for the size of a batch where the file has no vectors


class Fields(NamedTuple):
    """The names of a file's columns; None: the first usual one that it has."""

    id: str | None = None
    text: str | None = None
    vector: str | None = None


@dataclasses.dataclass
class Layout:
    """Which column of a file is what."""

    id: str
    text: str | None
    vector: str | None
    about: dict[str, Any] | None  # what lamina says of the collection in a file of its own
    metadata: pa.Schema | None  # of such a file

    @staticmethod
    def of(schema: pa.Schema, fields: Fields, path: str) -> Layout:
        """Raises ValueError for a column that is named and not there, for no id, and for neither text nor vector; for
        two columns of one name; and for a file of lamina whose columns have changed since.
        """
        limits.check_names(schema.names, path)
        about, metadata = parquet_own.about_of(schema, path)
        if metadata is not None:
            parquet_own.require_as_written(schema, metadata)
        id, text, vector = (
            _chosen(schema, named, usual, f"{option}_field")
            for named, usual, option in zip(
                fields, (ID_FIELDS, TEXT_FIELDS, VECTOR_FIELDS), fields._fields, strict=True
            )
        )
        if id is None:
            raise ValueError(
                f"no column {' or '.join(ID_FIELDS)}: name the one of ids with id_field=; {_there(schema)}"
            )
        if vector is None and text is None:
            raise ValueError(
                f"no column of vectors ({', '.join(VECTOR_FIELDS)}) or texts ({', '.join(TEXT_FIELDS)}): name one with "
                f"vector_field= or text_field=; {_there(schema)}"
            )
        layout = Layout(id, text, vector, about, metadata)
        limits.check_names([name for name, _ in layout.of_metadata(schema)], f"{path}: metadata")
        return layout

    def of_metadata(self, schema: pa.Schema) -> Iterator[tuple[str, list[int]]]:
        """What is metadata: the columns that have no other meaning, and the fields of a struct `metadata`. Of each the
        name, and its place: a column, and perhaps a field in it.
        """
        for at, field in enumerate(schema):
            if field.name == "metadata" and pa.types.is_struct(field.type):
                yield from ((inner.name, [at, place]) for place, inner in enumerate(field.type))
            elif field.name not in (self.id, self.text, self.vector):
                yield field.name, [at]


def load(
    store: Store,
    path: str | os.PathLike[str],
    name: str,
    model: Model | str | None,
    embed: Embed | str | None,
    metric: str | None,
    fields: Fields,
    progress: bool,
    options: dict[str, Any],
) -> Collection:
    """A new collection of a file's rows: see `Store.from_parquet`."""
    file_path = os.fspath(path)
    with _opened(file_path) as (file, schema):
        layout = Layout.of(schema, fields, file_path)
        model = _model(file, file_path, layout, model, metric, name)
        model = model if embed is None else model.bind(embed)
        options = {key: value for key, value in (layout.about or {}).items() if key != "model"} | options
        rows = min(max(BATCH_BYTES // (4 * model.dim), 256), 1 << 16)
        with (
            arriving(store, name, model, **options) as docs,
            Progress(progress, file.metadata.num_rows, "import") as bar,
        ):
            done = 0
            for batch in _batches(file, file_path, rows):
                if layout.about is not None:
                    parquet_own.require_whole(batch)
                for part in _by_scope(batch, layout):
                    _add(docs, part, layout, model)
                done += batch.num_rows
                bar.update(done)
    return docs


def _add(docs: Collection, batch: pa.RecordBatch, layout: Layout, model: Model) -> None:
    """Adds rows of one scope, with vectors, text and metadata as they are."""
    rows = batch.num_rows
    ids = writes.as_ids(batch.column(layout.id).to_numpy(zero_copy_only=False))
    metadata = _metadata(batch, layout, docs._target().declared())
    texts = pa.nulls(rows, pa.large_string())
    if layout.text is not None:
        texts = writes.as_content(batch.column(layout.text), rows)
    if layout.vector is None:
        docs.add(ids, metadata=metadata, content=texts)
        return
    column = batch.column(layout.vector)
    given = column.is_valid().to_numpy(zero_copy_only=False)
    vectors = as_vectors(column.filter(column.is_valid()), model.dim, model.metric)
    hashes = codec.content_hashes(texts.to_pylist())
    fates = np.where(given, _core.FATE_GIVEN, _core.FATE_NONE).astype(np.uint8)
    put = writes.Put("add", ids, metadata, texts, hashes, fates, vectors, model)
    if layout.about is not None:
        put.scope = batch.column("_scope")[0].as_py()
        put.origin = parquet_own.origin_of(batch, hashes, given)
    docs._write(put, None)


def _metadata(batch: pa.RecordBatch, layout: Layout, declared: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    if layout.metadata is not None:
        if not len(layout.metadata):
            return columns.no_columns(batch.num_rows)
        held = pa.RecordBatch.from_struct_array(batch.column("metadata"))
        written = [parquet.written_type(field.type) for field in layout.metadata]
        cast = [column.cast(kind) for column, kind in zip(held.columns, written, strict=True)]
        return columns.conform(pa.RecordBatch.from_arrays(cast, layout.metadata.names), layout.metadata)
    found = {name: _at(batch, place) for name, place in layout.of_metadata(batch.schema)}
    return columns.from_metadata(found, batch.num_rows, declared)


def _at(batch: pa.RecordBatch, place: list[int]) -> pa.Array:
    """A column, or a field of one that is a struct."""
    column = batch.column(place[0])
    return pc.struct_field(column, place[1:]) if place[1:] else column


def _by_scope(batch: pa.RecordBatch, layout: Layout) -> Iterator[pa.RecordBatch]:
    scopes = batch.column("_scope").unique() if layout.about is not None else ()
    if len(scopes) <= 1:
        yield batch
        return
    for scope in scopes:
        yield batch.filter(pc.equal(batch.column("_scope"), scope))


def _model(
    file: pq.ParquetFile, path: str, layout: Layout, model: Model | str | None, metric: str | None, name: str
) -> Model:
    """The model of the vectors: the file's own, or the one that is given. ModelMismatchError if they are two."""
    stored = None if layout.about is None else layout.about["model"]
    if isinstance(model, str):
        usual = "cosine" if stored is None else stored.metric
        model = Model(model, dim=_width(file, path, layout), metric=metric or usual)
    if stored is not None and model not in (None, stored):
        raise mismatch(model, stored, doing="import", collection=name)
    model = model or stored
    if model is None:
        raise ValueError(
            f"{path} does not say which model made its vectors: give model=, a lamina.Model or the model's name"
        )
    if metric is not None and METRICS.get(metric) != model.metric:
        raise ValueError(f"metric={metric!r}, where the model is for {model.metric!r}")
    return model


def _width(file: pq.ParquetFile, path: str, layout: Layout) -> int | None:
    """The length of the file's first vector; None if it has none."""
    if layout.vector is None:
        return None
    for batch in _batches(file, path, 1, [layout.vector]):
        if batch.column(0)[0].is_valid:
            return len(batch.column(0)[0])
    return None


def _chosen(schema: pa.Schema, named: str | None, usual: tuple[str, ...], option: str) -> str | None:
    if named is not None and named not in schema.names:
        raise ValueError(f"no column {named!r}, which {option}= names; {_there(schema)}")
    return named or next((name for name in usual if name in schema.names), None)


def _there(schema: pa.Schema) -> str:
    return f"there are {', '.join(map(repr, schema.names))}"


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[pq.ParquetFile, pa.Schema]]:
    """A file to be read by pages, each checked, so that a large row group is never held whole."""
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"{path}: not read: {error}", errno=error.errno, path=path) from error
        raise CorruptionError(f"{path}: no Parquet file, or a damaged one: {error}", file=path) from error
    with file:
        yield file, schema


def _batches(file: pq.ParquetFile, path: str, rows: int, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    left = file.metadata.num_rows
    try:
        for batch in file.iter_batches(rows, columns=names):
            yield batch
            left -= batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise CorruptionError(f"{path}: damaged: {error}", file=path) from error
    if left:
        raise CorruptionError(f"{path}: damaged: {left} of {file.metadata.num_rows} rows are not there", file=path)
