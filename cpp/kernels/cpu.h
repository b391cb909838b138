// The CPU question: what may this process execute?
#pragma once

namespace lamina {

// Each is true only when the CPU has the instructions and the operating system saves their registers.
struct CpuFeatures {
  bool avx2 = false;  // with FMA and F16C
  bool avx_vnni = false;
  bool avx512 = false;  // F, BW, DQ and VL; implies avx2
  bool avx512_vnni = false;
  bool avx512_vpopcntdq = false;
};

CpuFeatures cpu_features();

}  // namespace lamina
