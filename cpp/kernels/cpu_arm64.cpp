#include "kernels/cpu.h"
#include "kernels/tables.h"

#ifdef __linux__
#include <sys/auxv.h>
#endif

namespace lamina {

CpuFeatures cpu_features() {
  CpuFeatures cpu;
#ifdef __linux__
  const unsigned long has = getauxval(AT_HWCAP);
  cpu.neon = (has & HWCAP_ASIMD) != 0;
  cpu.neon_dot = cpu.neon && (has & HWCAP_ASIMDDP) != 0;
#else  // every Mac of this architecture has both
  cpu.neon = cpu.neon_dot = true;
#endif
  return cpu;
}

std::vector<Kernels> tables_for(const CpuFeatures& cpu) {
  std::vector<Kernels> tables = {kBaseline};
  if (cpu.neon) {
    tables.push_back(kNeon);
    if (cpu.neon_dot) replace(&tables.back(), kNeonDot);
  }
  return tables;
}

}  // namespace lamina
