// What lamina.Index saves: one file, a bundle of vector segments with their bitmaps.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/vector_set.h"
#include "segment/segment_file.h"

namespace lamina {

struct IndexFileInfo {
  VectorSpec spec;
  bool has_ids = true;  // int64 ids beside the rids
  uint64_t next_rid = 0;
  std::string settings;  // the caller's own bytes
};

// Writes the bundle to `out`, which is new; the caller commits it. `ids` has a fresh random id for each part.
void write_index_file(Publication& out, const IndexFileInfo& info, std::span<const View::SealedPart> parts,
                      std::span<const SegmentId> ids, const Hasher& hasher);

struct IndexFile {
  IndexFileInfo info;
  std::vector<View::SealedPart> parts;  // they keep the mapping alive
  // Every byte of the file.
  std::function<void(const Hasher& hasher, const VerifyProgress& progress)> verify;
};

// Opens in time that does not grow with the rows (but for the bitmaps). CorruptionError, FormatVersionError.
IndexFile open_index_file(std::shared_ptr<const Mapping> mapping, const Hasher& hasher);

}  // namespace lamina
