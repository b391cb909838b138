#include "kernels/tables.h"

namespace lamina {

const Kernels& kernels() { return kBaseline; }

std::vector<const Kernels*> available_kernels() { return {&kBaseline}; }

}  // namespace lamina
