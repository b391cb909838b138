"""Collections as Arrow tables and Parquet files, and back.

The columns are `id`, `metadata` (a struct; not there where no record has any), `content`, `vector` (a fixed-size list,
null where the record is owed one), and what lamina knows of each record: `_scope`, `_stale` (its vector is of another
text), `_created_at`, `_updated_at`, `_embedded_at`. The schema's metadata hold, under "lamina", what the collection is:
JSON with `model` (canonical), `dtype`, `m`, `ef_construction` and `seed`; and under "lamina.metadata" the Arrow schema
of the metadata, with the marks of `widening`, since Parquet widens a few types. "lamina.crc32" is of these two.

Parquet has no struct without fields: in a file it has one, "_", that is null.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lamina import columns, records
from lamina.errors import LaminaError, StorageError
from lamina.progress import Progress
from lamina.shared import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lamina import _core
    from lamina.snapshot import Snapshot

ABOUT, METADATA, CHECKSUM = b"lamina", b"lamina.metadata", b"lamina.crc32"
TIMES = dict.fromkeys(("_created_at", "_updated_at", "_embedded_at"), pa.timestamp("us", "UTC"))
OWN = {"_scope": pa.string(), "_stale": pa.bool_(), **TIMES}  # what lamina knows of each record
BATCH_BYTES = 16 << 20  # of vectors, in one row group


def to_table(snapshot: Snapshot, include: Iterable[str]) -> pa.Table:
    """All records of a snapshot."""
    fields = records.included(include)
    schema = schema_of(snapshot._core, fields)
    return pa.Table.from_batches(_batches(snapshot, schema), schema)


def write(snapshot: Snapshot, path: str | os.PathLike[str], progress: bool) -> int:
    """Writes a snapshot to a file, which appears whole and durable or not at all. Returns the number of records."""
    import pyarrow.parquet as pq

    schema = schema_of(snapshot._core, frozenset(records.FIELDS))
    written = pa.schema([field.with_type(written_type(field.type)) for field in schema], schema.metadata)
    target = os.path.realpath(os.fspath(path))
    done = 0
    with _replacing(target) as file, Progress(progress, len(snapshot), "export") as bar:
        try:
            writer = pq.ParquetWriter(file, written, compression="zstd", use_dictionary=False, write_page_checksum=True)
        except (pa.ArrowNotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise TypeError(f"Parquet has no room for a metadata column: {error}") from None
        with writer:
            for batch in _batches(snapshot, schema):
                writer.write_batch(columns.conform(batch, written))
                done += batch.num_rows
                bar.update(done)
    return done


def schema_of(core: _core.Snapshot, fields: frozenset[str]) -> pa.Schema:
    """The schema of a snapshot's records, with what names its model."""
    metadata = Settings.of(core.settings).columns()
    if (names := records.projection(fields, metadata)) is not None:
        metadata = pa.schema([field for field in metadata if field.name in names])
    bits = core.metric == "hamming"
    vector = pa.list_(pa.uint8(), core.dim // 8) if bits else pa.list_(pa.float32(), core.dim)
    types = {
        "id": pa.string() if core.id_kind == "str" else pa.int64(),
        "metadata": pa.struct(list(metadata)),
        "content": pa.large_string(),
        "vector": vector,
        **OWN,
    }
    left_out = {field.rstrip("s") for field in records.FIELDS if field not in fields and field != "metadata"}
    wanted = [(name, types[name]) for name in names_of(len(metadata) > 0) if name not in left_out]
    about = {name: getattr(core, name) for name in ("model", "dtype", "m", "ef_construction", "seed")}
    marked = pa.schema([field for field in Settings.of(core.settings).marked() if field.name in metadata.names])
    kept = {ABOUT: json.dumps(about).encode(), METADATA: marked.serialize().to_pybytes()}
    return pa.schema(wanted, kept | {CHECKSUM: checksum(*kept.values())})


def written_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column has in a file."""
    if pa.types.is_list(kind):
        return pa.list_(written_type(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, written_type(kind.item_type), kind.keys_sorted)
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, written_type(field.type)) for field in kind] or [("_", pa.bool_())])
    return kind


def checksum(*parts: bytes) -> bytes:
    """Of what stands in the metadata of a schema, which Parquet guards by none."""
    return b"%08x" % zlib.crc32(b"".join(parts))


def names_of(has_metadata: bool) -> list[str]:
    """The names of the columns, in their order."""
    held = ["metadata"] if has_metadata else []
    return ["id", *held, "content", "vector", *OWN]


def _batches(snapshot: Snapshot, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    row_bytes = 4 * snapshot._core.dim
    for refs in snapshot._refs(min(max(BATCH_BYTES // row_bytes, 256), 1 << 16)):
        made = _columns(snapshot, refs, schema)
        yield pa.RecordBatch.from_arrays([made[name] for name in schema.names], schema=schema)


def _columns(snapshot: Snapshot, refs: NDArray[np.uint64], schema: pa.Schema) -> dict[str, pa.Array]:
    core, cache, wanted = snapshot._core, snapshot._shared.cache, set(schema.names)
    fields, vector = core.fields_at(refs), core.provenance_at(refs)
    has_vector = vector["has_vector"]
    stale = has_vector & (vector["made_from"] != core.basis_at(refs)).any(axis=1)
    made = {
        "id": pa.array(core.ids_at(refs), schema.field("id").type),
        "_scope": pa.array(fields["scope"], pa.string()),
        "_stale": pa.array(stale),
        "_created_at": pa.array(fields["created_us"]),
        "_updated_at": pa.array(fields["updated_us"]),
        "_embedded_at": pa.array(vector["embedded_us"], mask=~has_vector),
    }
    made |= {name: made[name].view(kind) for name, kind in TIMES.items()}
    if "metadata" in wanted:
        names = [field.name for field in schema.field("metadata").type]
        made["metadata"] = records.metadata_at(core, refs, cache, names).to_struct_array()
    if "content" in wanted:
        made["content"] = records.content_at(core, refs, cache)
    if "vector" in wanted:
        made["vector"] = records.lists_of(*core.vectors_at(refs))
    return made


@contextlib.contextmanager
def _replacing(target: str) -> Iterator[Any]:
    """A file that takes the place of `target`, synced, when the block ends; nothing is there if it raises."""
    partial = f"{target}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
        _sync_directory(os.path.dirname(target))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        if isinstance(error, OSError) and not isinstance(error, LaminaError):
            raise StorageError(f"{target}: not written: {error}", errno=error.errno, path=target) from error
        raise


def _sync_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
