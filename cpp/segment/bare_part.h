// A vector segment read without what is derived in it.
#pragma once

#include <memory>
#include <vector>

#include "segment/vector_segment.h"

namespace lamina {

// Rows from the primary sections alone: their order and norms made anew in memory, no codes, no graph; searched by
// scanning. All that is primary is checked first. CorruptionError if rids, ids or provenance are damaged; rows whose
// vector is damaged go to `lost`, and are for the caller to mark dead (null: CorruptionError too).
std::shared_ptr<const Part> bare_part(std::shared_ptr<const VectorSegment> segment, std::vector<uint32_t>* lost);

}  // namespace lamina
