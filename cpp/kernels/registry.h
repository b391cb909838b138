// How the table of this process is chosen from those that its CPU can run; tests call it with CPUs of their own.
#pragma once

#include <vector>

#include "kernels/cpu.h"
#include "kernels/kernels.h"

namespace lamina {

// The table named `forced`, or the last when that is null or empty. Throws std::invalid_argument for another name.
const Kernels& choose(const std::vector<Kernels>& tables, const char* forced);

}  // namespace lamina
