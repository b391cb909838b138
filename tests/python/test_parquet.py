"""Parquet out and in again.

Goal: nothing is lost, a damaged or foreign file is refused by name, and a file or collection is there whole or not at
all. Method: collections with every kind of record, compared in every column and bit by bit after a round trip.
"""

from __future__ import annotations

import datetime as dt
import decimal
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lamina
from lamina import parquet, parquet_source
from lamina.errors import CorruptionError, DuplicateIdError, ModelMismatchError, StorageError

MODEL = lamina.Model("own", dim=8)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.timezone.utc)
METADATA: list[dict[str, Any] | None] = [
    {"n": 1, "x": -0.0, "s": "é", "b": True, "t": NOON, "tags": ["a", None], "in": {"deep": [1, 2], "v": 1.5}},
    {"n": 2**62, "x": float("nan"), "d": dt.date(2020, 1, 2), "raw": b"\0\xff", "dec": decimal.Decimal("1.25")},
    None,
    {"n": None, "tags": [], "of": [{"k": 1}, {"k": None}], "span": dt.timedelta(seconds=1), "none": None},
    {"naive": dt.datetime(1969, 12, 31), "s": ""},
]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as opened:
        yield opened


def every_kind(store: lamina.Store, rng: np.random.Generator) -> lamina.Collection:
    """Records of all kinds, in a segment and in the head."""
    docs = store.create_collection("docs", model=MODEL, m=8, ef_construction=50, seed=3)
    vectors = rng.standard_normal((5, 8)).astype(np.float32)
    vectors[0, :3] = [-0.0, 1e-42, 3e38]
    docs.add(range(5), vectors, metadata=METADATA, content=["one", None, "", "vier", "x" * 300])
    docs.update([3], content=["five"])  # its vector is stale from now on
    docs.update([4], content=[None])  # and so is that of a text that is no more
    docs.optimize()
    docs.add([10, 11], content=["owed", "owed too"], metadata=[{"n": 5}, {}])
    docs.upsert([-7], rng.standard_normal((1, 8)))
    return docs


def same(one: lamina.Collection, other: lamina.Collection) -> None:
    left, right = (docs.to_arrow().sort_by("id") for docs in (one, other))
    assert left.schema.equals(right.schema)
    for name in left.schema.names:
        assert repr(left.column(name).to_pylist()) == repr(right.column(name).to_pylist())
    ids = one.ids()
    ids.sort()
    assert one.get(ids).vectors.tobytes() == other.get(ids).vectors.tobytes()
    assert sorted(one.owed().tolist()) == sorted(other.owed().tolist())
    assert sorted(one.stale().tolist()) == sorted(other.stale().tolist())


def row_of(docs: lamina.Collection, id: int) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in docs.to_arrow().to_pylist() if row["id"] == id)
    return found


def test_a_round_trip_loses_nothing(store: lamina.Store, rng: np.random.Generator, tmp_path: Path) -> None:
    docs = every_kind(store, rng)
    assert docs.to_parquet(tmp_path / "d.parquet") == 8
    with lamina.open(tmp_path / "other.lamina", create=True) as other:
        back = other.from_parquet(tmp_path / "d.parquet", "back")
        same(docs, back)
        assert (back.model, back.name, other.list_collections()) == (MODEL, "back", ["back"])
        assert other.stats()["collections"]["back"]["records"] == 8
        core = back.snapshot()._core
        assert (core.dtype, core.m, core.ef_construction, core.seed) == ("float32", 8, 50, 3)
        assert back.stale().tolist() == [3, 4]
        assert back.get(3).content == ["five"]
        back.upsert([12], rng.standard_normal((1, 8)), metadata=[{"n": 1, "of": [{"k": 2}]}])  # the types are the same
        assert back.to_parquet(tmp_path / "again.parquet") == 9


