// The 4-bit codes of a part: made of its 8-bit ones, and taken away where they do not do.
#pragma once

#include "index/part.h"

namespace lamina {

// Gives `part` 4-bit codes, in memory of its own, where they would take fewer cache lines than its 8-bit ones do.
void add_coarse_codes(const VectorSpec& spec, Part& part, int threads);
void drop_coarse_codes(Part& part);  // REQUIRES: if it has any, they were given so

}  // namespace lamina
