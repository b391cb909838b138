"""Metadata of nanoseconds.

Goal: no digit is lost or made up, whatever comes first and whoever reads. Method: the same moments as Arrow columns,
as Python's values, in frames and in filters; in a process without pandas, of which Arrow would make other objects.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lamina
from lamina import columns

NS = pa.timestamp("ns")
FINE = 1_000_001_789  # nanoseconds
KINDS = [NS, pa.timestamp("ns", "UTC"), pa.duration("ns"), pa.time64("ns")]


def test_nanoseconds_are_kept_where_they_mean_something() -> None:
    exact = pd.Timestamp("2020-01-01T00:00:00.000001")
    finer = pd.Timestamp("2020-01-01T00:00:00.000000001")
    assert columns.from_metadata({"t": pd.Series([exact])}, 1).schema.field("t").type == pa.timestamp("us")
    assert columns.from_metadata({"t": pd.Series([finer])}, 1).schema.field("t").type == pa.timestamp("ns")


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("fine_first", [False, True])
def test_microseconds_and_nanoseconds_share_a_column(tmp_path: Path, kind: pa.DataType, fine_first: bool) -> None:
    """Whichever come first, as Arrow columns whose digits do not matter, and as Python's values."""
    vectors = np.eye(4, dtype=np.float32)
    coarse, fine = ({"t": pa.array([value], kind)} for value in (1_000_000, FINE))
    (whole,) = columns.listed(coarse["t"])
    assert type(whole) in (dt.datetime, dt.timedelta, dt.time)
    given = [coarse, [{"t": whole}]]
    given = [fine, *given] if fine_first else [*given, fine]
    numbers = [FINE, 1_000_000, 1_000_000] if fine_first else [1_000_000, 1_000_000, FINE]
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        for schema in (None, {"t": kind}):
            docs = store.create_collection(f"with {schema}", lamina.Model("m", dim=4), schema=schema)
            for id, metadata in enumerate(given):
                docs.add([id], vectors[:1], metadata)
            for _ in range(2):
                column = docs.get(range(3)).to_arrow()["metadata"].combine_chunks().field("t")
                assert (column.type, column.view(pa.int64()).to_pylist()) == (kind, numbers)
                found = [row["t"] for row in docs.get(range(3)).metadata]
                assert found == [whole if number != FINE else pa.scalar(FINE, kind) for number in numbers]
                assert docs.count({"t": whole}) == 2
                assert docs.count({"t": {"$gt": whole}}) == 1
                docs.optimize()
            docs.upsert(range(3), vectors[:3], docs.get(range(3)).metadata)  # what is read can be written
            assert [row["t"] for row in docs.get(range(3)).metadata] == found


def test_nanoseconds_inside_lists_and_dicts() -> None:
    kind = pa.struct({"l": pa.list_(NS), "m": pa.map_(pa.string(), pa.duration("ns")), "d": pa.struct({"t": NS})})
    fine, whole = pa.scalar(FINE, NS), dt.datetime(1970, 1, 1, 0, 0, 1)
    span = pa.scalar(1, pa.duration("ns"))
    rows = [
        {"x": {"l": [fine, None, fine], "m": [("a", span)], "d": {"t": fine}}},
        {"x": {"l": [], "d": {}}},
        {},
        {"x": {"l": [whole], "m": [("b", dt.timedelta(0)), ("c", None)]}},
    ]
    values = [
        {"l": [FINE, None, FINE], "m": [("a", 1)], "d": {"t": FINE}},
        {"l": [], "d": {"t": None}},
        None,
        {"l": [10**9], "m": [("b", 0), ("c", None)]},
    ]
    batch = pa.record_batch({"x": pa.array(values, kind)})
    for start in range(4):
        assert columns.rows_of(batch.slice(start)) == rows[start:]
    assert columns.rows_of(columns.from_metadata(batch, 4)) == rows


