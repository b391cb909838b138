"""Filtered reads and deletions against pandas.

Goal: any predicate, over any table with nulls, passes the records that pandas finds, in search, scan, count, ids and
delete, wherever the records lie. Method: Hypothesis draws tables, histories (updates, deletions, merges, reopens,
columns that widen or come late) and predicates; pandas evaluates these on the live rows.
"""

from __future__ import annotations

import datetime as dt
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lamina
from lamina import Collection, Filter, FilterError, Model, Store

UTC = dt.timezone.utc
MODEL = Model("m", dim=4, metric="l2")
VECTORS = np.random.default_rng(5).normal(size=(64, 4)).astype(np.float32)
TIMES = [dt.datetime(2020, 1, day, tzinfo=UTC) for day in range(1, 5)]

ints = st.integers(-3, 3)
floats = st.sampled_from([-1.5, -0.0, 0.0, 0.5, 1.0, 2.5])
texts = st.sampled_from(["", "a", "ab", "b", "ß"])
COLUMNS: dict[str, Any] = {
    "i": ints,
    "f": floats,
    "wide": ints,  # and floats later
    "s": texts,
    "b": st.booleans(),
    "t": st.sampled_from(TIMES),
    "tags": st.lists(st.none() | texts, max_size=3),
    "d": st.fixed_dictionaries({"k": st.none() | ints}),
    "late": texts,  # not in the first write
}
DTYPES = {
    "i": "Int64",
    "f": "Float64",
    "wide": "Float64",
    "s": "string",
    "b": "boolean",
    "d.k": "Int64",
    "late": "string",
}
Row = dict[str, Any]


def rows(first: bool, many: int) -> st.SearchStrategy[list[Row]]:
    columns = {name: st.none() | values for name, values in COLUMNS.items() if not (first and name == "late")}
    if not first:
        columns["wide"] = st.none() | ints | floats
    return st.lists(st.fixed_dictionaries({}, optional=columns), min_size=many, max_size=many)


# Predicates, each with what pandas says of a frame.


def compare(name: str, operator: str, value: Any) -> Any:
    plain = {"$eq": "eq", "$ne": "ne", "$gt": "gt", "$gte": "ge", "$lt": "lt", "$lte": "le"}[operator]

    def oracle(frame: pd.DataFrame) -> pd.Series:
        column = frame[name]
        if value is None:
            return column.isna() if operator == "$eq" else ~column.isna()
        return getattr(column, plain)(value).fillna(operator == "$ne").astype(bool)

    return {name: {operator: value}}, oracle


def one_of(name: str, operator: str, values: list[Any]) -> Any:
    def oracle(frame: pd.DataFrame) -> pd.Series:
        found = frame[name].isin([value for value in values if value is not None]).fillna(False).astype(bool)
        if None in values:
            found |= frame[name].isna()
        return found if operator == "$in" else ~found

    return {name: {operator: values}}, oracle


def holds(name: str, piece: str) -> Any:
    def oracle(frame: pd.DataFrame) -> pd.Series:
        return frame[name].map(lambda value: piece in value if isinstance(value, (str, list)) else False).astype(bool)

    return {name: {"$contains": piece}}, oracle


def exists(name: str, wanted: bool) -> Any:
    return {name: {"$exists": wanted}}, lambda frame: ~frame[name].isna() if wanted else frame[name].isna()


VALUES = {"i": ints | floats, "f": ints | floats, "wide": ints | floats, "s": texts, "b": st.booleans(),
          "t": st.sampled_from(TIMES), "d.k": ints, "late": texts, "_id": st.integers(0, 40)}  # fmt: skip
operators = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])


def leaves_of(name: str) -> st.SearchStrategy[Any]:
    values = VALUES[name]
    return st.one_of(
        st.builds(compare, st.just(name), operators, values),
        st.builds(compare, st.just(name), st.sampled_from(["$eq", "$ne"]), st.none()),
        st.builds(one_of, st.just(name), st.sampled_from(["$in", "$nin"]), st.lists(st.none() | values, max_size=3)),
        st.builds(exists, st.just(name), st.booleans()),
    )


