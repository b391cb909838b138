"""What is particular of the Parquet files that `to_parquet` wrote, when they come in again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamina import limits, parquet, writes
from lamina.errors import CorruptionError
from lamina.models import Model
from lamina.parquet import ABOUT, CHECKSUM, METADATA, OWN, TIMES, names_of
from lamina.shared import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANOTHER = np.full(16, 0xFF, np.uint8)  # for the hash of a text that is no record's
YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # 1 to 9999, in microseconds since 1970


def about_of(schema: pa.Schema, path: str) -> tuple[dict[str, Any] | None, pa.Schema | None]:
    """What a file of lamina says of the collection, and the schema of its metadata; None where it is one of others."""
    kept = schema.metadata or {}
    if ABOUT not in kept:
        return None, None
    try:
        if parquet.checksum(kept[ABOUT], kept[METADATA]) != kept[CHECKSUM]:
            raise ValueError("its checksum is another")
        about = json.loads(kept[ABOUT])
        marked = pa.ipc.read_schema(pa.py_buffer(kept[METADATA]))
        limits.check_schema(marked)
        settings = Settings().with_columns(marked)
        options = {name: about[name] for name in ("dtype", "m", "ef_construction", "seed")}
        return options | {"schema": settings, "model": Model.from_canonical(about["model"])}, settings.columns()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CorruptionError(f"{path}: what it says of the collection is damaged: {error}", file=path) from error


def require_as_written(schema: pa.Schema, metadata: pa.Schema) -> None:
    """ValueError unless a file of lamina has the columns that `to_parquet` gave it."""
    hint = (
        f'to import it as a file of others, take the key "lamina" out of its schema\'s metadata, and {", ".join(OWN)}'
    )
    own = names_of(len(metadata) > 0)
    if schema.names != own:
        raise ValueError(
            f"to_parquet wrote the columns {', '.join(own)}, but there are {', '.join(schema.names)}: {hint}"
        )
    for name, kind in OWN.items():
        if not schema.field(name).type.equals(kind):
            raise ValueError(f"to_parquet wrote {name} as {kind}, and it is {schema.field(name).type}: {hint}")
    kind = schema.field("metadata").type if len(metadata) else pa.struct([])
    if not pa.types.is_struct(kind) or [field.name for field in kind] != metadata.names:
        raise ValueError(f"to_parquet wrote metadata of {', '.join(metadata.names)}, and they are {kind}: {hint}")


def require_whole(batch: pa.RecordBatch) -> None:
    """ValueError for what `to_parquet` never writes: a record without its scope or times, a vector without its own, and
    a time that is none."""
    for name in OWN:
        column = batch.column(name)
        absent = column.is_null()
        if name == "_embedded_at":
            absent = pc.and_(absent, batch.column("vector").is_valid())
        if pc.any(absent).as_py():
            raise ValueError(f"id {_id_where(batch, absent)!r} has no {name}")
        if name in TIMES:
            times = column.view(pa.int64())
            beyond = pc.or_(pc.less(times, YEARS[0]), pc.greater(times, YEARS[1]))
            if pc.any(beyond).as_py():
                raise ValueError(f"id {_id_where(batch, beyond)!r} has a {name} beyond the years 1 to 9999")


def _id_where(batch: pa.RecordBatch, chosen: pa.Array) -> Any:
    return batch.column("id")[chosen.index(True).as_py()].as_py()


def origin_of(batch: pa.RecordBatch, hashes: NDArray[np.uint8], given: NDArray[np.bool_]) -> writes.Origin:
    """What a file of lamina knows of its records; which are `given` a vector."""
    stale = batch.column("_stale").to_numpy(zero_copy_only=False)
    made_from = np.where(stale[:, None], ANOTHER, hashes)
    created, updated, embedded = (pc.fill_null(batch.column(name).view(pa.int64()), 0).to_numpy() for name in TIMES)
    return writes.Origin(created, updated, made_from[given], embedded[given])
