#include "io/crc32c_cpu.h"

namespace lamina {

decltype(&crc32c) fastest_crc32c() { return crc32c_portable; }

}  // namespace lamina
