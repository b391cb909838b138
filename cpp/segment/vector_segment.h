// A vector segment: one generation's rows, sealed, as the index sees them (`Part`).
#pragma once

#include <memory>
#include <string>

#include "index/part.h"
#include "segment/segment_file.h"

namespace lamina {

struct VectorSegmentInfo {
  SegmentId id{};  // fresh and random
  Fingerprint fingerprint{};
  VectorSpec spec;
};

// Writes `part` as a segment to the end of `out`; see SegmentWriter. The part is trusted, but for what its guard finds.
FileRef write_vector_segment(Publication& out, const Part& part, const VectorSegmentInfo& info, const Hasher& hasher);

// Immutable; any thread.
class VectorSegment {
 public:
  virtual ~VectorSegment() = default;
  virtual const SegmentFile& file() const = 0;
  // Views into the mapping, with a guard that checks on first touch. Lives as long as the segment.
  virtual const Part& part() const = 0;
  // Every byte, and every number in range.
  virtual void verify(const Hasher& hasher, const VerifyProgress& progress = {}) const = 0;
};

// Opens in time that does not grow with the rows. CorruptionError also if it is not of this spec, fingerprint and id.
// For a Part that keeps it alive: std::shared_ptr<const Part>(segment, &segment->part()).
std::shared_ptr<const VectorSegment> open_vector_segment(std::shared_ptr<const Mapping> mapping, const FileRef& ref,
                                                         const VectorSegmentInfo& info, const Hasher& hasher,
                                                         Budgeted budgeted = {});
// The same for a segment inside a larger file, where it begins at `base`.
std::shared_ptr<const VectorSegment> open_vector_segment_at(uint64_t base, std::shared_ptr<const Mapping> mapping,
                                                            const FileRef& ref, const VectorSegmentInfo& info,
                                                            const Hasher& hasher, Budgeted budgeted = {});

}  // namespace lamina
