// What each object of this room brings to the registry: plain data, so that asking for it runs no instruction
// that the CPU may lack.
#pragma once

#include "kernels/kernels.h"

namespace lamina {

// Replacements for single kernels of a table, where the CPU has more than the table needs.
struct CodeKernels {
  int32_t (*l2_i8)(const int8_t* a, const int8_t* b, size_t n);
  int32_t (*ip_i8)(const int8_t* a, const int8_t* b, size_t n);
  void (*l2_i8_x4)(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]);
  void (*ip_i8_x4)(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]);
  void (*l2_i4_x4)(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]);
  void (*ip_i4_x4)(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]);
};

struct HammingKernels {
  uint32_t (*hamming)(const uint8_t* a, const uint8_t* b, size_t n);
  void (*hamming_x4)(const uint8_t* a, const uint8_t* const b[4], size_t n, uint32_t out[4]);
};

void replace(Kernels* table, const CodeKernels& with);
void replace(Kernels* table, const HammingKernels& with);

extern const Kernels kBaseline;

// On x86-64 alone.
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const CodeKernels kAvx2Vnni;
extern const CodeKernels kAvx512Vnni;
extern const HammingKernels kAvx512Vpopcntdq;

// On ARM64 alone.
extern const Kernels kNeon;
extern const CodeKernels kNeonDot;

}  // namespace lamina
