// What each object of this room brings to the registry: plain data, so that asking for it runs no instruction
// that the CPU may lack.
#pragma once

#include "kernels/kernels.h"

namespace lamina {

extern const Kernels kBaseline;

}  // namespace lamina
