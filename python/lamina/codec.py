"""Blocks of columns: what the C++ core keeps as sealed bytes.

    offset  size  meaning
    0       4     magic "LBLK"
    4       4     rows
    8       8     m, bytes of the metadata
    16      8     c, bytes of the content; 0: no record has any
    24      8     bytes of the content once decompressed
    32      32    zero
    64      m     Arrow IPC stream of one record batch, uncompressed: read in place
    64 + m  c     zstd frame around an Arrow IPC stream of one batch with one column, `content: large_string`

All integers are little-endian. Example: three records without metadata or content are 64 bytes of header and about 200
of an Arrow stream that has no column. Metadata are not compressed so that a column costs what it shows; content is,
since it is read seldom and whole. The price: one content is read by decompressing its block (about 1 MiB).

A block may come from a damaged or crafted file, and Arrow trusts its offsets: `decode_*` never hands out anything that
has not passed Arrow's full validation, and the limits of `limits.py`.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import zstandard
from numpy.typing import NDArray

from lamina import columns, limits

if TYPE_CHECKING:
    from lamina import _core

HEADER = struct.Struct("<4sIQQQ32x")
MAGIC = b"LBLK"
CONTENT = pa.schema([("content", pa.large_string())])
CONTENT_MAX = 1 << 34  # bytes of text in one block
PROVED = 1 << 26  # beyond it, memory is asked for only once a first pass has shown that so many bytes are there
LEVEL = 3
END = bytes.fromhex("ffffffff00000000")  # of an Arrow IPC stream

_local = threading.local()  # zstd contexts are for one thread at a time


def encode(metadata: pa.RecordBatch, content: pa.Array | None) -> bytes:
    """A block of these records. `content`: large_string, or None where no record has any."""
    head = _to_ipc(metadata)
    packed, raw_size = b"", 0
    if content is not None and content.null_count < len(content):
        raw = _to_ipc(pa.RecordBatch.from_arrays([content], schema=CONTENT))
        packed, raw_size = _compressor().compress(raw), len(raw)
    head += bytes(-len(head) % 64)
    return b"".join((HEADER.pack(MAGIC, metadata.num_rows, len(head), len(packed), raw_size), head, packed))


def decode_metadata(block: Any) -> pa.RecordBatch:
    """The metadata of a block, reading its bytes in place. ValueError with what is wrong."""
    rows, head, _, _ = _split(block)
    return _from_ipc(head, rows)


def read_metadata(block: _core.Block, names: Sequence[str] | None = None) -> pa.RecordBatch:
    """The metadata of a block that is kept, or these of its columns; no content is read. CorruptionError, or ValueError
    as above for one that is not sealed yet."""
    try:
        rows, size, _, _ = _head_of(block)
        return _from_ipc(block.read(HEADER.size, size), rows, names=names)
    except ValueError as error:
        block.refuse(str(error))


def read_content(block: _core.Block) -> pa.Array | None:
    """The content of a block that is kept; None where no record has any. No metadata are read. Raises as above."""
    try:
        rows, size, packed_size, raw_size = _head_of(block)
        return _content(block.read(HEADER.size + size, packed_size), raw_size, rows) if packed_size else None
    except ValueError as error:
        block.refuse(str(error))


def decode_content(block: Any) -> pa.Array:
    """The content of a block's records (large_string, all null where the block has none). ValueError as above."""
    rows, _, packed, raw_size = _split(block)
    return _content(packed, raw_size, rows) if len(packed) else pa.nulls(rows, pa.large_string())


class Codec:
    """What the core calls with blocks that it keeps: `_core.Codec`."""

    def check(self, block: Any, rows: int) -> None:
        found = decode_metadata(block).num_rows
        if found != rows:
            raise ValueError(f"{rows} rows expected, {found} found")
        decode_content(block)

    def concat_take(self, slices: Sequence[tuple[Any, NDArray[np.uint32]]]) -> bytes:
        return encode(*_concat(slices))


def _concat(slices: Sequence[tuple[Any, NDArray[np.uint32]]]) -> tuple[pa.RecordBatch, pa.Array | None]:
    parts, texts = [], []
    for block, rows in slices:
        indices = pa.array(rows, type=pa.uint32())
        metadata = decode_metadata(block)
        if len(rows) and int(rows.max()) >= metadata.num_rows:
            raise ValueError(f"row {int(rows.max())} of a block of {metadata.num_rows}")
        parts.append(columns.take(metadata, indices))
        texts.append(decode_content(block).take(indices))
    content = pa.concat_arrays(texts) if texts else None
    return columns.concat(parts), content