def test_what_was_imported_stays_as_it_came(store: lamina.Store, rng: np.random.Generator, tmp_path: Path) -> None:
    """Read from the log of a writer that was killed, sealed, merged and in a branch; until it is updated."""
    docs = every_kind(store, rng)
    docs.to_parquet(tmp_path / "d.parquet")
    with lamina.open(tmp_path / "other.lamina", create=True, maintenance="manual") as other:
        back = other.from_parquet(tmp_path / "d.parquet", "back")
        shutil.copytree(tmp_path / "other.lamina", tmp_path / "killed.lamina")
        with lamina.open(tmp_path / "killed.lamina") as replayed:
            assert replayed.recovery.frames_replayed == 1
            same(docs, replayed.get_collection("back"))
        other._shared.core.seal()
        same(docs, back)
        branch = back.branch("branch")
        for changed in (back, branch):
            changed.delete([0])
        branch.optimize()
        same(back, branch)
        before = row_of(back, 3)
        back.update([3], metadata=[{"n": 7}])
        after = row_of(back, 3)
        changed_times = {name for name in after if name.endswith("_at") and after[name] != before[name]}
        assert (changed_times, after["_stale"]) == ({"_updated_at"}, True)


def test_times_count_where_they_did(store: lamina.Store, tmp_path: Path) -> None:
    """The age of a vector is that of its making, and what is asked of times is answered alike; versions are of now."""
    docs = store.create_collection("docs", model="hash:16")
    docs.refresh([("a", "text a"), ("b", None)])
    docs.to_parquet(tmp_path / "d.parquet")
    begun = dt.datetime.now(dt.timezone.utc)
    back = store.from_parquet(tmp_path / "d.parquet", "back")
    for field in ("_created_at", "_updated_at", "_embedded_at"):
        assert back.count(filter={field: {"$gte": begun}}) == 0
    assert (back.count(), back.count(filter={"_embedded_at": {"$lt": begun}})) == (2, 1)
    age = dt.datetime.now(dt.timezone.utc) - begun
    assert back.stale(max_age=age).tolist() == ["a"]
    assert back.refresh([("a", "text a")], max_age=age).embedded == 1
    assert all(version.time >= begun for version in back.versions())


def test_dicts_without_keys_come_back(store: lamina.Store, tmp_path: Path) -> None:
    """Parquet has no type for them."""
    docs = store.create_collection("docs", model=MODEL)
    nested = {"d": {"e": {}, "x": [{"f": {}}]}, "l": []}
    rows: list[dict[str, Any]] = [{"e": {}, "n": 1}, {"l": [{}, None, {}]}, {}, nested]
    docs.add(range(4), np.eye(4, 8), metadata=rows)
    of_map = pa.array([[("a", {}), ("b", None)], None, []], pa.map_(pa.string(), pa.struct([])))
    docs.add(range(4, 7), np.eye(3, 8), metadata={"m": of_map, "n": [None, 5, 6]})
    for optimized in (False, True):
        docs.to_parquet(tmp_path / "d.parquet")
        back = store.from_parquet(tmp_path / "d.parquet", f"back {optimized}")
        same(docs, back)
        assert back.get(range(4)).metadata == rows
        docs.optimize()


def test_an_emptied_collection_keeps_its_columns(store: lamina.Store, tmp_path: Path) -> None:
    docs = store.create_collection("docs", model=MODEL, schema={"year": int})
    docs.add([1], np.eye(1, 8), metadata=[{"a": 1, "d": {"large": [2**60]}}])
    docs.add([2], np.eye(1, 8), metadata=[{"a": 0.5}])
    docs.clear()
    docs.to_parquet(tmp_path / "d.parquet")
    back = store.from_parquet(tmp_path / "d.parquet", "back")
    assert (back.count({"a": 1}), back.count({"year": None}), back.count({"d.large": {"$contains": 1}})) == (0, 0, 0)
    assert docs.to_arrow().schema.equals(back.to_arrow().schema)
    for row, error in (({"year": 0.5}, TypeError), ({"d": {"large": [0.5]}}, ValueError), ({"a": "x"}, TypeError)):
        with pytest.raises(error, match="metadata column"):
            back.add([3], np.eye(1, 8), metadata=[row])
    back.add([3], np.eye(1, 8), metadata=[{"a": 2, "b": True}])


