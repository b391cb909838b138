// The neighbour codes of a part: see codes/neighbour.h.
#pragma once

#include "index/part.h"

namespace lamina {

// REQUIRES: a part with 8-bit codes and a graph. They live as long as part.owner, which now holds them too.
void add_neighbour_codes(const VectorSpec& spec, Part& part, int threads);

// After a change to the links of a row. REQUIRES: the part has them from add_neighbour_codes().
void encode_again(const VectorSpec& spec, const Part& part, uint32_t row);

}  // namespace lamina