def content_hashes(texts: Sequence[str | None]) -> NDArray[np.uint8]:
    """(n, 16) uint8: the first half of each text's SHA-256 (UTF-8); zero where there is no text."""
    none = bytes(16)
    digests = [none if text is None else hashlib.sha256(text.encode()).digest()[:16] for text in texts]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)


def _head_of(block: _core.Block) -> tuple[int, int, int, int]:
    """(rows, bytes of the metadata, of the content, and of that once decompressed) of a block that is kept."""
    head = block.read(0, HEADER.size)
    if len(head) < HEADER.size:
        raise ValueError(f"a block of {len(head)} bytes is shorter than its header of {HEADER.size}")
    magic, rows, size, packed_size, raw_size = HEADER.unpack(head)
    if magic != MAGIC or rows != block.rows:
        raise ValueError(f"a block begins with {magic!r} and {rows} rows, not {MAGIC!r} and {block.rows}")
    return rows, size, packed_size, raw_size


def _split(block: Any) -> tuple[int, memoryview, memoryview, int]:
    """(rows, metadata bytes, compressed content bytes, their decompressed size), each within the block."""
    view = memoryview(block).cast("B")
    if len(view) < HEADER.size:
        raise ValueError(f"a block of {len(view)} bytes is shorter than its header of {HEADER.size}")
    magic, rows, head_size, packed_size, raw_size = HEADER.unpack_from(view)
    if magic != MAGIC:
        raise ValueError(f"a block begins with {magic!r}, not {MAGIC!r}")
    if view[32 : HEADER.size] != bytes(32):
        raise ValueError("a block's header has bits beyond its fields")
    if head_size + packed_size != len(view) - HEADER.size:
        raise ValueError(f"a block of {len(view)} bytes says {HEADER.size} + {head_size} + {packed_size}")
    if (packed_size == 0) != (raw_size == 0):
        raise ValueError(f"a block's content of {packed_size} bytes says {raw_size} decompressed")
    body = view[HEADER.size :]
    return rows, body[:head_size], body[head_size:], raw_size


def _content(packed: Any, raw_size: int, rows: int) -> pa.Array:
    if raw_size > CONTENT_MAX:
        raise ValueError(f"a block's content of {len(packed)} bytes says {raw_size} decompressed")
    try:
        parameters = zstandard.get_frame_parameters(packed)
        if parameters.content_size != raw_size:
            raise ValueError(f"content of {raw_size} bytes expected, {parameters.content_size} in its zstd frame")
        if raw_size > PROVED:
            _prove(packed, raw_size)
        raw = _decompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise ValueError(f"content does not decompress: {error}") from error
    return _from_ipc(raw, rows, content=True).column(0)


def _to_ipc(batch: pa.RecordBatch) -> bytes:
    """The stream that `pa.ipc.new_stream` writes, in a fifth of the time where rows are few."""
    return b"".join((batch.schema.serialize(), batch.serialize(), END))


def _from_ipc(data: Any, rows: int, *, content: bool = False, names: Sequence[str] | None = None) -> pa.RecordBatch:
    buffer = pa.py_buffer(data)
    if buffer.address % 8:
        buffer = pa.py_buffer(bytes(data))
    try:
        stream = pa.BufferReader(buffer)
        schema = limits.schema_of(pa.ipc.read_message(stream), CONTENT if content else None)
        batch = limits.batch_of(pa.ipc.read_message(stream), schema)
        if names is not None:
            batch = columns.select(batch, names)
        batch.validate(full=True)
        limits.check_values(batch)
    except EOFError as error:
        raise ValueError("not an Arrow record batch: its stream ends early") from error
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise ValueError(f"not an Arrow record batch: {error}") from error
    if batch.num_rows != rows:
        raise ValueError(f"an Arrow record batch of {batch.num_rows} rows in a block of {rows}")
    return batch


def _prove(packed: memoryview, raw_size: int) -> None:
    """ValueError unless a zstd frame does hold as many bytes as it says. Takes no more memory than a piece of them."""
    held = sum(len(piece) for piece in _decompressor().read_to_iter(packed, write_size=1 << 20))
    if held != raw_size:
        raise ValueError(f"content of {raw_size} bytes expected, {held} found")


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    compressor: zstandard.ZstdCompressor = _local.compressor
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor
