// CRC32C by SSE4.2 and PCLMULQDQ. Private to this room; there on x86-64 only.
#pragma once

#include "io/crc32c.h"

namespace lamina {

bool have_crc32c_x86();
uint32_t crc32c_x86(uint32_t seed, Bytes bytes);  // REQUIRES: have_crc32c_x86()

}  // namespace lamina
