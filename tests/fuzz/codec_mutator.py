"""Blocks of columns that lie: an Arrow stream damaged where it hurts, and the block around it made whole again (sizes,
row counts, zstd frames), so that the damage gets as far as Arrow.

One random number generator decides everything: the same state gives the same block.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import codec_seeds
import zstandard
from arrow_stream import BATCH, SCHEMA, Message, messages
from codec_seeds import Seed

from lamina import codec

LOUD = [0, 1, -1, 2, -2, 7, 8, -8, 63, 64, -64, 127, 128, 255, 4096, 65536]
LOUD += [2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, -(2**63)]
KINDS_OF_TYPE = 32  # Arrow's union of types has 26 members
DEEP = {"rows", "node", "buffer", "type", "field", "compression"}  # numbers that FlatBuffers takes as they are
MOST_STREAM = 1 << 20


class Mutator:
    def __init__(self) -> None:
        self.streams = codec_seeds.streams()
        self.kept = [seed for seed in self.streams if _is_kept(seed)]
        self.texts = codec_seeds.texts()
        self._maps: dict[bytes, list[Message]] = {s.stream: messages(s.stream) for s in self.streams + self.texts}

    def block(self, rng: random.Random) -> bytes:
        """A damaged block."""
        seed = rng.choice(self.kept if rng.random() < 0.8 else self.streams)
        if rng.random() < 0.7:
            stream, text = self._of_seed(seed, rng), None
        else:
            stream, text = seed.stream, self._of_seed(rng.choice(self.texts), rng)
        packed, raw_size = b"", 0
        if text is not None:
            packed, raw_size = _pack(text, rng)
        rows = self._rows(stream, seed.rows, rng)
        if rng.random() < 0.3:  # as `encode` does; without it the stream ends where the block does
            stream += bytes(-len(stream) % 64)
        block = bytearray(around(stream, rows, packed, raw_size))
        if rng.random() < 0.03:
            _write(block, rng.choice([0, 4, 8, 16, 24, 32]), rng.choice([4, 8]), _loud(rng))
        return bytes(block)

    def again(self, block: bytes, rng: random.Random) -> bytes | None:
        """A block with one more damage to its metadata; None if it is none."""
        if len(block) < codec.HEADER.size:
            return None
        _, rows, head_size, _, raw_size = codec.HEADER.unpack_from(block)
        stream, packed = block[64 : 64 + head_size], block[64 + head_size :]
        damaged = self._damaged(bytearray(stream), rng)
        return around(damaged, self._rows(damaged, rows, rng), packed, raw_size)

    def _of_seed(self, seed: Seed, rng: random.Random) -> bytes:
        return self._damaged(self._spliced(seed, rng) if rng.random() < 0.1 else bytearray(seed.stream), rng)

    def _damaged(self, stream: bytearray, rng: random.Random) -> bytes:
        for _ in range(_few(rng)):
            known = self._map(stream)
            damage = rng.choices(DAMAGE, WEIGHTS)[0] if known else _flip
            damage(stream, known, rng)
            del stream[MOST_STREAM:]
        return bytes(stream)

    def _map(self, stream: bytearray) -> list[Message]:
        known = self._maps.get(bytes(stream))
        if known is None:
            try:
                known = messages(stream)
            except (struct.error, IndexError, ValueError):
                known = []
        return known

    def _spliced(self, seed: Seed, rng: random.Random) -> bytearray:
        """One stream's schema, and messages of another."""
        other = rng.choice(self.streams + self.texts)
        made = bytearray()
        for source in (seed, other):
            for message in self._maps[source.stream]:
                if (message.kind == SCHEMA) == (source is seed):
                    made += source.stream[message.whole.offset : message.whole.offset + message.whole.length]
        return made + b"\xff\xff\xff\xff\0\0\0\0"

    def _rows(self, stream: bytes, rows: int, rng: random.Random) -> int:
        """What the stream says, mostly: a count that differs is found first, and hides the rest."""
        if rng.random() < 0.02:
            return rng.choice([0, 1, rows ^ 1, 2**32 - 1])
        for message in self._map(bytearray(stream)):
            for spot in message.spots if message.kind == BATCH else []:
                if spot.kind == "rows":
                    said: int = struct.unpack_from("<q", stream, spot.offset)[0]
                    return said if 0 <= said < 2**32 else rows
        return rows


def _is_kept(seed: Seed) -> bool:
    """Whether a store would keep the stream as it is; where it would not, damage seldom gets far."""
    try:
        codec.Codec().check(around(seed.stream, seed.rows), seed.rows)
    except ValueError:
        return False
    return True


def around(stream: bytes, rows: int, packed: bytes = b"", raw_size: int = 0) -> bytes:
    """A block of these parts."""
    return codec.HEADER.pack(codec.MAGIC, rows, len(stream), len(packed), raw_size) + stream + packed


Damage = Callable[[bytearray, list[Message], random.Random], None]