def test_declared_columns_stay_declared(store: lamina.Store, tmp_path: Path) -> None:
    docs = store.create_collection("docs", model=MODEL, schema={"year": int, "never": str})
    for rows in range(2):  # the first time there are none
        docs.to_parquet(tmp_path / "d.parquet")
        docs = store.from_parquet(tmp_path / "d.parquet", f"back with {rows}")
        with pytest.raises(TypeError, match="declared int64"):
            docs.add([9], [[1.0] * 8], metadata=[{"year": 1.5}])
        docs.upsert([1], [[1.0] * 8], metadata=[{"year": 1, "other": 2}])
    docs.update([1], metadata=[{"other": 1.5}])


def test_a_table_of_some_columns_comes_in(store: lamina.Store, rng: np.random.Generator, tmp_path: Path) -> None:
    docs = store.create_collection("docs", model=MODEL, schema={"year": int, "lang": str})
    docs.add([1], rng.standard_normal((1, 8)), metadata=[{"year": 2020, "lang": "en"}], content=["one"])
    pq.write_table(docs.to_arrow(include=["metadata.year", "content", "vectors"]), tmp_path / "some.parquet")
    other = store.from_parquet(tmp_path / "some.parquet", "other")
    assert list(other.get([1]).metadata) == [{"year": 2020}]
    with pytest.raises(TypeError, match="year"):
        other.add([2], rng.standard_normal((1, 8)), metadata=[{"year": "soon"}])


