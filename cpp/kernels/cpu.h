// The CPU question: what may this process execute, and which tables are those? cpu_x86.cpp, cpu_arm64.cpp and, for
// processors without kernels of their own, cpu_other.cpp answer it; CMake takes one of them.
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace lamina {

// Each is true only when the CPU has the instructions and the operating system saves their registers.
struct CpuFeatures {
  bool avx2 = false;  // with FMA and F16C
  bool avx_vnni = false;
  bool avx512 = false;  // F, BW, DQ and VL; implies avx2
  bool avx512_vnni = false;
  bool avx512_vpopcntdq = false;
  bool neon = false;
  bool neon_dot = false;  // SDOT and UDOT; implies neon
};

CpuFeatures cpu_features();

// The tables that `cpu` can run, slowest first; baseline is always there. Features of other architectures are none.
std::vector<Kernels> tables_for(const CpuFeatures& cpu);

}  // namespace lamina
