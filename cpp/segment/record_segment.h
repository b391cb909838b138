// A record segment: a collection's records, sealed, in rid order.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "segment/record.h"
#include "segment/segment_file.h"

namespace lamina {

// Rows to be sealed. Views: the caller keeps the memory.
struct RecordRows {
  Ids ids;                               // none twice
  std::span<const RecordFields> fields;  // one a row, rids strictly ascending
  struct Block {
    Bytes bytes;  // one sealed block of columns
    uint32_t rows;
  };
  std::vector<Block> blocks;  // together all rows, in order
};

// Writes a segment to the end of `out`; see SegmentWriter. std::invalid_argument if the rows are not as said above.
FileRef write_record_segment(Publication& out, const RecordRows& rows, const SegmentId& id, const Hasher& hasher);

// Immutable; any thread. Every call checks what it touches for the first time, and that it could be read:
// CorruptionError. Who looks at a text or block afterwards asks file().require_whole() before believing it.
class RecordSegment {
 public:
  struct Block {
    uint32_t number;  // among the blocks of this segment
    uint32_t first_row;
    uint32_t rows;
    Bytes bytes;  // 64-byte aligned
  };

  virtual ~RecordSegment() = default;
  virtual const SegmentFile& file() const = 0;
  virtual uint32_t rows() const = 0;
  virtual IdKind id_kind() const = 0;

  virtual std::span<const uint64_t> rids() const = 0;     // strictly ascending
  virtual std::optional<uint32_t> find(Id id) const = 0;  // its row; none if it is of the other kind
  virtual std::optional<uint32_t> find_rid(uint64_t rid) const = 0;
  // The same of many that ascend, found on one way through the segment.
  virtual std::vector<std::optional<uint32_t>> find_all(const Ids& ascending) const = 0;
  virtual std::vector<std::optional<uint32_t>> find_all_rids(std::span<const uint64_t> ascending) const = 0;
  // REQUIRES: row < rows(). Texts live as long as the segment.
  virtual Id id_at(uint32_t row) const = 0;
  RecordFields fields_at(uint32_t row) const {
    RecordFields fields;
    read_fields(std::span(&row, 1), &fields);
    return fields;
  }
  // The same of many rows: a column at a time, so that they wait for memory together.
  virtual void read_fields(std::span<const uint32_t> rows, RecordFields* fields) const = 0;

  virtual uint32_t block_count() const = 0;
  virtual uint32_t block_of(uint32_t row) const = 0;  // the number of the block that holds the row
  virtual Block block(uint32_t number) const = 0;     // checksums checked; the columns are for the codec to check

  // Every byte, and every number in range and in order.
  virtual void verify(const Hasher& hasher, const VerifyProgress& progress = {}) const = 0;
};

// Opens in time that does not grow with the rows. CorruptionError also if it is not the segment of this id.
std::shared_ptr<const RecordSegment> open_record_segment(std::shared_ptr<const Mapping> mapping, const FileRef& ref,
                                                         const SegmentId& id, const Hasher& hasher,
                                                         Budgeted budgeted = {});

}  // namespace lamina