def test_scopes_and_batches(store: lamina.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups and writes of 256 rows; the last is not full."""
    monkeypatch.setattr(parquet, "BATCH_BYTES", 1)
    monkeypatch.setattr(parquet_source, "BATCH_BYTES", 1)
    docs = store.create_collection("docs", model="hash:16")
    for scope, count in (("a", 200), ("b", 150)):
        docs.refresh([(f"{scope}{n}", f"text {n} of {scope}") for n in range(count)], scope=scope)
    docs.add(["plain"], content=["no scope"])
    docs.to_parquet(tmp_path / "d.parquet")
    assert pq.ParquetFile(tmp_path / "d.parquet").num_row_groups == 2
    back = store.from_parquet(tmp_path / "d.parquet", "back")
    same(docs, back)
    report = back.refresh([("a0", "text 0 of a")], scope="a", delete="missing", max_delete=1.0)
    assert (report.embedded, report.deleted, len(back)) == (0, 199, 152)
    assert back.search("text 7 of b", k=1).ids.tolist() == ["b7"]


@pytest.mark.parametrize(
    ("model", "dtype"), [(lamina.Model("bits", dim=64, metric="hamming"), "float32"), (MODEL, "float16")]
)
def test_other_kinds_of_vectors(
    store: lamina.Store, tmp_path: Path, rng: np.random.Generator, model: lamina.Model, dtype: str
) -> None:
    docs = store.create_collection("docs", model=model, dtype=dtype)
    docs.add(["x", "y"], rng.integers(0, 255, (2, 8)).astype(np.uint8))
    docs.add(["z"], content=["owed"])
    docs.to_parquet(tmp_path / "d.parquet")
    back = store.from_parquet(tmp_path / "d.parquet", "back")
    same(docs, back)
    assert back.snapshot()._core.dtype == docs.snapshot()._core.dtype


def test_only_what_passes_a_filter(store: lamina.Store, rng: np.random.Generator, tmp_path: Path) -> None:
    docs = every_kind(store, rng)
    assert docs.to_parquet(tmp_path / "d.parquet", filter={"s": {"$exists": True}}) == 2
    back = store.from_parquet(tmp_path / "d.parquet", "back")
    assert (sorted(back.ids().tolist()), back.get(0).metadata) == ([0, 4], docs.get(0).metadata)


def test_an_empty_collection(store: lamina.Store, tmp_path: Path) -> None:
    docs = store.create_collection("docs", model=MODEL)
    assert docs.to_parquet(tmp_path / "d.parquet") == 0
    assert (docs.to_arrow().num_rows, len(store.from_parquet(tmp_path / "d.parquet", "back"))) == (0, 0)


def test_a_table_has_what_is_asked_for(store: lamina.Store, rng: np.random.Generator) -> None:
    docs = every_kind(store, rng)
    before = docs.snapshot()
    docs.delete([0])
    table = before.to_arrow(include=["metadata"])
    assert table.schema.names == ["id", "metadata", "_scope", "_stale", "_created_at", "_updated_at", "_embedded_at"]
    rows = {row["id"]: row for row in table.to_pylist()}
    assert len(rows) == 8
    assert rows[0]["metadata"]["t"] == NOON
    assert rows[10]["_embedded_at"] is None
    assert rows[3]["_created_at"] < rows[3]["_updated_at"]
    assert abs(rows[0]["_created_at"] - dt.datetime.now(dt.timezone.utc)) < dt.timedelta(minutes=5)
    assert sorted(docs.to_arrow(filter={"n": {"$gte": 5}}).column("id").to_pylist()) == [1, 10]
    with pytest.raises(ValueError, match="the fields are"):
        docs.to_arrow(include=["vector"])


def test_files_of_others(store: lamina.Store, tmp_path: Path, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((3, 8)).astype(np.float32)
    table = pa.table(
        {
            "_id": pa.array(["a", "b", "c"]).dictionary_encode(),
            "embedding": pa.array([vectors[0].tolist(), None, vectors[2].tolist()], pa.list_(pa.float64())),
            "text": ["one", "two", None],
            "year": pa.array([1999, None, 2001], pa.int16()),
            "metadata": [{"k": 1}, {"k": None}, {"k": 3}],
        }
    )
    pq.write_table(table, tmp_path / "d.parquet")
    docs = store.from_parquet(tmp_path / "d.parquet", "docs", "all-MiniLM-L6-v2", metric="ip", dtype="float16", seed=9)
    assert (docs.model.dim, docs.model.metric, docs.snapshot()._core.dtype) == (8, "ip", "float16")
    found = docs.get(["a", "b", "c"])
    assert found.metadata == [{"year": 1999, "k": 1}, {}, {"year": 2001, "k": 3}]
    assert (found.content, docs.owed().tolist()) == (["one", "two", None], ["b"])
    assert np.array_equal(found.vectors[[0, 2]], vectors[[0, 2]].astype(np.float16))
    docs = store.from_parquet(tmp_path / "d.parquet", "renamed", MODEL, text_field="_id")
    assert docs.get(["b"]).content == ["b"]


def test_a_file_that_somebody_else_has_changed_since(
    store: lamina.Store, tmp_path: Path, rng: np.random.Generator
) -> None:
    every_kind(store, rng).to_parquet(tmp_path / "d.parquet")
    table = pq.read_table(tmp_path / "d.parquet").drop_columns(["_stale"])
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(ValueError, match='take the key "lamina" out'):
        store.from_parquet(tmp_path / "d.parquet", "back")
    table = table.replace_schema_metadata({})
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(ValueError, match="'_scope' is what lamina calls something of its own"):
        store.from_parquet(tmp_path / "d.parquet", "back", MODEL)
    own = [name for name in table.schema.names if name.startswith("_")]
    pq.write_table(table.drop_columns(own), tmp_path / "d.parquet")
    back = store.from_parquet(tmp_path / "d.parquet", "back", MODEL)
    assert (len(back), back.get(1).metadata[0]["n"]) == (8, 2**62)


def test_what_lamina_never_writes_is_refused(store: lamina.Store, rng: np.random.Generator, tmp_path: Path) -> None:
    every_kind(store, rng).to_parquet(tmp_path / "d.parquet")
    sound = pq.read_table(tmp_path / "d.parquet")
    instant = pa.timestamp("us", "UTC")

    def with_column(name: str, change: Any) -> pa.Table:
        at = sound.schema.get_field_index(name)
        return sound.set_column(at, name, change(sound.column(name).combine_chunks()))

    def one(value: int | None) -> Any:
        return lambda column: pa.array([value, *column.view(pa.int64()).to_pylist()[1:]], pa.int64()).view(instant)

    first = sound.column("id")[0].as_py()
    cases = [
        (with_column("_created_at", lambda column: column.view(pa.int64())), "_created_at as timestamp.*is int64"),
        (with_column("_updated_at", lambda column: column.cast(pa.timestamp("ns", "UTC"))), "_updated_at as timestamp"),
        (with_column("_stale", lambda column: column.cast(pa.int8())), "_stale as bool, and it is int8"),
        (with_column("metadata", lambda column: pa.array([1] * 8)), "wrote metadata of"),
        (with_column("metadata", lambda column: pa.array([{"x": 1}] * 8)), "wrote metadata of"),
        (with_column("_scope", lambda column: pa.nulls(8, pa.string())), f"id {first} has no _scope"),
        (with_column("_updated_at", one(None)), f"id {first} has no _updated_at"),
        (with_column("_embedded_at", one(None)), f"id {first} has no _embedded_at"),
        (with_column("_created_at", one(-(2**63))), f"id {first} has a _created_at beyond"),
        (with_column("_embedded_at", one(2**63 - 1)), f"id {first} has a _embedded_at beyond"),
    ]
    for table, says in cases:
        pq.write_table(table, tmp_path / "e.parquet")
        with pytest.raises(ValueError, match=says):
            store.from_parquet(tmp_path / "e.parquet", "back")
    for year in (1, 1969, 9999):
        wanted = dt.datetime(year, 12, 31, tzinfo=dt.timezone.utc)
        value = (wanted - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) // dt.timedelta(microseconds=1)
        pq.write_table(with_column("_created_at", one(value)), tmp_path / "e.parquet")
        back = store.from_parquet(tmp_path / "e.parquet", f"of {year}")
        assert row_of(back, first)["_created_at"] == wanted
        assert back.ids(filter={"_created_at": wanted}).tolist() == [first]
    assert store.list_collections() == ["docs", "of 1", "of 1969", "of 9999"]


def test_texts_without_vectors_are_embedded(store: lamina.Store, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "body": ["red cat", "blue dog"]}), tmp_path / "d.parquet")
    docs = store.from_parquet(tmp_path / "d.parquet", "docs", "hash:64")
    assert docs.search("dog", k=1).ids.tolist() == [2]
    assert len(store.from_parquet(tmp_path / "d.parquet", "owed", MODEL).owed()) == 2


def test_what_is_refused_leaves_nothing(store: lamina.Store, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "d.parquet"
    docs = every_kind(store, rng)
    docs.to_parquet(path)
    with pytest.raises(ModelMismatchError, match="import"):
        store.from_parquet(path, "back", lamina.Model("another", dim=8))
    with pytest.raises(ValueError, match="already"):
        store.from_parquet(path, "docs")
    with pytest.raises(ValueError, match="no column 'nope'"):
        store.from_parquet(path, "back", text_field="nope")
    with pytest.raises(ValueError, match="where the model is for"):
        store.from_parquet(path, "back", metric="l2")
    with pytest.raises(StorageError) as missing:
        store.from_parquet(tmp_path / "nothing", "back")
    assert missing.value.errno == 2
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"id": [1, 1], "vector": [[1.0] * 8] * 2}, DuplicateIdError, "twice"),
        ({"id": [1, None], "vector": [[1.0] * 8] * 2}, TypeError, "ids are integers"),
        ({"id": [1, 2], "vector": [[1.0] * 8, [1.0]]}, ValueError, "ragged"),
        ({"id": [1, 2], "vector": [[1.0] * 7] * 2}, ValueError, "dimension 7"),
        ({"id": [1, 2], "vector": [[float("nan")] * 8] * 2}, lamina.InvalidVectorError, "NaN"),
        ({"key": [1, 2], "vector": [[1.0] * 8] * 2}, ValueError, "id_field="),
        ({"id": [1, 2]}, ValueError, "vector_field="),
    ]
    ids, texts = pa.array([1]), pa.array(["x"])
    doubled = [pa.StructArray.from_arrays([ids, ids], ["n", name]) for name in ("a", "n")]
    given = {"id": ids, "text": texts, "a": ids}
    tables = [(pa.table(columns), error, says) for columns, error, says in cases]
    tables += [(pa.table({**given, "metadata": held}), ValueError, "the name '[an]' twice") for held in doubled]
    for names in (["id", "text", "text"], ["id", "text", "id"]):
        tables.append((pa.Table.from_arrays([ids, texts, ids], names), ValueError, "the name '(text|id)' twice"))
    tables.append((pa.Table.from_arrays([ids, texts, ids, ids], ["id", "text", "a", "a"]), ValueError, "'a' twice"))
    for table, error, says in tables:
        pq.write_table(table, path)
        with pytest.raises(error, match=says):
            store.from_parquet(path, "back", MODEL)
    pq.write_table(pa.table({"id": [1], "vector": [[1.0] * 8]}), path)
    with pytest.raises(ValueError, match="does not say which model"):
        store.from_parquet(path, "back")
    assert store.list_collections() == ["docs"]


def test_every_damaged_byte_is_noticed(store: lamina.Store, tmp_path: Path, rng: np.random.Generator) -> None:
    docs = store.create_collection("docs", model=MODEL)
    texts = [f"text {n}" for n in range(50)]
    docs.add(range(50), rng.standard_normal((50, 8)), metadata={"n": range(50)}, content=texts)
    docs.to_parquet(tmp_path / "d.parquet")
    sound = (tmp_path / "d.parquet").read_bytes()
    refused = 0
    for at in range(0, len(sound), max(1, len(sound) // 100)):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        (tmp_path / "d.parquet").write_bytes(damaged)
        try:
            back = store.from_parquet(tmp_path / "d.parquet", "back")
        except (CorruptionError, ValueError):
            refused += 1
            continue
        same(docs, back)  # a bit that says nothing: of statistics, or of who wrote the file
        store.drop_collection("back")
    assert refused > 60
    (tmp_path / "d.parquet").write_bytes(sound[: len(sound) // 2])
    with pytest.raises(CorruptionError, match=r"d\.parquet"):
        store.from_parquet(tmp_path / "d.parquet", "back")
    assert store.list_collections() == ["docs"]


def test_what_a_killed_import_left_goes_with_the_next(store: lamina.Store, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "vector": [[1.0] * 8]}), tmp_path / "d.parquet")
    store.create_collection("docs.importing", model=MODEL).add([99], [[1.0] * 8])
    docs = store.from_parquet(tmp_path / "d.parquet", "docs", MODEL)
    assert (store.list_collections(), docs.ids().tolist()) == (["docs"], [1])


def test_a_file_is_replaced_whole_or_not_at_all(
    store: lamina.Store, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs, path = every_kind(store, rng), tmp_path / "d.parquet"
    path.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StorageError) as error:
            docs.to_parquet(path)
    assert (error.value.errno, path.read_text(), [entry.name for entry in tmp_path.glob("d.*")]) == (
        28,
        "before",
        ["d.parquet"],
    )
    odd = pa.array([decimal.Decimal("5e3")], pa.decimal128(5, -3))
    docs.add([50], rng.standard_normal((1, 8)), metadata={"odd": odd})
    with pytest.raises(TypeError, match="Parquet has no room"):
        docs.to_parquet(path)
    assert path.read_text() == "before"
    with pytest.raises(StorageError):
        docs.to_parquet(tmp_path / "no" / "such" / "folder.parquet")
