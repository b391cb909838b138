// The CRC32 instruction answers after three cycles and can start one each cycle, so three stretches of the input run
// side by side:
//
//   a, b, c = CRC of three stretches of n bytes in a row, of which only a starts from what came before
//   the CRC of all is  a * x^(16 n)  +  b * x^(8 n)  +  c   (mod P)
//
// A carry-less product of two reflected 32-bit values, fed to the instruction, is their product times x^33 (mod P):
// the factors stored are therefore x^(8 m - 33).
#include <immintrin.h>

#include "io/crc32c_cpu.h"

namespace lamina {
namespace {

// x^exponent mod P, reflected.
constexpr uint32_t power_of_x(size_t exponent) {
  uint32_t value = 0x80000000;
  for (; exponent > 0; --exponent) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
  return value;
}

// Three stretches of kStretch bytes from `p`, after `crc`.
template <size_t kStretch>
__attribute__((target("sse4.2,pclmul"))) uint64_t three_stretches(uint64_t crc, const std::byte* p) {
  static_assert(kStretch % 8 == 0);
  constexpr uint32_t kTwo = power_of_x(16 * kStretch - 33);
  constexpr uint32_t kOne = power_of_x(8 * kStretch - 33);
  uint64_t b = 0;
  uint64_t c = 0;
  for (size_t i = 0; i < kStretch; i += 8) {
    crc = _mm_crc32_u64(crc, load_le<uint64_t>(p + i));
    b = _mm_crc32_u64(b, load_le<uint64_t>(p + kStretch + i));
    c = _mm_crc32_u64(c, load_le<uint64_t>(p + 2 * kStretch + i));
  }
  const __m128i factors = _mm_set_epi64x(kOne, kTwo);
  const __m128i a_product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<int64_t>(crc)), factors, 0x00);
  const __m128i b_product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<int64_t>(b)), factors, 0x10);
  const auto sum = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_xor_si128(a_product, b_product)));
  return _mm_crc32_u64(0, sum) ^ c;
}

__attribute__((target("sse4.2,pclmul"))) uint32_t crc32c_x86(uint32_t seed, Bytes bytes) {
  constexpr size_t kLong = 1360;  // three of them nearly fill a 4 KiB block
  constexpr size_t kShort = 168;
  uint64_t crc = static_cast<uint32_t>(~seed);
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 3 * kLong; p += 3 * kLong, left -= 3 * kLong) crc = three_stretches<kLong>(crc, p);
  for (; left >= 3 * kShort; p += 3 * kShort, left -= 3 * kShort) crc = three_stretches<kShort>(crc, p);
  for (; left >= 8; p += 8, left -= 8) crc = _mm_crc32_u64(crc, load_le<uint64_t>(p));
  for (; left > 0; ++p, --left) crc = _mm_crc32_u8(static_cast<uint32_t>(crc), std::to_integer<uint8_t>(*p));
  return ~static_cast<uint32_t>(crc);
}

}  // namespace

decltype(&crc32c) fastest_crc32c() {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") ? crc32c_x86 : crc32c_portable;
}

}  // namespace lamina
