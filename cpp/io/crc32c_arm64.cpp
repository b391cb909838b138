// CRC32CX takes eight bytes: one after the other at two or three cycles each, which is about what memory gives.
#include <arm_acle.h>

#include "io/crc32c_cpu.h"

#ifdef __linux__
#include <sys/auxv.h>
#endif

namespace lamina {
namespace {

uint32_t crc32c_arm64(uint32_t seed, Bytes bytes) {
  uint32_t crc = ~seed;
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; p += 8, left -= 8) crc = __crc32cd(crc, load_le<uint64_t>(p));
  for (; left > 0; ++p, --left) crc = __crc32cb(crc, std::to_integer<uint8_t>(*p));
  return ~crc;
}

}  // namespace

decltype(&crc32c) fastest_crc32c() {
#ifdef __linux__
  if ((getauxval(AT_HWCAP) & HWCAP_CRC32) == 0) return crc32c_portable;
#endif  // every Mac of this architecture has them
  return crc32c_arm64;
}

}  // namespace lamina