leaves = st.one_of(
    st.sampled_from(sorted(VALUES)).flatmap(leaves_of),
    st.builds(holds, st.sampled_from(["s", "late", "tags"]), texts),
    st.builds(exists, st.sampled_from(["tags", "d"]), st.booleans()),
)


def joined(operator: str, parts: list[Any]) -> Any:
    def oracle(frame: pd.DataFrame) -> pd.Series:
        found = parts[0][1](frame)
        for _, part in parts[1:]:
            found = found & part(frame) if operator == "$and" else found | part(frame)
        return found

    return {operator: [asked for asked, _ in parts]}, oracle


predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(joined, st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: ({"$not": part[0]}, lambda frame: ~part[1](frame)), inner),
    ),
    max_leaves=5,
)


def frame_of(records: dict[int, Row]) -> pd.DataFrame:
    names = [name for name in COLUMNS if name != "d"]
    frame = pd.DataFrame({name: pd.Series([row.get(name) for row in records.values()], dtype=object) for name in names})
    frame["d"] = pd.Series([row.get("d") for row in records.values()], dtype=object)
    frame["d.k"] = pd.Series([(row.get("d") or {}).get("k") for row in records.values()], dtype=object)
    for name, dtype in DTYPES.items():
        frame[name] = frame[name].astype(dtype)
    frame["t"] = pd.to_datetime(frame["t"], utc=True)
    frame["_id"] = pd.Series(list(records), dtype="int64")
    return frame


