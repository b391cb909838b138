#include "io/crc32c.h"

#include <array>

#include "io/crc32c_cpu.h"

namespace lamina {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected: bit 31 is x^0
using Tables = std::array<std::array<uint32_t, 256>, 8>;

// tables[k][b]: what byte b, with k bytes after it, leaves in the register.
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][b] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t b = 0; b < 256; ++b) tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xff];
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

uint32_t crc32c_portable(uint32_t seed, Bytes bytes) {
  uint32_t crc = ~seed;
  const std::byte* p = bytes.data();
  const std::byte* const end = p + bytes.size();
  for (; end - p >= 8; p += 8) {
    const uint64_t word = load_le<uint64_t>(p) ^ crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][word >> (8 * i) & 0xff];
  }
  for (; p != end; ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(*p)) & 0xff];
  return ~crc;
}

uint32_t crc32c(uint32_t seed, Bytes bytes) {
  static const auto fastest = fastest_crc32c();
  return fastest(seed, bytes);
}

}  // namespace lamina