def _number(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """Another value in a number of a message."""
    spots = rng.choice(known).spots
    kinds = sorted({spot.kind for spot in spots})
    kind = rng.choices(kinds, [4 if kind in DEEP else 1 for kind in kinds])[0]
    spot = rng.choice([spot for spot in spots if spot.kind == kind])
    old = int.from_bytes(stream[spot.offset : spot.offset + spot.width], "little", signed=True)
    if kind == "field" and spot.width == 1 and rng.random() < 0.8:
        new = rng.randrange(KINDS_OF_TYPE)
    else:
        new = _near(old, rng)
    _write(stream, spot.offset, spot.width, new)


def _swap(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """The value of a number from another number of its kind: a buffer that points where another does, say."""
    spots = rng.choice(known).spots
    spot = rng.choice(spots)
    twin = rng.choice([other for other in spots if (other.kind, other.width) == (spot.kind, spot.width)])
    stream[spot.offset : spot.offset + spot.width] = stream[twin.offset : twin.offset + twin.width]


def _value(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """Other values in a buffer: an offset, a run's end, a bit of validity, the size before compression."""
    buffers = [span for message in known for span in message.buffers]
    if not buffers:
        return _flip(stream, known, rng)
    at, length = rng.choice(buffers)
    width = rng.choice([w for w in (1, 2, 4, 4, 8) if w <= length] or [1])
    at += width * rng.choice([0, length // width - 1, rng.randrange(length // width)])
    old = int.from_bytes(stream[at : at + width], "little", signed=True)
    return _write(stream, at, width, _near(old, rng))


def _fill(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """A buffer of one byte, of noise, or of another buffer's bytes."""
    buffers = [span for message in known for span in message.buffers]
    if not buffers:
        return
    at, length = rng.choice(buffers)
    start, size = rng.choice(buffers)
    fills = [bytes(length), b"\xff" * length, rng.randbytes(length), bytes(stream[start : start + min(size, length)])]
    fill = rng.choice(fills)
    stream[at : at + len(fill)] = fill


def _flip(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """A bit, a byte or a word anywhere."""
    if len(stream) < 8:
        return
    at = rng.randrange(len(stream) - 7)
    if rng.random() < 0.5:
        stream[at] ^= 1 << rng.randrange(8)
    else:
        width = rng.choice([1, 4, 8])
        _write(stream, at - at % width, width, _loud(rng))


def _flip_in_flatbuffer(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    start, length = rng.choice(known).flatbuffer
    at = start + rng.randrange(length)
    stream[at] = rng.choice([stream[at] ^ (1 << rng.randrange(8)), rng.randrange(256), (stream[at] + 4) % 256])


def _rearrange(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """A message dropped, twice, or before the others."""
    start, length = rng.choice(known).whole
    part = stream[start : start + length]
    if rng.random() < 0.7:
        del stream[start : start + length]
    at = rng.choice([message.whole.offset for message in known])
    if rng.random() < 0.7:
        stream[min(at, len(stream)) : min(at, len(stream))] = part


def _cut(stream: bytearray, known: list[Message], rng: random.Random) -> None:
    """Bytes missing from the end, or from the middle."""
    at = rng.choice([len(stream) - 8, rng.randrange(len(stream)), rng.choice(known).body.offset])
    if rng.random() < 0.7:
        del stream[at:]
    else:
        del stream[at : at + 8 * rng.randrange(1, 9)]


DAMAGE: list[Damage] = [_number, _swap, _value, _fill, _flip, _flip_in_flatbuffer, _rearrange, _cut]
WEIGHTS = [30, 8, 30, 6, 6, 8, 4, 2]


def _pack(text: bytes, rng: random.Random) -> tuple[bytes, int]:
    """A zstd frame around a stream, and the size that the block says it has; both lie at times."""
    kind, size = rng.random(), len(text)
    frame = zstandard.ZstdCompressor(level=1, write_checksum=kind < 0.1).compress(text)
    if kind < 0.7 or not size:
        return frame, size
    said = rng.choice([size - 1, size + 1, size + 8, 2**20, 2**31, 2**33, codec.CONTENT_MAX, 2**62, 2**64 - 1])
    unsized = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(text)
    if kind < 0.88:
        claimed, expected = rng.choice([(said, said), (size, said), (said, size)])
        return claiming(unsized, claimed), expected
    if kind < 0.95:
        noisy = bytearray(frame)
        for _ in range(_few(rng)):
            noisy[rng.randrange(len(noisy))] = rng.randrange(256)
        return bytes(noisy), size
    bomb = zeros(rng.choice([said % 2**27, 2**21]))
    return rng.choice([unsized, frame * 2, frame + unsized, bomb, claiming(bomb, size)]), size


def claiming(unsized: bytes, size: int) -> bytes:
    """A zstd frame that says it holds `size` bytes, of one that says nothing.

    Header: magic (4), descriptor (1), window (1), then the size: 8 bytes if the descriptor's top two bits are set.
    """
    return unsized[:4] + bytes([unsized[4] | 0xC0]) + unsized[5:6] + struct.pack("<Q", size) + unsized[6:]


def zeros(size: int) -> bytes:
    """A zstd frame of at least `size` zeros, in four bytes for each 128 KiB; it does not say how many it holds."""
    blocks = size // (1 << 17) + 1
    repeat = ((1 << 17) << 3) | (1 << 1)  # size, kind "one byte repeated", not the last
    block = repeat.to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\0\x58" + block * (blocks - 1) + (repeat | 1).to_bytes(3, "little") + b"\0"


def _few(rng: random.Random) -> int:
    return rng.choice([1, 1, 1, 1, 2, 2, 3, 5])


def _loud(rng: random.Random) -> int:
    return rng.choice(LOUD)


def _near(old: int, rng: random.Random) -> int:
    return rng.choice([old + rng.choice([1, -1, 4, -4, 8, -8, 64]), old * 2, old // 2, -old, _loud(rng), _loud(rng)])


def _write(stream: bytearray, at: int, width: int, value: int) -> None:
    stream[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
