// From rows to files: records and vectors written as segments, bitmaps where rows died, and the manifest that names
// them.
#pragma once

#include <memory>
#include <optional>

#include "store/collection_state.h"
#include "store/files.h"
#include "store/record_codec.h"

namespace lamina {

// What a view sees in its head alone, or in some of its sealed parts.
RecordView head_of(const RecordView& view);
RecordView parts_of(const RecordView& view, std::span<const size_t> which);
View parts_of(const View& view, std::span<const size_t> which);

// A segment that was written and opened again. Null: there were no rows.
template <class Opened>
struct WrittenSegment {
  SegmentRef ref;
  std::shared_ptr<const Opened> opened;
};

class SegmentFiles {
 public:
  SegmentFiles(OpenFiles& open, NewFiles& added, const RecordCodec& codec)
      : open_(open), added_(added), codec_(codec) {}

  // All live rows of `view`, by ascending rid.
  WrittenSegment<SealedRecords> write_records(const RecordView& view);
  WrittenSegment<Part> write_vectors(std::shared_ptr<const Part> part, const Generation& generation);
  // Gives `ref` a bitmap of these dead rows, unless the one that it has is of as many: rows only ever die.
  void write_deleted(SegmentRef& ref, const Bitmap& deleted);
  FileRef write_manifest(const Manifest& manifest);

 private:
  OpenFiles& open_;
  NewFiles& added_;
  const RecordCodec& codec_;
};

}  // namespace lamina
