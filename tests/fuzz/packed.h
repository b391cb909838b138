// Segments are mostly zeros: a fuzzer works on a packed form of them, so that what it changes means something.
//
//   u16 pages of 4096 bytes · { u32 number of a 16-byte row, modulo the rows of the file · its 16 bytes } ...
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "base/bytes.h"

namespace lamina {

inline constexpr size_t kPackedRowBytes = 16;
inline constexpr size_t kMaxPackedPages = 64;

inline std::vector<std::byte> pack(Bytes file) {
  ByteWriter out;
  out.u16(static_cast<uint16_t>(file.size() / 4096));
  for (size_t at = 0; at < file.size(); at += kPackedRowBytes) {
    const Bytes row = file.subspan(at, kPackedRowBytes);
    if (std::ranges::all_of(row, [](std::byte b) { return b == std::byte{0}; })) continue;
    out.u32(static_cast<uint32_t>(at / kPackedRowBytes));
    out.bytes(row);
  }
  return out.take();
}

inline std::vector<std::byte> unpack(Bytes packed) {
  if (packed.size() < 2) return {};
  const size_t pages = load_le<uint16_t>(packed.data()) % (kMaxPackedPages + 1);
  std::vector<std::byte> file(pages * 4096);
  if (file.empty()) return file;
  constexpr size_t kRecord = 4 + kPackedRowBytes;
  for (size_t at = 2; at + kRecord <= packed.size(); at += kRecord) {
    const size_t row = load_le<uint32_t>(packed.data() + at) % (file.size() / kPackedRowBytes);
    std::ranges::copy(packed.subspan(at + 4, kPackedRowBytes),
                      file.begin() + static_cast<ptrdiff_t>(row * kPackedRowBytes));
  }
  return file;
}

}  // namespace lamina