def test_times_beyond_nanoseconds_never_share_a_column_with_them(tmp_path: Path) -> None:
    fine, far = {"t": pa.array([FINE], NS)}, [{"t": dt.datetime(3000, 1, 1)}]
    vector = np.eye(1, 4, dtype=np.float32)
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        for name, first, second in (("fine first", fine, far), ("far first", far, fine)):
            docs = store.create_collection(name, lamina.Model("m", dim=4))
            docs.add([1], vector, first)
            with pytest.raises(ValueError, match="column 't' would hold both nanoseconds and times beyond"):
                docs.add([2], vector, second)
            assert docs.count({"t": {"$lt": dt.datetime(9999, 1, 1)}}) == 1
            for asked in ({"$lte": dt.datetime(1600, 1, 1)}, dt.datetime(9999, 1, 1)):
                assert docs.count({"t": asked}) == 0
        docs = store.create_collection("declared", lamina.Model("m", dim=4), schema={"t": NS, "s": pa.duration("ns")})
        with pytest.raises(TypeError, match="column 't' was declared"):
            docs.add([2], vector, far)
        docs.add([2], vector, [{"s": dt.timedelta(1)}])
        assert docs.count({"s": {"$lt": dt.timedelta(days=999_999)}}) == 1
        assert docs.count({"s": {"$gt": dt.timedelta(days=-999_999)}}) == 1
        docs = store.create_collection("of us", lamina.Model("m", dim=4), schema={"t": pa.timestamp("us")})
        with pytest.raises(TypeError, match="column 't' was declared"):
            docs.add([2], vector, fine)
        docs.add([2], vector, {"t": pa.array([1000], NS)})


def test_what_pandas_knows_finer_is_not_cut(tmp_path: Path) -> None:
    for rows in ([{"t": pd.Timestamp(FINE)}], [{"t": [{"x": (pd.Timestamp(FINE),)}]}], [{"t": pd.Timedelta(1789)}]):
        with pytest.raises(TypeError, match=r"column 't' .*finer than microseconds"):
            columns.from_metadata(rows, 1)
    coarse = columns.from_metadata([{"t": pd.Timestamp(1000)}], 1)
    assert columns.rows_of(coarse) == [{"t": dt.datetime(1970, 1, 1, microsecond=1)}]
    frame = pd.DataFrame({"id": [1, 2], "text": "x", "t": pd.to_datetime([FINE, 1000], utc=True)})
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", "hash:8")
        docs.refresh(frame)
        assert docs.get([1]).metadata == [{"t": pa.scalar(FINE, pa.timestamp("ns", "UTC"))}]
        assert docs.get([2]).metadata == [{"t": dt.datetime(1970, 1, 1, microsecond=1, tzinfo=dt.timezone.utc)}]
        assert docs.refresh(frame).unchanged == 2


def test_a_filter_never_cuts_nanoseconds(tmp_path: Path) -> None:
    times, spans = pa.array([1_000_001_000, FINE], NS), pa.array([0, 1], pa.duration("ns"))
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", lamina.Model("m", dim=4))
        docs.add([0, 1], np.eye(2, 4), {"t": times, "s": spans})
        for text in ("1970-01-01T00:00:01.000001", "1970-01-01T00:00:01.000001000"):
            assert docs.ids({"t": text}).tolist() == [0]
            assert docs.ids({"t": {"$gt": text}}).tolist() == [1]
        finer = ["1970-01-01T00:00:01.000001789", "1970-01-01T00:00:01.0000017Z", times[1], pd.Timestamp(FINE)]
        for value in finer:
            with pytest.raises(lamina.FilterError, match="to the microsecond"):
                docs.ids({"t": value})
        for span in (spans[1], pd.Timedelta(1)):
            with pytest.raises(lamina.FilterError, match="to the microsecond"):
                docs.ids({"s": span})
        assert docs.ids({"t": times[0]}).tolist() == [0]


WITHOUT_PANDAS = """
import sys
class Absent:
    def find_spec(self, name, *rest):
        if name == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import lamina, pyarrow as pa
from lamina import cli
kinds = [pa.timestamp("ns"), pa.duration("ns"), pa.time64("ns")]
with lamina.open(sys.argv[1], create=True) as store:
    docs = store.create_collection("docs", "hash:8")
    fine = {f"x{at}": pa.array([1789, 2000], kind) for at, kind in enumerate(kinds)}
    docs.add([1, 2], content=["x", "y"], metadata=fine | {"n": pa.array([1, 2])})
    rows = docs.get([1, 2]).metadata
    assert all(value.value == 1789 for name, value in rows[0].items() if name != "n"), rows
    docs.upsert([1, 2], content=["x", "y"], metadata=rows)
    assert docs.get([1, 2]).metadata == rows
    assert docs.ids({"x0": rows[1]["x0"]}).tolist() == [2]
sys.exit(cli.main(["search", sys.argv[1], "x", "-k", "1", "--json"]))
"""


def test_a_process_without_pandas_reads_them_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_PANDAS, str(tmp_path / "s.lamina")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["metadata"] == {
        "x0": "1970-01-01 00:00:00.000001789", "x1": "1789", "x2": "00:00:00.000001789", "n": 1,
    }  # fmt: skip
