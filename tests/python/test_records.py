"""Blocks, columns and records.

Goal: what goes in comes out, whatever it came in; columns widen without loss or are refused; no damaged block is ever
used. Method: round trips against plain Python values, every bit of a block flipped and every length cut, Hypothesis
over nested values.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lamina
from lamina import codec, columns, widening
from lamina.records import BlockCache, Records, included

CODEC = codec.Codec()


def block(rows: list[dict[str, Any]], texts: list[str | None] | None = None) -> bytes:
    content = None if texts is None else pa.array(texts, pa.large_string())
    return codec.encode(columns.from_metadata(rows, len(rows)), content)


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return columns.rows_of(codec.decode_metadata(data))


ROWS = [
    {"s": "text", "i": 5, "f": 1.5, "b": True, "l": ["x", "y"], "d": {"k": 1}, "t": dt.datetime(2020, 1, 2, 3, 4, 5)},
    {},
    {"s": "é\0", "i": -(2**63), "l": [], "d": {"q": [1.5]}, "day": dt.date(1999, 1, 1), "raw": b"\xff\x00"},
]


def test_a_block_gives_back_what_it_was_given() -> None:
    texts = ["first", None, "third " * 1000]
    data = block(ROWS, texts)
    CODEC.check(memoryview(data), 3)
    assert rows_of(data) == ROWS
    assert codec.decode_content(data).to_pylist() == texts


def test_content_is_compressed_and_metadata_is_read_in_place() -> None:
    data = block([{"s": "x" * 1000}], ["y" * 100_000])
    assert len(data) < 4000
    column = codec.decode_metadata(data).column("s")
    address = pa.py_buffer(data).address
    assert address <= column.buffers()[2].address < address + len(data)


def test_blocks_without_columns_or_content_know_their_rows() -> None:
    data = codec.encode(columns.no_columns(7), None)
    CODEC.check(memoryview(data), 7)
    assert codec.decode_content(data).null_count == 7
    with pytest.raises(ValueError, match="8 rows expected, 7 found"):
        CODEC.check(memoryview(data), 8)
    CODEC.check(memoryview(codec.encode(columns.no_columns(0), None)), 0)


def test_concat_take_picks_rows_and_joins_columns() -> None:
    first, second, third = block(ROWS, ["a", None, "c"]), block([{"i": 7, "new": "n"}]), block([{"i": 0.5}], ["z"])
    slices = [
        (memoryview(first), np.array([2, 0], np.uint32)),
        (memoryview(second), np.array([0], np.uint32)),
        (memoryview(first), np.array([], np.uint32)),
        (memoryview(third), np.array([0, 0], np.uint32)),
    ]
    joined = CODEC.concat_take(slices)
    CODEC.check(memoryview(joined), 5)
    assert rows_of(joined) == [ROWS[2], ROWS[0], {"i": 7, "new": "n"}, {"i": 0.5}, {"i": 0.5}]
    assert codec.decode_content(joined).to_pylist() == ["c", "a", None, "z", "z"]
    with pytest.raises(ValueError, match="row 3"):
        CODEC.concat_take([(memoryview(first), np.array([3], np.uint32))])


def test_rows_are_picked_from_batches_of_several_schemas() -> None:
    """Columns that are not there, of another type, and of structs with other keys; the first row of each is cut off."""
    flat = [[{"n": 0}, {"n": 1}], [{}, {}], [{"s": "x"}, {"s": "y", "n": 2}]]
    doubles = [{"n": 0.5}, {"n": 1.5}]
    nested = [[{}, {"d": {"b": {"a": None}}}], [{}, {"d": {"a": 2}}]]  # which Arrow joins into what is not valid
    for parts in (flat, [*flat, doubles], nested, [*flat, *nested]):
        batches = [columns.from_metadata(part, len(part)).slice(1) for part in parts]
        expected = [row for batch in batches for row in columns.rows_of(batch)]
        which = np.repeat(np.arange(len(batches)), [batch.num_rows for batch in batches])[::-1].copy()
        rows = np.concatenate([np.arange(batch.num_rows) for batch in batches])[::-1].copy()
        picked = columns.pick(batches, which, rows)
        picked.validate(full=True)
        assert columns.rows_of(picked) == expected[::-1]
        assert columns.rows_of(columns.pick(batches, which, rows, ["n"])) == [
            {name: value for name, value in row.items() if name == "n"} for row in expected[::-1]
        ]


def test_every_flipped_bit_is_refused_or_harmless() -> None:
    good = block([{"s": "abc", "l": ["x", "yy"], "d": {"q": 1}}, {"s": "é"}], ["hello", None])
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            CODEC.check(memoryview(bad), 2)
        except ValueError:
            continue
        codec.decode_metadata(bad).to_pylist()  # passed: must be safe to use
        codec.decode_content(bad).to_pylist()
        CODEC.concat_take([(memoryview(bad), np.array([1, 0], np.uint32))])


def test_every_shorter_block_is_refused() -> None:
    good = block([{"s": "abc"}], ["hello"])
    for length in range(len(good)):
        with pytest.raises(ValueError):
            CODEC.check(memoryview(good[:length]), 1)
    with pytest.raises(ValueError):
        CODEC.check(memoryview(good + b"\0"), 1)


def test_string_offsets_that_lie_are_refused_before_use() -> None:
    good = block([{"s": "abcdefgh"}, {"s": "ij"}])
    offsets = np.array([0, 8, 10], np.int32).tobytes()
    at = good.index(offsets)
    for lie in ([0, 2**31 - 1, 10], [0, 12, 10], [-5, 8, 10], [0, 8, 2**30]):
        bad = good[:at] + np.array(lie, np.int32).tobytes() + good[at + len(offsets) :]
        with pytest.raises(ValueError, match="Arrow"):
            CODEC.check(memoryview(bad), 2)
        with pytest.raises(ValueError, match="Arrow"):
            codec.decode_metadata(bad)


def test_a_content_size_that_lies_is_refused_without_taking_the_memory() -> None:
    good = block([{}], ["hello " * 100])
    for size in (0, 1, 1 << 33, 1 << 62):
        bad = good[:24] + size.to_bytes(8, "little") + good[32:]
        with pytest.raises(ValueError, match="content"):
            CODEC.check(memoryview(bad), 1)


def test_hashes_are_of_utf8_and_zero_without_content() -> None:
    import hashlib

    hashes = codec.content_hashes(["é", None, ""])
    assert hashes[0].tobytes() == hashlib.sha256("é".encode()).digest()[:16]
    assert not hashes[1].any()
    assert hashes[2].tobytes() == hashlib.sha256(b"").digest()[:16]
    assert codec.content_hashes([]).shape == (0, 16)


SOURCES = [
    [{"a": 1, "s": "x"}, {"a": 2, "s": "y"}],
    {"a": [1, 2], "s": ["x", "y"]},
    {"a": np.array([1, 2], np.int16), "s": np.array(["x", "y"])},
    {"a": (1, 2), "s": pa.array(["x", "y"]).dictionary_encode()},
    {"a": pa.chunked_array([[1], [2]]), "s": pd.Series(["x", "y"], index=[5, 6])},
    pd.DataFrame({"a": [1, 2], "s": ["x", "y"]}, index=[7, 8]),
    pd.DataFrame({"a": [1, 2], "s": pd.Categorical(["x", "y"])}),
    pl.DataFrame({"a": [1, 2], "s": ["x", "y"]}),
    pa.table({"a": pa.array([1, 2], pa.uint8()), "s": pa.array(["x", "y"], pa.large_string())}),
    pa.table({"a": pa.chunked_array([[1], [2]]), "s": pa.chunked_array([["x"], ["y"]])}),
    pa.record_batch({"a": [1, 2], "s": ["x", "y"]}),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__module__ + "." + type(source).__name__)
def test_metadata_come_in_many_shapes_and_are_one(source: Any) -> None:
    batch = columns.from_metadata(source, 2)
    assert columns.rows_of(batch) == [{"a": 1, "s": "x"}, {"a": 2, "s": "y"}]
    assert batch.schema == pa.schema({"a": pa.int64(), "s": pa.string()})


def test_missing_keys_and_none_are_the_same() -> None:
    batch = columns.from_metadata([{"a": 1, "b": None}, None, {"c": {"x": None, "y": [None]}}], 3)
    assert columns.rows_of(batch) == [{"a": 1}, {}, {"c": {"y": [None]}}]


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ([{"a": 1}], ValueError, "1 rows for 2 ids"),
        ({"a": [1, 2, 3]}, ValueError, "'a' has 3 values for 2"),
        (pd.DataFrame({"a": [1]}), ValueError, "1 rows for 2 ids"),
        ([{"a": 1}, {"a": "x"}], TypeError, "'a' holds int and str"),
        ([{"a": True}, {"a": 1}], TypeError, "'a' holds bool and int"),
        ([{"a": 2**64}, {}], TypeError, "'a' cannot be one Arrow type"),
        ([{"a": object()}, {}], TypeError, "'a' cannot be one Arrow type"),
        (pa.table({"a": pa.array([1, 2**63], pa.uint64())}), TypeError, "'a' cannot be one Arrow type"),
        ([{1: "x"}, {}], TypeError, "name is a str"),
        (pa.Table.from_arrays([[1, 2], [3, 4]], names=["a", "a"]), ValueError, "has the name 'a' twice"),
        (pa.RecordBatch.from_arrays([pa.array([1, 2])] * 2, names=["a", "a"]), ValueError, "has the name 'a' twice"),
        ({"a": "xy"}, TypeError, "a list or an array"),
        ([1, 2], TypeError, "each row is a dict"),
        ("ab", TypeError, "metadata is a str"),
        (5, TypeError, "metadata is a int"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_columns_are_refused(metadata: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        columns.from_metadata(metadata, 2)


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.null(), pa.string(), pa.string()),
        (pa.string(), pa.null(), pa.string()),
        (pa.list_(pa.null()), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (pa.list_(pa.int64()), pa.list_(pa.float64()), pa.list_(pa.float64())),
        (pa.struct({"a": pa.int64()}), pa.struct({"b": pa.string()}), pa.struct({"a": pa.int64(), "b": pa.string()})),
        (pa.string(), pa.int64(), None),
        (pa.bool_(), pa.int64(), None),
        (pa.list_(pa.string()), pa.string(), None),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), None),
        (pa.struct({"a": pa.int64()}), pa.struct({"a": pa.string()}), None),
    ],
)
def test_types_widen_or_are_refused(old: pa.DataType, new: pa.DataType, both: pa.DataType | None) -> None:
    if both is None:
        with pytest.raises(TypeError, match="'c"):
            widening.unify(pa.field("c", old), pa.field("c", new), "c")
    else:
        assert widening.unify(pa.field("c", old), pa.field("c", new), "c").type == both
        found = widening.unify(pa.field("c", new), pa.field("c", old), "c").type
        assert found.equals(both) or pa.types.is_struct(both)


def test_large_integers_and_doubles_never_share_a_column() -> None:
    none = pa.schema([])
    large = columns.from_metadata([{"a": 2**53 + 1}], 1)
    double = columns.from_metadata([{"a": 0.5}], 1)
    small = columns.from_metadata([{"a": 2**53}], 1)
    with pytest.raises(ValueError, match="2\\*\\*53"):
        widening.admit(widening.admit(none, large), double)
    with pytest.raises(ValueError, match="2\\*\\*53"):
        widening.admit(widening.admit(none, double), large)
    assert widening.admit(widening.admit(none, small), double).field("a").type == pa.float64()
    known = widening.admit(none, small)
    assert widening.admit(known, small) is known


INSIDE = [
    (lambda value: {"l": [value]}, "'l\\[\\]'"),
    (lambda value: {"d": {"x": value, "y": 1}}, "'d.x'"),
    (lambda value: {"d": {"x": [{"y": [None, value]}]}}, "'d.x\\[\\].y\\[\\]'"),
]


@pytest.mark.parametrize(("row", "where"), INSIDE)
@pytest.mark.parametrize("optimized", [False, True])
def test_large_integers_inside_lists_and_dicts_are_never_rounded(
    tmp_path: Path, row: Callable[[Any], dict[str, Any]], where: str, optimized: bool
) -> None:
    large, vectors = 2**53 + 3, np.eye(4, dtype=np.float32)
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        for name, first, second in (("large first", large, 0.5), ("double first", 0.5, -large)):
            docs = store.create_collection(name, lamina.Model("m", dim=4))
            docs.add([1, 2], vectors[:2], [row(first), {}])
            if optimized:
                docs.optimize()
            for write in (docs.add, docs.upsert):
                with pytest.raises(ValueError, match=f"column {where} would hold both doubles"):
                    write([3], vectors[:1], [row(second)])
            with pytest.raises(ValueError, match=f"column {where} would hold both doubles"):
                docs.update([2], metadata=[row(second)])
            docs.update([2], metadata=[row(first)])
            assert docs.get([1, 2]).metadata == [row(first)] * 2


def test_beside_a_large_integer_in_a_dict_others_widen(tmp_path: Path) -> None:
    large, vectors = 2**53 + 3, np.eye(4, dtype=np.float32)
    rows = [{"d": {"x": large, "y": 1}, "l": [2**53]}, {"d": {"y": 0.5}, "l": [0.5]}, {"d": {"x": -large}}]
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", lamina.Model("m", dim=4))
        for id, row in enumerate(rows):
            docs.add([id], vectors[:1], [row])
        for _ in range(2):
            assert docs.get(range(3)).metadata == rows
            assert docs.ids({"d.x": large}).tolist() == [0]
            docs.optimize()
        field = docs.to_arrow().schema.field("metadata").type.field("d")
        assert field.type.field("x").metadata is None  # what is marked stays inside


def test_decimals_come_back_as_they_were() -> None:
    assert rows_of(block([{"d": decimal.Decimal("1.10")}])) == [{"d": decimal.Decimal("1.10")}]


kinds = st.sampled_from([st.integers(-(2**53), 2**53), st.text(), st.booleans(), st.floats(allow_nan=False)])


@st.composite
def table_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    values = {name: draw(kinds) for name in draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=4))}
    nested = {name: draw(st.sampled_from([kind, st.lists(kind, max_size=3)])) for name, kind in values.items()}
    row = st.fixed_dictionaries({}, optional=nested)
    return draw(st.lists(row, max_size=6))


@hypothesis.given(table_rows(), st.data())
def test_any_rows_survive_blocks_and_merges(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.none() | st.text(), min_size=len(rows), max_size=len(rows)))
    whole = block(rows, texts)
    CODEC.check(memoryview(whole), len(rows))
    assert rows_of(whole) == rows
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    cut = data.draw(st.integers(0, len(rows)))
    parts = [
        (memoryview(block(rows[:cut], texts[:cut])), np.arange(cut, dtype=np.uint32)),
        (memoryview(whole), np.array(picked, np.uint32)),
    ]
    joined = CODEC.concat_take(parts)
    assert rows_of(joined) == rows[:cut] + [rows[at] for at in picked]
    assert codec.decode_content(joined).to_pylist() == texts[:cut] + [texts[at] for at in picked]


class FakeBlock(bytes):
    key: int
    rows = 1

    @classmethod
    def of(cls, key: int, data: bytes) -> FakeBlock:
        made = cls(data)
        made.key = key
        return made

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        return self[offset:][:size]


def test_the_cache_is_bounded_by_blocks_and_by_bytes_of_content() -> None:
    cache = BlockCache(metadata_bytes=3 * columns.from_metadata([{"k": 0}], 1).nbytes, content_bytes=2500)
    blocks = [FakeBlock.of(key, block([{"k": key}], [f"{key}" * 1000])) for key in range(10)]
    for made in blocks:
        assert next(cache.metadata([made])).to_pylist() == [{"k": made.key}]  # type: ignore[arg-type]
        assert next(cache.content([made])).to_pylist() == [f"{made.key}" * 1000]  # type: ignore[arg-type]
    assert len(cache._metadata._known) == 3
    assert len(cache._content._known) == 2
    assert next(cache.metadata([blocks[9]])) is next(cache.metadata([blocks[9]]))  # type: ignore[arg-type]


def records() -> Records:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    return Records(
        np.array(["a", "b", "c"], object),
        missing=["z"],
        metadata=columns.from_metadata([{"n": 1}, {}, {"n": 3}], 3),
        content=pa.array(["one", None, "three"], pa.large_string()),
        vectors=(vectors, np.array([True, False, True])),
    )


def test_records_are_a_sequence_of_records() -> None:
    made = records()
    assert len(made) == 3
    assert [record.id for record in made] == ["a", "b", "c"]
    assert (made[0].id, made[0].metadata, made[0].content) == ("a", {"n": 1}, "one")
    assert made[1].vector is None
    assert made[-1].vector.tolist() == [4, 5]
    assert made[1:].to_list()[1]["id"] == "c"
    assert made.missing == ["z"]
    assert made.owed.tolist() == [False, True, False]
    with pytest.raises(IndexError):
        made[3]


def test_records_become_dicts_tables_and_frames_with_the_same_keys() -> None:
    made = records()
    assert [list(row) for row in made.to_list()] == [["id", "metadata", "content", "vector"]] * 3
    assert made.to_arrow().column_names == ["id", "metadata", "content", "vector"]
    assert made.to_arrow()["vector"].to_pylist() == [[0, 1], None, [4, 5]]
    assert made.to_arrow()["metadata"].to_pylist() == [{"n": 1}, {"n": None}, {"n": 3}]
    frame = made.to_pandas()
    assert list(frame.columns) == ["id", "metadata", "content", "vector"]
    assert frame["content"].isna().tolist() == [False, True, False]
    only = Records(np.array([1, 2], np.int64))
    assert only.to_list() == [{"id": 1}, {"id": 2}]
    assert only.to_arrow()["id"].type == pa.int64()
    assert (only[0].metadata, only[0].content, only[0].vector, only.metadata, only.vectors) == (None,) * 5


def test_include_names_fields() -> None:
    assert included("content") == {"content"}
    assert included(["vectors", "metadata"]) == {"vectors", "metadata"}
    with pytest.raises(ValueError, match="'embedding'"):
        included(["embedding"])
