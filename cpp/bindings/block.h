// The sealed bytes of some records' columns, where they are kept, as Python reads them.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "store/record_set.h"

namespace lamina {

struct Block {
  BlockRef ref;

  // A copy of `size` bytes from `offset` on, fewer where the block ends: Arrow may look at it for long, and a mapped
  // page can fail at any time. CorruptionError.
  pybind11::bytes read(uint64_t offset, uint64_t size) const;
  // For who could not decode it: CorruptionError, with the place; std::invalid_argument for a block of the head.
  [[noreturn]] void refuse(const std::string& found) const;
};

void bind_block(pybind11::module_& m);

}  // namespace lamina
