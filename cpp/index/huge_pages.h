// What walks touch of a mapped part, copied to memory of this process that lies in huge pages: a walk jumps from row to
// row, and in pages of 4 KiB most jumps miss the processor's address cache as well.
#pragma once

#include <memory>
#include <vector>

#include "index/vector_set.h"

namespace lamina {

// `part` with its codes and its links of level 0 in huge pages, where the system has them; all else stays where it is,
// in `part`, which is its `original`. The part itself where that gains nothing: its memory is this process's own, there
// are no codes, all of it is smaller than a huge page, or a budget bounds what it may take (Part::paging). Throws
// CorruptionError and std::bad_alloc.
std::shared_ptr<const Part> in_huge_pages(const VectorSpec& spec, const std::shared_ptr<const Part>& part, int threads);

// Of the parts of a view those that are another one then: for VectorSet::place_copies().
std::vector<std::shared_ptr<const Part>> copies_in_huge_pages(const View& view, int threads);

}  // namespace lamina
