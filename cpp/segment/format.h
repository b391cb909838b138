// What all files have in common: the numbers of FORMAT.md that more than one of them needs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "base/bytes.h"

namespace lamina {

inline constexpr uint16_t kFormat = 0;
inline constexpr uint16_t kDraft = 1;

inline constexpr uint64_t kPageBytes = 4096;          // sections start on these; header and footer are one each
inline constexpr uint64_t kSegmentUnit = 65536;       // a segment's length is a multiple of it
inline constexpr uint64_t kBlockBytes = 65536;        // what one checksum covers
inline constexpr uint64_t kVectorBlockBytes = 4096;   // the same, of raw vectors
inline constexpr uint64_t kHashPieceBytes = 1 << 20;  // what one hash under a content root covers
inline constexpr uint64_t kMaxRows = 0xFFFFFFFE;      // in a segment: row numbers are u32, and the last is "none"

using Magic = std::array<std::byte, 8>;

constexpr Magic make_magic(char family) {
  return {std::byte{0x89}, std::byte{'L'},  std::byte{'A'},  std::byte(family),
          std::byte{'\r'}, std::byte{'\n'}, std::byte{0x1a}, std::byte{'\n'}};
}

inline constexpr Magic kSegmentMagic = make_magic('M');
inline constexpr Magic kDocumentMagic = make_magic('D');
inline constexpr Magic kLogMagic = make_magic('L');
inline constexpr Magic kBundleMagic = make_magic('I');

// The 24 bytes that begin every family.
inline constexpr size_t kPrefixBytes = 24;
void write_prefix(ByteWriter& out, const Magic& magic);
// CorruptionError unless the magic is there. REQUIRES for the next: the checksum over these bytes was found right.
void check_magic(ByteReader& in, const Magic& magic, const char* what);
// Reads what follows the magic. FormatVersionError for another format or draft, or an unknown incompatible flag.
// Returns whether files that replace this one may be written (no unknown read-only-compatible flag).
bool check_version(ByteReader& in);
[[noreturn]] void too_new(const std::string& file, const std::string& what);

// Damage, unless all of `bytes`, which lie at `offset` in `file`, are zero.
void expect_zero(Bytes bytes, const std::string& file, uint64_t offset);

constexpr uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }
void write_zeros(ByteWriter& out, size_t n);
void read_zeros(ByteReader& in, size_t n);  // damage if they are not

// Out of line: inlined, GCC 12 takes the copy of a few bytes into a vector for an overrun.
void write_bytes(ByteWriter& out, Bytes bytes);
template <class Byte, size_t n>
void write_array(ByteWriter& out, const std::array<Byte, n>& value) {
  write_bytes(out, std::as_bytes(std::span(value)));
}
template <size_t n, class Byte>
std::array<Byte, n> read_array(ByteReader& in) {
  static_assert(sizeof(Byte) == 1);
  std::array<Byte, n> value;
  std::memcpy(value.data(), in.bytes(n).data(), n);
  return value;
}

// a * b, or CorruptionError: for sizes that a file claims.
uint64_t checked_product(uint64_t a, uint64_t b, const std::string& file, uint64_t offset);

std::string hex(uint64_t value);
std::string hex(Bytes bytes);

}  // namespace lamina
