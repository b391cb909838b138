#include <cpuid.h>

#include <cstdint>

#include "kernels/cpu.h"
#include "kernels/tables.h"

namespace lamina {
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zeros for a leaf that the CPU does not know.
Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool has(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

// XCR0, the registers that the operating system saves. REQUIRES: OSXSAVE.
uint32_t saved_registers() {
  uint32_t eax = 0;
  uint32_t edx = 0;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
}

}  // namespace

CpuFeatures cpu_features() {
  constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;  // 1: ecx
  constexpr uint32_t kAvx2Bit = 1u << 5;                                                       // 7.0: ebx
  constexpr uint32_t kAvx512Bits = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;                  // F, DQ, BW, VL
  constexpr uint32_t kVnniBit = 1u << 11, kVpopcntdqBit = 1u << 14;                            // 7.0: ecx
  constexpr uint32_t kAvxVnniBit = 1u << 4;                                                    // 7.1: eax
  constexpr uint32_t kYmmSaved = 0x06, kZmmSaved = 0xe6;                                       // XCR0

  const Registers basic = cpuid(1, 0);
  const Registers extended = cpuid(7, 0);
  const uint32_t saved = has(basic.ecx, kOsxsave) ? saved_registers() : 0;

  CpuFeatures cpu;
  cpu.avx2 = has(saved, kYmmSaved) && has(basic.ecx, kAvx | kFma | kF16c) && has(extended.ebx, kAvx2Bit);
  cpu.avx_vnni = cpu.avx2 && extended.eax >= 1 && has(cpuid(7, 1).eax, kAvxVnniBit);
  cpu.avx512 = cpu.avx2 && has(saved, kZmmSaved) && has(extended.ebx, kAvx512Bits);
  cpu.avx512_vnni = cpu.avx512 && has(extended.ecx, kVnniBit);
  cpu.avx512_vpopcntdq = cpu.avx512 && has(extended.ecx, kVpopcntdqBit);
  return cpu;
}

std::vector<Kernels> tables_for(const CpuFeatures& cpu) {
  std::vector<Kernels> tables = {kBaseline};
  if (cpu.avx2) {
    tables.push_back(kAvx2);
    if (cpu.avx_vnni) replace(&tables.back(), kAvx2Vnni);
  }
  if (cpu.avx512) {
    tables.push_back(kAvx512);
    if (cpu.avx512_vnni) replace(&tables.back(), kAvx512Vnni);
    if (cpu.avx512_vpopcntdq) replace(&tables.back(), kAvx512Vpopcntdq);
  }
  return tables;
}

}  // namespace lamina
