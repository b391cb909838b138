#include "segment/bitmap_file.h"

#include <stdexcept>

#include "base/error.h"
#include "segment/format.h"

namespace lamina {

std::vector<std::byte> encode_bitmap(const Bitmap& bitmap, const SegmentId& segment) {
  ByteWriter payload;
  write_bitmap(payload, bitmap, segment);
  return seal_document(DocumentKind::kBitmap, payload.view());
}

Bitmap decode_bitmap(const Document& document, const std::string& file, const SegmentId& segment, uint64_t rows) {
  ByteReader in(document.payload, file, document.offset);
  Bitmap bitmap = read_bitmap(in, segment, rows);
  in.expect_end();
  return bitmap;
}

void write_bitmap(ByteWriter& out, const Bitmap& bitmap, const SegmentId& segment) {
  write_array(out, segment);
  out.u64(bitmap.size());
  out.u64(bitmap.count());
  uint32_t present = 0;
  for (size_t i = 0; i < bitmap.chunk_count(); ++i) present += bitmap.chunk(i) != nullptr ? 1 : 0;
  out.u32(present);
  for (size_t i = 0; i < bitmap.chunk_count(); ++i) {
    const Bitmap::Words* words = bitmap.chunk(i);
    if (words == nullptr) continue;
    out.u32(static_cast<uint32_t>(i));
    out.u32(bitmap.count_in_chunk(i));
    out.bytes(std::as_bytes(std::span(*words)));
  }
}

namespace {

// One chunk, not before `*next`, which it moves on.
Bitmap read_chunk(ByteReader& in, const Bitmap& bitmap, uint32_t* next) {
  const uint64_t offset = in.offset();
  const auto corrupt = [&](const std::string& expected, uint64_t found) {
    throw CorruptionError(in.file(), offset, expected, std::to_string(found));
  };
  const uint32_t chunk = in.u32();
  const uint32_t count = in.u32();
  if (chunk < *next) corrupt("ascending chunks", chunk);
  if (chunk >= bitmap.chunk_count()) corrupt("a chunk below " + std::to_string(bitmap.chunk_count()), chunk);
  *next = chunk + 1;
  Bitmap::Words words;
  std::memcpy(words.data(), in.bytes(sizeof words).data(), sizeof words);
  try {
    Bitmap result = bitmap.with_chunk(chunk, words);
    const uint32_t found = result.count_in_chunk(chunk);
    if (found != count || count == 0) corrupt(std::to_string(count) + " rows in the chunk, and not none", found);
    return result;
  } catch (const std::out_of_range&) {
    corrupt("no row past " + std::to_string(bitmap.size()) + " in the chunk", chunk);
    throw;
  }
}

}  // namespace

Bitmap read_bitmap(ByteReader& in, const SegmentId& segment, uint64_t rows) {
  const auto found_segment = read_array<16, std::byte>(in);
  if (found_segment != segment) in.corrupt("the bitmap of segment " + hex(segment), hex(found_segment));
  const uint64_t found_rows = in.u64();
  if (found_rows != rows) in.corrupt(std::to_string(rows) + " rows", std::to_string(found_rows));
  const uint64_t count = in.u64();
  Bitmap bitmap(rows);
  uint32_t next = 0;
  const uint32_t chunks = read_count(in, 8 + sizeof(Bitmap::Words));
  for (uint32_t i = 0; i < chunks; ++i) bitmap = read_chunk(in, bitmap, &next);
  if (bitmap.count() != count) in.corrupt(std::to_string(count) + " rows in all", std::to_string(bitmap.count()));
  return bitmap;
}

}  // namespace lamina