class Played:
    """A collection, and what is in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.docs = store.create_collection("docs", model=MODEL)
        self.records: dict[int, Row] = {}
        # Every column exists, with its type.
        every = {
            "i": 1,
            "f": 0.5,
            "wide": 1,
            "s": "",
            "b": True,
            "t": TIMES[0],
            "tags": ["a"],
            "d": {"k": 1},
            "late": "",
        }
        self.docs.add([63], VECTORS[63:], [every])
        self.docs.delete([63])

    def upsert(self, ids: list[int], metadata: list[Row]) -> None:
        self.docs.upsert(ids, VECTORS[ids], metadata)
        self.records.update(zip(ids, metadata, strict=True))

    def update(self, ids: list[int], metadata: list[Row]) -> None:
        self.docs.update(ids, metadata=metadata)
        for id, row in zip(ids, metadata, strict=True):
            self.records[id] = {**self.records[id], **row}

    def delete(self, ids: list[int]) -> None:
        self.docs.delete(ids)
        for id in ids:
            self.records.pop(id, None)

    def passing(self, oracle: Any) -> list[int]:
        frame = frame_of(self.records)
        return sorted(frame["_id"][oracle(frame).to_numpy(bool)].tolist()) if len(frame) else []


def check(docs: Any, asked: Any, expected: list[int]) -> None:
    assert sorted(docs.ids(filter=asked).tolist()) == expected
    assert docs.count(filter=asked) == len(expected)
    assert sorted(id for batch in docs.scan(filter=asked, batch_size=5) for id in batch.ids.tolist()) == expected
    found = docs.search(VECTORS[0], k=100, exact=True, filter=asked)
    assert sorted(found.ids.tolist()) == expected
    distances = ((VECTORS[found.ids] - VECTORS[0]) ** 2).sum(1)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-4, atol=1e-5)
    narrow = docs.snapshot(filter=asked) if isinstance(docs, Collection) else docs
    if isinstance(docs, Collection):
        assert sorted(narrow.ids().tolist()) == expected
        assert len(narrow) == len(expected)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_filters_find_what_pandas_finds(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.lamina"
        store = lamina.open(path, create=True, durability="os", maintenance="manual")
        played = Played(store)
        played.upsert(list(range(20)), data.draw(rows(True, 20)))
        steps = data.draw(st.lists(st.sampled_from(["upsert", "update", "delete", "optimize", "reopen"]), max_size=6))
        for step in steps:
            ids = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True))
            if step == "upsert":
                played.upsert(ids, data.draw(rows(False, len(ids))))
            elif step == "update":
                ids = [id for id in ids if id in played.records]
                played.update(ids, data.draw(rows(False, len(ids))))
            elif step == "delete":
                played.delete(ids)
            elif step == "optimize":
                played.docs.optimize()
            else:
                store.close()
                store = lamina.open(path, maintenance="manual")
                played.store, played.docs = store, store.get_collection("docs")
            asked, oracle = data.draw(predicates)
            check(played.docs, asked, played.passing(oracle))
        asked, oracle = data.draw(predicates)
        expected = played.passing(oracle)
        assert played.docs.delete(filter=asked).deleted == len(expected)
        assert sorted(played.docs.ids().tolist()) == sorted(set(played.records) - set(expected))
        store.close()


@given(data=st.data())
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_reader_process_finds_the_same(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.lamina"
        with lamina.open(path, create=True, durability="os", maintenance="manual") as store:
            played = Played(store)
            played.upsert(list(range(20)), data.draw(rows(True, 20)))
            played.docs.optimize()
            played.upsert(list(range(10, 30)), data.draw(rows(False, 20)))
            drawn = data.draw(st.lists(predicates, min_size=5, max_size=20))
            script = (
                "import pickle, sys, lamina\n"
                "path, filters = pickle.load(sys.stdin.buffer)\n"
                "docs = lamina.open(path, read_only=True).get_collection('docs')\n"
                "found = [(sorted(docs.ids(filter=f).tolist()), docs.count(filter=f)) for f in filters]\n"
                "sys.stdout.buffer.write(pickle.dumps(found))\n"
            )
            given_over = pickle.dumps((str(path), [Filter(asked) for asked, _ in drawn]))
            done = subprocess.run([sys.executable, "-c", script], input=given_over, capture_output=True, check=True)
            expected = [played.passing(oracle) for _, oracle in drawn]
            assert pickle.loads(done.stdout) == [(ids, len(ids)) for ids in expected]


# What one example says best


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os", maintenance="manual") as opened:
        yield opened


@pytest.fixture
def docs(store: Store) -> Collection:
    """60 records in two segments and a head; every third of them has n = id, in another column type each time."""
    made = store.create_collection("docs", model=MODEL)
    made.add(range(20), VECTORS[:20], [{"n": id} if id % 3 == 0 else {} for id in range(20)])
    made.optimize()
    made.add(range(20, 40), VECTORS[20:40], [{"n": float(id)} if id % 3 == 0 else None for id in range(20, 40)])
    store._shared.core.seal()
    made.add(range(40, 60), VECTORS[40:60], [{"n": id, "new": "x"} if id % 3 == 0 else None for id in range(40, 60)])
    return made


def test_fewer_hits_than_k_when_fewer_pass(docs: Collection) -> None:
    few = docs.search(VECTORS[:2], k=10, filter={"n": {"$lt": 9}})
    assert few.counts.tolist() == [3, 3]
    assert (few.ids[:, 3:] == -1).all()
    assert np.isinf(few.distances[:, 3:]).all()
    assert len(docs.search(VECTORS[0], filter={"n": 1})) == 0
    hits = docs.search(VECTORS[0], k=10, filter={"n": {"$lt": 9}}, include=("metadata",))
    assert [row["n"] for row in hits.metadata] == hits.ids.tolist()


def test_every_search_obeys_its_filter(docs: Collection) -> None:
    for _ in range(2):  # the second time from what is kept
        for ef in (1, 10, 100):
            found = docs.search(VECTORS, k=5, ef=ef, filter={"n": {"$exists": True}})
            assert (found.ids % 3 == 0).all()
            assert (found.counts == 5).all()
    unfiltered = docs.search(VECTORS, k=60, exact=True)
    assert (unfiltered.counts == 60).all()


def test_a_repeated_filter_is_not_evaluated_again(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina import narrowing

    asked: list[int] = []
    real = narrowing.passing

    def counted(node: Any, table: Any) -> Any:
        asked.append(table.rows)
        return real(node, table)

    monkeypatch.setattr(narrowing, "passing", counted)
    compiled = docs.filter({"n": {"$gte": 30}})
    asked.clear()
    assert docs.count(filter=compiled) == 10
    assert asked == [20, 20, 20]
    docs.search(VECTORS[0], filter={"n": {"$gte": 30}})
    assert asked == [20, 20, 20], "the same snapshot"
    docs.upsert([60, 61], VECTORS[:2], {"n": [60, 1]})
    assert docs.count(filter=compiled) == 11
    assert asked[3:] == [2], "only what the head got since"
    docs.delete([33])
    assert docs.count(filter=compiled) == 10
    assert len(asked) == 4, "nothing that is new"
    docs.update([36], metadata={"n": [0]})
    assert docs.count(filter=compiled) == 9
    assert asked[4:] == [1]


def test_each_answer_is_of_one_version_beside_writes(store: Store) -> None:
    docs = store.create_collection("docs", model=MODEL)
    docs.add([0, 1], VECTORS[:2], {"n": [0, 1]})
    wrong: list[Any] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            snapshot = docs.snapshot()
            odd = snapshot.ids(filter={"n": {"$in": list(range(1, 200, 2))}}).tolist()
            even = snapshot.count(filter={"n": {"$not": {"$in": list(range(1, 200, 2))}}})
            if 2 * len(odd) != len(snapshot) or even != len(odd) or any(id % 2 == 0 for id in odd):
                wrong.append((len(snapshot), even, odd))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(2, 120, 2):
        docs.upsert([n % 60, n % 60 + 1], VECTORS[:2], {"n": [n, n + 1]})
        if n % 30 == 0:
            store._shared.core.seal()
    docs.optimize()
    over.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_a_snapshot_of_a_filter_is_of_its_version(docs: Collection) -> None:
    narrow = docs.snapshot(filter={"n": {"$gte": 30}})
    assert narrow.version == docs.version
    docs.upsert([60], VECTORS[:1], {"n": [60]})
    docs.delete([30])
    assert sorted(narrow.ids().tolist()) == list(range(30, 60, 3))
    assert 30 in narrow
    assert 31 not in narrow
    assert narrow.get([30, 31], include=()).missing == [31]
    assert narrow.count(filter={"n": {"$lt": 40}}) == 4
    assert sorted(narrow.search(VECTORS[0], k=99, exact=True).ids.tolist()) == list(range(30, 60, 3))


def test_a_pickled_snapshot_keeps_its_filter(docs: Collection, tmp_path: Path) -> None:
    narrow = docs.snapshot(filter={"n": {"$gte": 30}})
    script = "import pickle, sys; sys.stdout.write(repr(sorted(pickle.load(sys.stdin.buffer).ids().tolist())))"
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(narrow), capture_output=True, check=True)
    assert done.stdout.decode() == repr(list(range(30, 60, 3)))


def test_older_versions_are_filtered_by_what_they_held(docs: Collection) -> None:
    version = docs.version
    docs.update([33], metadata={"n": [0]})
    docs.delete([36])
    then = docs.snapshot(version=version, filter={"n": {"$gte": 30, "$lt": 40}})
    assert sorted(then.ids().tolist()) == [30, 33, 36, 39]
    assert sorted(docs.ids(filter={"n": {"$gte": 30, "$lt": 40}}).tolist()) == [30, 39]


def test_delete_takes_ids_or_a_filter(docs: Collection) -> None:
    result = docs.delete(filter={"n": {"$gte": 30}})
    assert result.deleted == 10
    assert result.version == docs.version
    assert docs.count() == 50
    assert docs.delete(filter={"n": {"$gte": 30}}) == (0, 0, 0, docs.version)
    for wrong in ({}, {"ids": [1], "filter": {"n": 1}}):
        with pytest.raises(TypeError, match="one of the two"):
            docs.delete(**wrong)
    with pytest.raises(ValueError, match=r"clear\(\)"):
        docs.delete(filter={})
    with pytest.raises(lamina.ConflictError):
        docs.delete(filter={"n": 3}, if_version=docs.version - 1)
    assert docs.count() == 50


def test_delete_asks_again_if_somebody_writes_meanwhile(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.base import Base

    real, writes = Base.passing, iter([[{"n": 100}], [{"n": 200}]])

    def interrupted(self: Base, filter: Filter) -> Any:
        found = real(self, filter)
        if (metadata := next(writes, None)) is not None:
            docs.upsert([metadata[0]["n"]], VECTORS[:1], metadata)
        return found

    monkeypatch.setattr(Base, "passing", interrupted)
    assert docs.delete(filter={"n": {"$gte": 54}}).deleted == 4
    assert not docs.count(filter={"n": {"$gte": 54}})


def test_a_transaction_deletes_by_what_it_wrote_before(store: Store, docs: Collection) -> None:
    with store.transaction() as tx:
        tx["docs"].upsert([3, 70], VECTORS[:2], {"n": [1000, 1001]})
        tx["docs"].update([6], metadata={"n": [1002]})
        tx["docs"].delete([57])
        tx["docs"].delete(filter={"n": {"$gte": 50}})
        tx["docs"].upsert([71], VECTORS[:1], {"n": [1003]})
    assert [result.deleted for result in tx.results] == [0, 0, 1, 5, 0]
    assert docs.ids(filter={"n": {"$gte": 50}}).tolist() == [71]
    assert 6 not in docs
    with store.transaction() as tx:
        tx["docs"].clear()
        tx["docs"].upsert([1, 2], VECTORS[:2], {"other": ["x", "y"]})
        tx["docs"].delete(filter={"other": "x"})
    assert docs.ids().tolist() == [2]

    def by_time() -> None:
        with store.transaction() as tx:
            tx["docs"].upsert([1], VECTORS[:1])
            tx["docs"].delete(filter={"_updated_at": {"$exists": True}})

    with pytest.raises(FilterError, match="'_updated_at' is not known"):
        by_time()
    assert docs.ids().tolist() == [2]


def test_a_branch_begins_with_what_passes(store: Store, docs: Collection) -> None:
    docs.tag("now")
    branch = docs.branch("large", filter={"n": {"$gte": 30}})
    assert sorted(branch.ids().tolist()) == list(range(30, 60, 3))
    assert len(branch.versions()) == 1
    branch.upsert([1], VECTORS[:1], {"n": [1]})
    docs.clear()
    assert branch.count() == 11
    assert sorted(docs.branch("then", tag="now", filter={"n": {"$lt": 4}}).ids().tolist()) == [0, 3]
    with pytest.raises(FilterError):
        docs.branch("none", filter={"nn": 1})
    assert store.list_collections() == ["docs", "large", "then"]
    branch.optimize()
    store.verify()
    assert branch.search(VECTORS[33], k=1, exact=True).ids.tolist() == [33]


def test_a_branch_asks_again_if_somebody_writes_meanwhile(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    real, writes = docs.snapshot, iter([100, 101])

    def interrupted(**asked: Any) -> Any:
        found = real(**asked)
        if (id := next(writes, None)) is not None:
            docs.upsert([id], VECTORS[:1], {"n": [id]})
        return found

    monkeypatch.setattr(docs, "snapshot", interrupted)
    assert sorted(docs.branch("large", filter={"n": {"$gte": 54}}).ids().tolist()) == [54, 57, 100, 101]


def test_record_fields(store: Store) -> None:
    docs = store.create_collection("docs", model=Model("hash:16"))
    docs.refresh([("a", "one"), ("b", "two")], scope="left")
    docs.refresh([("c", "three")], scope="right")
    docs.optimize()
    middle = dt.datetime.now(UTC)
    docs.update(["b"], metadata={"n": [1]})
    docs.upsert(["d"], content=["four"])
    docs.add(["e"], VECTORS[:1].repeat(4, 1))
    assert sorted(docs.ids(filter={"_scope": "left"})) == ["a", "b"]
    assert sorted(docs.ids(filter={"_scope": {"$in": ["right", ""]}})) == ["c", "d", "e"]
    assert sorted(docs.ids(filter={"_updated_at": {"$gte": middle}})) == ["b", "d", "e"]
    assert sorted(docs.ids(filter={"_created_at": {"$gte": middle}})) == ["d", "e"]
    assert sorted(docs.ids(filter={"_embedded_at": {"$lt": middle}})) == ["a", "b", "c"]
    assert sorted(docs.ids(filter=pc.field("_embedded_at") >= middle)) == ["d", "e"]
    later = dt.datetime.now(UTC)
    docs.update(["a"], content=["another"])
    assert sorted(docs.ids(filter={"_embedded_at": {"$gte": later}})) == ["a"]


def test_records_that_are_owed_a_vector_pass_too(store: Store) -> None:
    docs = store.create_collection("docs", model=Model("m", dim=4))
    docs.add([1, 2], content=["x", "y"], metadata={"n": [1, 2]})
    assert docs.ids(filter={"n": 2}).tolist() == [2]
    assert docs.ids(filter={"_embedded_at": None, "n": 1}).tolist() == [1]
    assert len(docs.search(VECTORS[0], filter={"n": 2})) == 0


def test_a_filter_is_asked_in_either_generation(store: Store, docs: Collection) -> None:
    m = docs.migrate(to=Model("next", dim=3), vectors=({id: VECTORS[id][:3] for id in range(60)}))
    m.run()
    m.cutover()
    found = docs.search(VECTORS[33][:3], k=99, exact=True, filter={"n": {"$gte": 30}}, model=Model("next", dim=3))
    assert sorted(found.ids.tolist()) == list(range(30, 60, 3))


def test_tables_and_files_of_what_passes(docs: Collection, tmp_path: Path) -> None:
    table = docs.to_arrow(filter={"n": {"$gte": 54}}, include=("metadata.n",))
    assert sorted(table.column("id").to_pylist()) == [54, 57]
    assert sorted(row["n"] for row in table.column("metadata").to_pylist()) == [54.0, 57.0]
    assert docs.to_parquet(tmp_path / "some.parquet", filter={"n": {"$gte": 54}}) == 2


def test_single_columns_are_read_alone(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina import codec

    real, read = codec.read_metadata, []

    def watched(block: Any, names: Any = None) -> Any:
        read.append(names)
        return real(block, names)

    monkeypatch.setattr(codec, "read_metadata", watched)
    assert docs.get([3, 42, 1], include="metadata.n").metadata == [{"n": 3.0}, {"n": 42.0}, {}]
    assert docs.get([42], include=("metadata.n", "metadata.new")).metadata == [{"n": 42, "new": "x"}]
    hits = docs.search(VECTORS[42], k=1, include=("metadata.new", "content"), exact=True)
    assert hits[0].metadata == {"new": "x"}
    assert docs.search(VECTORS[42:44], k=1, include="metadata.new", exact=True)[0].metadata == [{"new": "x"}]
    assert read
    assert None not in read
    assert docs.get([42], include=("metadata", "metadata.n")).metadata == [{"n": 42, "new": "x"}]
    for batch in docs.scan(include="metadata.new"):
        assert batch.vectors is None
        assert all(row in ({}, {"new": "x"}) for row in batch.metadata or [])
    with pytest.raises(ValueError, match=r"no metadata column 'nw'; there are"):
        docs.get([1], include="metadata.nw")


def test_damage_is_corruption(tmp_path: Path) -> None:
    path = tmp_path / "s.lamina"
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.add(range(40), VECTORS[:40], {"word": ["needle"] * 40})
        docs.optimize()
    (file,) = (path / "files").glob("*.rec")
    data = bytearray(file.read_bytes())
    data[data.index(b"needleneedle") + 3] ^= 1
    file.write_bytes(data)
    with lamina.open(path, read_only=True) as store:
        docs = store.get_collection("docs")
        with pytest.raises(lamina.CorruptionError) as caught:
            docs.count(filter={"word": "needle"})
        assert caught.value.file == str(file)
        assert docs.count(filter={"_id": {"$lt": 5}}) == 5, "what is not damaged can be asked"
