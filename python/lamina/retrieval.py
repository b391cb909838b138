"""Searches of many queries as a stream of Arrow batches: for training data, evaluation, and whole tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from lamina import parquet, records
from lamina.arguments import whole
from lamina.hits import BatchHits
from lamina.models import TaggedVectors
from lamina.snapshot import is_text
from lamina.verbs import Wanted

if TYPE_CHECKING:
    from lamina.snapshot import Snapshot

MOST, GROWTH = 1 << 16, 8  # queries of a batch, and how many times those of the one before


def reader(
    snapshot: Snapshot, queries: Any, k: int, memory: int, include: Iterable[str], options: dict[str, Any]
) -> pa.RecordBatchReader:
    """`Snapshot.search_to_arrow`."""
    k, memory, fields = whole("k", k, 1), whole("memory", memory, 1), records.included(include)
    if isinstance(queries, str) or not (is_text(queries) or isinstance(queries, TaggedVectors)):
        queries = queries if hasattr(queries, "shape") else np.asarray(queries)
        if queries.ndim != 2:
            raise ValueError("search_to_arrow takes several queries: vectors (q, dim), or a list of texts")
    exclude = Wanted.of(snapshot, {"exclude": options.pop("exclude", None)}).exclude
    if len(exclude) not in (0, 1, len(queries)):
        raise ValueError(f"exclude= has ids for {len(exclude)} queries, and there are {len(queries)}")
    schema = _schema(snapshot, fields)
    return pa.RecordBatchReader.from_batches(schema, _batches(snapshot, queries, k, memory, schema, exclude, options))


def _batches(
    snapshot: Snapshot,
    queries: Any,
    k: int,
    memory: int,
    schema: pa.Schema,
    exclude: list[Any],
    options: dict[str, Any],
) -> Iterator[pa.RecordBatch]:
    start, count = 0, 1  # how much one takes is not known yet
    while start < len(queries):
        block = slice(start, start + count)
        if exclude:
            options["exclude"] = exclude[block] if len(exclude) == len(queries) else exclude
        hits = cast(BatchHits, snapshot.search(queries[block], k, **options))
        batch = _batch(snapshot, hits, start, schema)
        yield batch
        start += len(hits)
        held = batch.nbytes + hits.ids.nbytes + hits.distances.nbytes + hits.ids.shape[0] * snapshot._core.dim * 4
        count = max(1, min(int(memory * len(hits) / held), GROWTH * count, MOST))


def _schema(snapshot: Snapshot, fields: frozenset[str]) -> pa.Schema:
    stored = parquet.schema_of(snapshot._core, fields)
    held = [stored.field(name) for name in ("metadata", "content", "vector") if name in stored.names]
    return pa.schema([("query", pa.int64()), stored.field("id"), ("distance", pa.float32()), *held])


def _batch(snapshot: Snapshot, hits: BatchHits, first: int, schema: pa.Schema) -> pa.RecordBatch:
    core, cache = snapshot._core, snapshot._shared.cache
    there = np.arange(hits.ids.shape[1]) < hits.counts[:, None]
    ids = hits.ids[there]
    refs = core.find(snapshot.as_ids(ids)) if len(ids) else np.empty(0, np.uint64)
    made: dict[str, Any] = {
        "query": pa.array(np.repeat(np.arange(first, first + len(hits)), hits.counts)),
        "id": pa.array(ids, schema.field("id").type),
        "distance": pa.array(hits.distances[there]),
    }
    if "metadata" in schema.names:
        names = [field.name for field in schema.field("metadata").type]
        made["metadata"] = records.metadata_at(core, refs, cache, names).to_struct_array()
    if "content" in schema.names:
        made["content"] = records.content_at(core, refs, cache)
    if "vector" in schema.names:
        made["vector"] = records.lists_of(*core.vectors_at(refs))
    return pa.RecordBatch.from_arrays([made[name] for name in schema.names], schema=schema)
