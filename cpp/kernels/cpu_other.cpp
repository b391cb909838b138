#include "kernels/cpu.h"
#include "kernels/tables.h"

namespace lamina {

CpuFeatures cpu_features() { return {}; }

std::vector<Kernels> tables_for(const CpuFeatures&) { return {kBaseline}; }

}  // namespace lamina
