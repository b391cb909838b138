"""Where the numbers of an Arrow IPC stream are: enough of FlatBuffers and of Arrow's messages to lie about each one.

    stream   a sequence of messages, ended by one of length 0
    message  0xFFFFFFFF, i32 length of the FlatBuffer, the FlatBuffer, then the body (its length is in the FlatBuffer)

Only well-formed streams are mapped; on another, `messages` raises struct.error, IndexError or ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
MOST_FIELDS = 4096


class Spot(NamedTuple):
    """A little-endian number of the stream."""

    offset: int
    width: int
    kind: str


class Span(NamedTuple):
    """Bytes of the stream."""

    offset: int
    length: int


class Message(NamedTuple):
    kind: int
    whole: Span
    flatbuffer: Span
    body: Span
    spots: list[Spot]  # of the FlatBuffer
    buffers: list[Span]  # of the body


def messages(stream: bytes | bytearray) -> list[Message]:
    """The messages of a stream, without its end."""
    found, at = [], 0
    while at + 8 <= len(stream):
        length = _number(stream, at + 4, "<i")
        if length <= 0:
            break
        found.append(_message(stream, at, length))
        at = found[-1].whole.offset + found[-1].whole.length
    if any(not 0 <= spot.offset <= len(stream) - spot.width for message in found for spot in message.spots):
        raise ValueError("a number beyond the stream")
    return found


def _message(stream: bytes | bytearray, at: int, length: int) -> Message:
    flatbuffer = Span(at + 8, length)
    root = Table(stream, flatbuffer.offset + _number(stream, flatbuffer.offset, "<I"))
    kind = stream[root.slot(1) or 0]
    body = Span(at + 8 + length, _number(stream, root.slot(3), "<q") if root.slot(3) else 0)
    if not 0 <= body.length <= len(stream) - body.offset:
        raise ValueError("a body beyond the stream")
    spots = [Spot(at, 4, "marker"), Spot(at + 4, 4, "prefix"), *root.spots({0: 2, 1: 1, 2: 4, 3: 8}, "message")]
    header = root.table(2)
    buffers: list[Span] = []
    if kind == SCHEMA and header:
        spots += header.spots({0: 2, 1: 4, 2: 4}, "schema")
        for field in header.tables(1):
            spots += _field_spots(field)
    elif kind == DICTIONARY and header:
        spots += header.spots({0: 8, 1: 4, 2: 1}, "dictionary")
        header = header.table(1)
    if kind in (DICTIONARY, BATCH) and header:
        spots += _batch_spots(header)
        buffers = [
            Span(body.offset + _number(stream, where, "<q"), _number(stream, where + 8, "<q"))
            for where in header.structs(2, 16)
        ]
        ends = body.offset + body.length
        buffers = [s for s in buffers if body.offset <= s.offset < s.offset + s.length <= ends]
    return Message(kind, Span(at, 8 + length + body.length), flatbuffer, body, spots, buffers)


def _field_spots(field: Table, depth: int = 0) -> Iterator[Spot]:
    yield from field.spots({0: 4, 1: 1, 2: 1, 3: 4, 4: 4, 5: 4, 6: 4}, "field")
    kind, encoding = field.table(3), field.table(4)
    if kind:  # bit widths, units, precisions: which they are is not told from here
        yield from kind.spots(dict.fromkeys(range(4), 4), "type")
    if encoding:
        yield from encoding.spots({0: 8, 1: 4, 2: 1, 3: 2}, "encoding")
    for child in field.tables(5) if depth < 64 else ():
        yield from _field_spots(child, depth + 1)


def _batch_spots(batch: Table) -> Iterator[Spot]:
    yield from batch.spots({0: 8}, "rows")
    yield from batch.spots({1: 4, 2: 4, 3: 4}, "batch")
    for name, vector in (("node", 1), ("buffer", 2)):
        for where in batch.structs(vector, 16):
            yield Spot(where, 8, name)
            yield Spot(where + 8, 8, name)
    for where in batch.structs(4, 8):
        yield Spot(where, 8, "variadic")
    compression = batch.table(3)
    if compression:
        yield from compression.spots({0: 1, 1: 1}, "compression")


class Table:
    """A FlatBuffers table: a vtable of offsets says where each slot is, 0 where it has its default."""

    def __init__(self, data: bytes | bytearray, at: int) -> None:
        self.data, self.at = data, at
        self.vtable = at - _number(data, at, "<i")
        self.slots = (_number(data, self.vtable, "<H") - 4) // 2

    def slot(self, index: int) -> int:
        """The offset in the data, or 0."""
        inside = _number(self.data, self.vtable + 4 + 2 * index, "<H") if index < self.slots else 0
        return self.at + inside if inside else 0

    def spots(self, widths: dict[int, int], kind: str) -> list[Spot]:
        return [Spot(self.slot(index), width, kind) for index, width in widths.items() if self.slot(index)]

    def table(self, index: int) -> Table | None:
        at = self.slot(index)
        return Table(self.data, at + _number(self.data, at, "<I")) if at else None

    def tables(self, index: int) -> list[Table]:
        return [Table(self.data, at + _number(self.data, at, "<I")) for at in self.structs(index, 4)]

    def structs(self, index: int, size: int) -> list[int]:
        """The offsets of the elements of a vector."""
        at = self.slot(index)
        if not at:
            return []
        start = at + _number(self.data, at, "<I")
        count = min(_number(self.data, start, "<I"), MOST_FIELDS)
        return [start + 4 + size * i for i in range(count)]


def _number(data: bytes | bytearray, at: int, form: str) -> int:
    if at < 0:
        raise IndexError(at)
    value: int = struct.unpack_from(form, data, at)[0]
    return value
