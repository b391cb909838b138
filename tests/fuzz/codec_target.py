"""All that lamina does with a block of columns, under the promises that it makes about any bytes whatever.

A block is refused by `check` with a ValueError, or everything after `check` works, and rows come back as they were.
The block's last byte lies before a page that may not be read, so that Arrow cannot read on unnoticed.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import resource
import sys
from typing import Any

import numpy as np
import pyarrow as pa

from lamina import codec, columns
from lamina.records import Records

MOST_ROWS = 1 << 16  # the core knows how many rows a block has; a crafted count beyond it gets nowhere
MOST_MEMORY = 256 << 20  # what one block of at most about 1 MiB may take
ARENA = 4 << 20


class Finding(Exception):
    """A promise that was broken without an exception."""


class Guarded:
    """Memory that ends where the process may not read."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, ARENA + mmap.PAGESIZE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if mprotect(self._address + ARENA, mmap.PAGESIZE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, block: bytes) -> memoryview:
        """A read-only copy, at a multiple of 8 as in a file, valid until the next call."""
        start = ARENA - len(block)
        start -= start % 8
        self._map[start : start + len(block)] = block
        view = (ctypes.c_char * len(block)).from_address(self._address + start)
        return memoryview(view).cast("B").toreadonly()


class Target:
    def __init__(self) -> None:
        self._memory = Guarded()
        numbers = pa.RecordBatch.from_arrays([pa.array([1.5, None])], names=["of another block"])
        self._other = codec.encode(numbers, pa.array(["text", None], pa.large_string()))

    def accepts(self, block: bytes) -> bool:
        """Whether `check` does. Raises whatever breaks a promise."""
        held = self._memory.hold(block)
        rows = int.from_bytes(block[4:8], "little")
        before = peak()
        try:
            codec.Codec().check(held, rows if rows <= MOST_ROWS else 12)
        except ValueError:
            accepted = False
        else:
            accepted = True
            self._read(held, rows)
        if peak() - before > MOST_MEMORY:
            raise Finding(f"a block of {len(block)} bytes took {(peak() - before) >> 20} MiB")
        return accepted

    def _read(self, block: Any, count: int) -> None:
        metadata, content = codec.decode_metadata(block), codec.decode_content(block)
        if (metadata.num_rows, len(content)) != (count, count):
            raise Finding(f"{metadata.num_rows} rows of metadata and {len(content)} of content, not {count}")
        rows, texts = columns.rows_of(metadata), content.to_pylist()
        chosen = [at for at in (count - 1, 0, count // 2, 0) if 0 <= at < count]
        backwards = list(range(count))[::-1]
        for order in (chosen, backwards, []):
            same("take", columns.rows_of(columns.take(metadata, pa.array(order, pa.int64()))), [rows[i] for i in order])
        same("slice", columns.rows_of(metadata.slice(1, 3)), rows[1:4])
        self._joins(block, rows, texts, chosen, backwards)
        self._records(metadata, content, rows, texts)

    def _joins(self, block: Any, rows: list[Any], texts: list[Any], chosen: list[int], backwards: list[int]) -> None:
        ours = [(block, np.array(order, np.uint32)) for order in (chosen, backwards)]
        other = (self._other, np.array([1, 0, 0], np.uint32))
        order = chosen + backwards
        for name, slices, added in (("itself", ours, 0), ("another", [*ours, other], 3)):
            joined = codec.Codec().concat_take(slices)
            codec.Codec().check(joined, len(order) + added)
            found = columns.rows_of(codec.decode_metadata(joined))
            same(f"concat_take with {name}", found[: len(order)], [rows[i] for i in order])
            said = codec.decode_content(joined).to_pylist()
            same(f"content with {name}", said[: len(order)], [texts[i] for i in order])

    def _records(self, metadata: Any, content: Any, rows: list[Any], texts: list[Any]) -> None:
        found = Records(np.arange(len(rows)), metadata=metadata, content=content)
        same("records", [(r.metadata, r.content) for r in found[1:5:2]], list(zip(rows, texts, strict=True))[1:5:2])
        if len(found.to_arrow()) != len(rows):
            raise Finding("records have other rows in Arrow")


def same(what: str, found: Any, expected: Any) -> None:
    if repr(found) != repr(expected):  # NaN is not equal to itself, and True is equal to 1
        raise Finding(f"{what}: {found!r:.500} instead of {expected!r:.500}")


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size << 10


def seeded(seed: int, number: int) -> random.Random:
    """The generator of one block of a run: any block can be made again alone."""
    return random.Random(f"{seed}:{number}")
