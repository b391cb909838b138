#include "segment/format.h"

#include <algorithm>

#include "base/error.h"

namespace lamina {

void write_prefix(ByteWriter& out, const Magic& magic) {
  write_array(out, magic);
  out.u16(kFormat);
  out.u16(kDraft);
  out.u32(0);  // compatible flags
  out.u32(0);  // read-only-compatible flags
  out.u32(0);  // incompatible flags
}

void check_magic(ByteReader& in, const Magic& magic, const char* what) {
  const uint64_t offset = in.offset();
  const Bytes found = in.bytes(magic.size());
  if (std::ranges::equal(found, magic)) return;
  throw CorruptionError(in.file(), offset, std::string(what) + " of lamina: " + hex(magic), hex(found));
}

bool check_version(ByteReader& in) {
  const uint32_t format = in.u16();
  const uint32_t draft = in.u16();
  const uint32_t version = format << 16 | draft;
  constexpr uint32_t kOurs = uint32_t{kFormat} << 16 | kDraft;
  in.u32();  // compatible flags: unknown ones change nothing for us
  const uint32_t read_only = in.u32();
  const uint32_t incompatible = in.u32();
  const std::string name = "format " + std::to_string(format) + ", draft " + std::to_string(draft);
  if (version > kOurs) too_new(in.file(), name);
  if (version < kOurs) throw FormatVersionError(in.file(), FormatVersionError::Age::kTooOld, name);
  if (incompatible != 0) too_new(in.file(), "incompatible features " + hex(incompatible));
  return read_only == 0;
}

void too_new(const std::string& file, const std::string& what) {
  throw FormatVersionError(file, FormatVersionError::Age::kTooNew, what);
}

void expect_zero(Bytes bytes, const std::string& file, uint64_t offset) {
  const auto stray = std::ranges::find_if(bytes, [](std::byte b) { return b != std::byte{0}; });
  if (stray == bytes.end()) return;
  throw CorruptionError(file, offset + static_cast<uint64_t>(stray - bytes.begin()), "zero",
                        std::to_string(std::to_integer<int>(*stray)));
}

void write_bytes(ByteWriter& out, Bytes bytes) { out.bytes(bytes); }

void write_zeros(ByteWriter& out, size_t n) { out.bytes(std::vector<std::byte>(n)); }

void read_zeros(ByteReader& in, size_t n) {
  const uint64_t offset = in.offset();
  expect_zero(in.bytes(n), in.file(), offset);
}

uint64_t checked_product(uint64_t a, uint64_t b, const std::string& file, uint64_t offset) {
  uint64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  throw CorruptionError(file, offset, "a size below 2^64", std::to_string(a) + " x " + std::to_string(b));
}

std::string hex(Bytes bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text += kDigits[std::to_integer<unsigned>(b) >> 4];
    text += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

std::string hex(uint64_t value) {
  std::array<std::byte, 8> big_endian{};
  for (size_t i = 0; i < 8; ++i) big_endian[i] = static_cast<std::byte>(value >> (56 - 8 * i));
  const std::string digits = hex(Bytes(big_endian));
  return "0x" + digits.substr(std::min<size_t>(digits.find_first_not_of('0'), 15));
}

}  // namespace lamina
