// From rows that grow to a part that does not: columns laid out in one order, in this process's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "index/head.h"
#include "index/part.h"

namespace lamina {

struct Frozen {
  std::shared_ptr<Part> part;
  std::span<uint32_t> level0;  // the part's links, for who still has work to do on them
};

// A part of the rows `order[0], order[1], ...`, each once, and of what `graph` (null: none) says of them.
Frozen freeze(const VectorSpec& spec, const HeadRows& rows, const HeadGraph* graph, std::span<const uint32_t> order,
              int threads);

}  // namespace lamina
