// CRC32C by instructions of the CPU: crc32c_x86.cpp, crc32c_arm64.cpp, or crc32c_other.cpp, where there are none. The
// only intrinsics outside cpp/kernels; the rest of the room is compiled for the baseline. Private to this room.
#pragma once

#include "io/crc32c.h"

namespace lamina {

// crc32c_portable where this CPU lacks them.
decltype(&crc32c) fastest_crc32c();

}  // namespace lamina
