// CRC32C (Castagnoli), the checksum of every block and frame.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace lamina {

// The checksum of `bytes` after what `seed` stands for: 0, the checksum of the bytes before them
// (crc32c(crc32c(0, a), b) is that of a and b in a row), or any number that is to be bound to them.
// Uses the CPU's own instruction where it has one.
uint32_t crc32c(uint32_t seed, Bytes bytes);

// The same from tables, on any CPU.
uint32_t crc32c_portable(uint32_t seed, Bytes bytes);

}  // namespace lamina
