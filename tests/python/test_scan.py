"""Scanning: every record once, of one version, however long it takes.

Goal: nothing twice, nothing missed, whatever is written, sealed or merged meanwhile. Method: compare with the ids that
were put in, at every batch size, over heads and segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import lamina
from lamina import Model, Store

VECTORS = np.random.default_rng(2).normal(size=(500, 4)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os", maintenance="manual") as opened:
        yield opened


@pytest.mark.parametrize("batch_size", [1, 7, 99, 100, 101, 1000])
def test_every_record_comes_once(store: Store, batch_size: int) -> None:
    docs = store.create_collection("docs", model=Model("m", dim=4))
    docs.add(range(60), VECTORS[:60], [{"n": at} for at in range(60)])
    docs.optimize()
    docs.add(range(60, 120), VECTORS[60:120], [{"n": at} for at in range(60, 120)])
    docs.delete(range(0, 120, 6))
    batches = list(docs.scan(batch_size=batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    found = [record for batch in batches for record in batch]
    assert sorted(record.id for record in found) == [at for at in range(120) if at % 6]
    for record in found:
        assert record.metadata == {"n": record.id}
        np.testing.assert_array_equal(record.vector, VECTORS[record.id])
    assert sorted(docs.ids().tolist()) == sorted(record.id for record in found)


def test_every_batch_has_the_schema_of_the_collection(store: Store) -> None:
    """Integers that were written before doubles came, columns that no row of a batch has, in blocks of all kinds."""
    docs = store.create_collection("docs", model=Model("m", dim=4), schema={"x": float, "never": str})
    docs.add([1, 2], VECTORS[:2], [{"x": 1}, {"x": 2}], ["one", None])
    old = docs.snapshot()
    docs.add([3], VECTORS[2:3], [{"x": 0.5, "d": {"a": [1]}}])
    store._shared.core.seal()
    docs.add([4, 5, 6], VECTORS[3:6], [{"d": {"a": [0.5], "b": "y"}}, {}, {"z": 1}], ["four", "", None])
    everything = ("metadata", "content", "vectors")
    for include in (everything, ("metadata",), ("metadata.z", "metadata.x"), ("content", "metadata.never")):
        schema = docs.to_arrow(include=include).schema
        shown = [schema.field(name) for name in ("id", "metadata", "content", "vector") if name in schema.names]
        batches = [batch.to_arrow() for batch in docs.scan(batch_size=2, include=include)]
        assert pa.concat_tables(batches).num_rows == 6
        found = [*batches, *(docs.get(ids, include=include).to_arrow() for ids in ([1], [6, 3], []))]
        assert all(table.schema.equals(pa.schema(shown)) for table in found)
        for queries in (VECTORS[:1], VECTORS[3:6], VECTORS[0]):
            hits = docs.search(queries, 1, include=include).to_arrow()
            assert [hits.schema.field(field.name) for field in shown] == shown
        none = docs.search(VECTORS[0], filter={"never": "x"}, include=include).to_arrow()
        assert (none.num_rows, [none.schema.field(field.name) for field in shown]) == (0, shown)
    assert docs.get([1]).metadata == [{"x": 1.0}]
    assert type(docs.get([1]).metadata[0]["x"]) is float
    held = old.get([1]).to_arrow().schema.field("metadata").type
    assert held.equals(old.to_arrow().schema.field("metadata").type)
    assert [field.name for field in held] == ["x", "never"]


def test_a_scan_sees_one_version(store: Store) -> None:
    docs = store.create_collection("docs", model=Model("m", dim=4))
    docs.add(range(300), VECTORS[:300])
    scan = docs.scan(batch_size=50)
    seen = next(scan).ids.tolist()
    docs.delete(range(100, 200))
    docs.add(range(1000, 1100), VECTORS[:100])
    docs.optimize()
    for batch in scan:
        seen += batch.ids.tolist()
    assert sorted(seen) == list(range(300))
    assert docs.count() == 300


def test_only_what_is_asked_for_is_read(store: Store) -> None:
    docs = store.create_collection("docs", model=Model("m", dim=4))
    docs.add(["a"], VECTORS[:1], [{"n": 1}], ["text"])
    assert [batch.to_list() for batch in docs.scan(include=())] == [[{"id": "a"}]]
    assert [batch.to_list() for batch in docs.scan(include="metadata")] == [[{"id": "a", "metadata": {"n": 1}}]]


def test_edges(store: Store) -> None:
    docs = store.create_collection("docs", model=Model("m", dim=4))
    assert list(docs.scan()) == []
    assert docs.ids().tolist() == []
    for size in (0, -1):
        with pytest.raises(ValueError, match="batch_size"):
            docs.scan(batch_size=size)
