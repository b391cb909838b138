"""Blocks of columns from hostile bytes: a short run of their fuzzer, and a test for each bug that it found.

Goal: no block ends the process, takes its memory, or is let in by `check` and cannot be read then. Method: the fuzzer
runs in a process of its own, since what it looks for would end this one; each bug is built by hand with pyarrow.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

codec = pytest.importorskip("lamina.codec")
from lamina import columns  # noqa: E402

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
DAY_US = 86_400_000_000


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`fuzz("codec_seeds")` is that module of tests/fuzz."""
    monkeypatch.syspath_prepend(FUZZ)
    return importlib.import_module


def python(*arguments: str, before: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(before or ""), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, env=environment)


def block(stream: bytes, rows: int, content: bytes = b"", size: int = 0) -> bytes:
    return codec.HEADER.pack(codec.MAGIC, rows, len(stream), len(content), size) + stream + content


def stream(batch: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def check(column: pa.Array, name: str = "c") -> None:
    """ValueError if the codec refuses a block with this column, else what it holds can be had in Python."""
    made = codec.encode(pa.RecordBatch.from_arrays([column], names=[name]), None)
    codec.Codec().check(made, len(column))
    assert len(columns.rows_of(codec.decode_metadata(made))) == len(column)


def of_numbers(kind: pa.DataType, *values: int) -> pa.Array:
    return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


def test_fuzzer_finds_nothing() -> None:
    done = python(str(FUZZ / "codec_fuzz.py"), "--runs", "3000", "--seed", "1")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["executions"] == 3000
    assert told["accepted"] > 200  # else it would test nothing but refusals
    assert (told["findings"], told["deaths"]) == (0, 0)


@pytest.mark.parametrize(
    ("breaks", "found"),
    [("os.abort()", "the process ended with status -6"), ("raise KeyError(1)", "KeyError: 1")],
)
def test_fuzzer_notices(tmp_path: Path, breaks: str, found: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, lamina.codec as codec\n"
        "check = codec.Codec.check\n"
        "def broken(self, block, rows):\n"
        f"    if isinstance(block, memoryview) and len(block) > 900: {breaks}\n"
        "    check(self, block, rows)\n"
        "codec.Codec.check = broken\n"
    )
    done = python(
        str(FUZZ / "codec_fuzz.py"), "--runs", "16", "--seed", "1", "--keep", str(tmp_path / "kept"), before=tmp_path
    )
    assert done.returncode == 1
    assert found in done.stderr
    assert json.loads(done.stdout)["executions"] == 16
    kept = [file.read_bytes() for file in (tmp_path / "kept").iterdir()]
    assert kept
    assert all(len(block) > 900 for block in kept)


def test_seeds_reach_what_they_are_for(fuzz: Any) -> None:
    mutator = fuzz("codec_mutator").Mutator()
    kept = {seed.name for seed in mutator.kept}
    assert {"mixed", "lists", "structs", "map", "deepest", "naive", "no_columns", "null"} <= kept
    assert not {"dictionary", "twice", "deltas", "packed_lz4", "packed_zstd", "dense_union", "small"} & kept


SCRIPT = """
import resource, sys
from lamina import codec
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
try:
    codec.Codec().check(sys.stdin.buffer.read(), 2)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit an address space")
def test_content_that_lies_about_its_size_asks_for_no_memory(fuzz: Any) -> None:
    mutator: ModuleType = fuzz("codec_mutator")
    frame, size = mutator.claiming(mutator.zeros(1 << 20), 8 << 30), 8 << 30
    made = block(stream(columns.no_columns(2)), 2, frame, size)
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=made, capture_output=True, timeout=60)
    assert b"found" in done.stdout or b"decompress" in done.stdout, done.stderr


@pytest.mark.parametrize("how", ["lz4", "zstd"])
def test_compressed_batch_is_refused(how: str) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["x" * 10_000])], names=["c"])
    codec.Codec().check(block(stream(batch), 1), 1)
    with pytest.raises(ValueError, match="compressed"):
        codec.Codec().check(block(stream(batch, compression=how), 1), 1)


def test_message_of_another_kind_is_refused(fuzz: Any) -> None:
    """pyarrow reads any message as a schema if told to, and dies of it."""
    one = stream(pa.RecordBatch.from_arrays([pa.array([1])], names=["c"]))
    schema, batch = fuzz("arrow_stream").messages(one)
    parts = [one[part.whole.offset : part.whole.offset + part.whole.length] for part in (schema, batch)]
    codec.Codec().check(block(b"".join(parts), 1), 1)
    for wrong in ([parts[1], parts[1]], [parts[1], parts[0]], [parts[0], parts[0]], [parts[0]], [parts[1]], []):
        with pytest.raises(ValueError, match=r"expected, .* found|ends early"):
            codec.Codec().check(block(b"".join(wrong), 1), 1)


def test_type_that_arrow_cannot_take_or_join_is_refused(fuzz: Any) -> None:
    seeds = {seed.name: seed for seed in fuzz("codec_seeds").streams()}
    names = [
        "dictionary",
        "dictionary_in_list",
        "dense_union",
        "sparse_union",
        "run_ends",
        "binary_view",
        "string_view",
    ]
    names += ["list_view", "large_list_view", "tensor", "json", "uuid", "half", "small", "large_list"]
    for name in names:
        if name in seeds:
            with pytest.raises(ValueError, match=r"column '\w+(\[\])?' is .*, a type that a store does not keep"):
                codec.Codec().check(block(seeds[name].stream, seeds[name].rows), seeds[name].rows)


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_interval_is_refused(fuzz: Any, unit: int) -> None:
    """Two kinds have no Python object; taking rows of the third (months, days, nanoseconds) gave nulls in Arrow 14."""
    seed = next(seed for seed in fuzz("codec_seeds").streams() if seed.name == "interval")
    spot = next(s for s in fuzz("arrow_stream").messages(seed.stream)[0].spots if s.kind == "type")
    changed = bytearray(seed.stream)
    struct.pack_into("<h", changed, spot.offset, unit)
    with pytest.raises(ValueError, match=r"a type that a store does not keep|not implemented"):
        codec.Codec().check(block(bytes(changed), seed.rows), seed.rows)


def test_name_that_occurs_twice_is_refused() -> None:
    """Joining kept one of the two columns, and a struct could not be given to Python."""
    ones = pa.array([1])
    with pytest.raises(ValueError, match="name 'x' twice"):
        codec.Codec().check(block(stream(pa.RecordBatch.from_arrays([ones, ones], names=["x", "x"])), 1), 1)
    with pytest.raises(ValueError, match="name 'a' twice"):
        check(pa.StructArray.from_arrays([ones, ones], fields=[pa.field("a", pa.int64())] * 2))


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (pa.timestamp("us"), 253_402_300_800 * 1_000_000 - 1),
        (pa.timestamp("us", "UTC"), 253_402_300_800 * 1_000_000 - 1),
        (pa.timestamp("us", "+01:00"), 253_402_297_200 * 1_000_000 - 1),
        (pa.date32(), 2_932_896),
        (pa.date64(), 2_932_896 * DAY_US // 1000),
        (pa.duration("ms"), 10**9 * DAY_US // 1000 - 1),
        (pa.duration("s"), 10**9 * 86_400 - 1),
    ],
    ids=str,
)
def test_moment_beyond_python_is_refused(kind: pa.DataType, most: int) -> None:
    beyond = most + 1 if not pa.types.is_date64(kind) else most + DAY_US // 1000
    check(of_numbers(kind, 0, most))
    inner = of_numbers(kind, 0, beyond)
    lists = pa.ListArray.from_arrays([0, 1, 2], inner)
    for column in (inner, lists, pa.StructArray.from_arrays([inner], names=["s"])):
        with pytest.raises(ValueError, match=r"column 'c.*beyond what Python can hold"):
            check(column)


def test_moment_behind_a_null_is_nobodys_business() -> None:
    inner = of_numbers(pa.date32(), 0, 1 << 30)
    check(pa.StructArray.from_arrays([inner], names=["d"], mask=pa.array([False, True])))
    check(pa.ListArray.from_arrays([0, 1, 2], inner, mask=pa.array([False, True])))
    check(pa.array([datetime.date.min, None, datetime.date.max]))


@pytest.mark.parametrize("zone", ["nowhere", "+99:99", "../../etc/passwd"])
def test_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        check(pa.array([0], pa.int64()).view(pa.timestamp("us", zone)))


@pytest.mark.parametrize("kind", [pa.decimal128(10, 39), pa.decimal128(10, -39), pa.decimal256(10, 77)], ids=str)
def test_decimal_that_arrow_cannot_print_is_refused(kind: pa.DataType) -> None:
    """So it had no Python object either; one with the largest scale has."""
    zero = pa.py_buffer(bytes(kind.bit_width // 8))
    with pytest.raises(ValueError, match="a type that a store does not keep"):
        check(pa.Array.from_buffers(kind, 1, [None, zero]))
    check(pa.Array.from_buffers(pa.decimal128(10, 38), 1, [None, pa.py_buffer(bytes(16))]))


@pytest.mark.parametrize("kind", [pa.null(), pa.struct([])], ids=str)
def test_list_longer_than_its_bytes_is_refused(kind: pa.DataType) -> None:
    """Values without a byte: a block of 400 bytes was a list of two billion."""
    values = pa.Array.from_buffers(kind, 1 << 24, [None], null_count=1 << 24 if kind == pa.null() else 0)
    check(pa.ListArray.from_arrays([0, 1 << 10, 2 << 10], values[: 2 << 10]))
    with pytest.raises(ValueError, match="a list of 1025 empty values"):
        check(pa.ListArray.from_arrays([0, 1025], values[:1025]))
    with pytest.raises(ValueError, match="a list of 16777216 empty values"):
        check(pa.ListArray.from_arrays([0, len(values)], values))


def test_name_that_is_not_text_is_refused() -> None:
    named = stream(pa.RecordBatch.from_arrays([pa.array([1])], names=["abcdefgh"]))
    with pytest.raises(ValueError, match="utf-8"):
        codec.Codec().check(block(named.replace(b"abcdefgh", b"abc\xffefgh"), 1), 1)
