// From rows that grow to a part that does not: columns laid out in one order, in this process's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "index/head.h"
#include "index/part.h"

namespace lamina {

// A part without a graph of the rows `order[0], order[1], ...`.
std::shared_ptr<Part> freeze_columns(const VectorSpec& spec, const HeadRows& rows, std::span<const uint32_t> order,
                                     int threads);

// The first `rows` rows of a head, under the same numbers, with the graph that is there.
std::shared_ptr<const Part> freeze(const Head& head, uint32_t rows, int threads);

}  // namespace lamina
