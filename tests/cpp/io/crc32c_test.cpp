// Goal: CRC32C as RFC 3720 has it, the same from the instruction and from tables, for every length and alignment.
// Method: the RFC's vectors; both implementations against a bit-by-bit oracle.
#include "io/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"

namespace lamina {
namespace {

uint32_t oracle(uint32_t seed, Bytes bytes) {
  uint32_t crc = ~seed;
  for (const std::byte b : bytes) {
    crc ^= std::to_integer<uint32_t>(b);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) * 0x82f63b78);
  }
  return ~crc;
}

std::vector<std::byte> random_bytes(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.next_u64());
  return bytes;
}

TEST(Crc32c, VectorsOfRfc3720) {
  std::vector<uint8_t> ascending(32);
  std::iota(ascending.begin(), ascending.end(), uint8_t{0});
  const std::vector<uint8_t> descending(ascending.rbegin(), ascending.rend());
  for (const auto function : {crc32c, crc32c_portable}) {
    EXPECT_EQ(function(0, as_bytes(std::vector<uint8_t>(32, 0))), 0x8a9136aaU);
    EXPECT_EQ(function(0, as_bytes(std::vector<uint8_t>(32, 0xff))), 0x62a8ab43U);
    EXPECT_EQ(function(0, as_bytes(ascending)), 0x46dd794eU);
    EXPECT_EQ(function(0, as_bytes(descending)), 0x113fdb5cU);
    EXPECT_EQ(function(0, as_bytes("123456789")), 0xe3069283U);
    EXPECT_EQ(function(0, Bytes{}), 0U);
    EXPECT_EQ(function(77, Bytes{}), 77U);
  }
}

TEST(Crc32c, EveryLengthAtEveryAlignment) {
  const auto bytes = random_bytes(1100, 1);
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t n = 0; n <= 1000; ++n) {
      const Bytes part = Bytes(bytes).subspan(offset, n);
      const uint32_t seed = static_cast<uint32_t>(n * 2654435761U);
      const uint32_t expected = oracle(seed, part);
      ASSERT_EQ(crc32c(seed, part), expected) << n << " at " << offset;
      ASSERT_EQ(crc32c_portable(seed, part), expected) << n << " at " << offset;
    }
  }
}

TEST(Crc32c, LongInputs) {
  const auto bytes = random_bytes(200000, 2);
  for (const size_t n : {4079U, 4080U, 4081U, 4096U, 8160U, 8167U, 65536U, 199999U, 200000U}) {
    const uint32_t expected = oracle(9, Bytes(bytes).first(n));
    EXPECT_EQ(crc32c(9, Bytes(bytes).first(n)), expected) << n;
    EXPECT_EQ(crc32c_portable(9, Bytes(bytes).first(n)), expected) << n;
  }
}

TEST(Crc32c, PartsInARowAreTheWhole) {
  const auto bytes = random_bytes(10000, 3);
  const uint32_t whole = crc32c(0, bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 97) {
    EXPECT_EQ(crc32c(crc32c(0, Bytes(bytes).first(cut)), Bytes(bytes).subspan(cut)), whole);
  }
}

TEST(Crc32c, EveryFlippedBitShows) {
  auto bytes = random_bytes(600, 4);
  const uint32_t whole = crc32c(0, bytes);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
    ASSERT_NE(crc32c(0, bytes), whole);
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
  }
}

}  // namespace
}  // namespace lamina
