// How the table of this process is chosen, in two steps that tests call with CPUs of their own.
#pragma once

#include <vector>

#include "kernels/cpu.h"
#include "kernels/kernels.h"

namespace lamina {

// The tables that `cpu` can run, slowest first; baseline is always there.
std::vector<Kernels> tables_for(const CpuFeatures& cpu);

// The table named `forced`, or the last when that is null or empty. Throws std::invalid_argument for another name.
const Kernels& choose(const std::vector<Kernels>& tables, const char* forced);

}  // namespace lamina
