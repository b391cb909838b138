// The records of one collection: sealed record segments + a head of rows not yet sealed + deletion bits. The mirror
// of VectorSet for ids, times, hashes and columns: one writer at a time, any number of readers on immutable views.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bitmap.h"
#include "base/bytes.h"
#include "segment/record.h"
#include "segment/record_segment.h"

namespace lamina {

class RecordHead;
struct RecordCodec;

struct RecordRef {
  uint32_t part = 0xFFFFFFFFu;  // index into parts; parts.size() for the head
  uint32_t row = 0;
  bool found() const { return part != 0xFFFFFFFFu; }
};

// A block of columns and the row of one record in it. `key` names the block for as long as the process lives, so that
// decoded blocks can be cached; `owner` keeps the bytes alive. Those of a segment (null: of a head) were whole when
// this was made; segment->file().require_whole() tells later.
struct BlockRef {
  uint64_t key = 0;
  Bytes bytes;
  uint32_t block_rows = 0;
  uint32_t row = 0;
  const RecordSegment* segment = nullptr;
  std::shared_ptr<const void> owner;
};

// The first of `count` names for blocks that no other block of this process has.
uint64_t reserve_block_keys(uint64_t count);

// Says that a block of a segment is damaged, and where: CorruptionError.
[[noreturn]] void refuse_block(const RecordSegment& segment, Bytes block, const std::string& found);

// A record segment as this process uses it: which of its blocks the codec has found whole, and their names.
class SealedRecords {
 public:
  explicit SealedRecords(std::shared_ptr<const RecordSegment> segment);
  const RecordSegment& operator*() const { return *segment_; }
  const RecordSegment* operator->() const { return segment_.get(); }
  // The block that holds the row; without an owner: this object itself.
  BlockRef block_at(uint32_t row, const RecordCodec& codec) const;  // checked
  BlockRef unchecked_at(uint32_t row) const;
  BlockRef block(uint32_t number) const;       // not checked either
  uint64_t key() const { return first_key_; }  // names the segment, as BlockRef::key a block

 private:
  std::shared_ptr<const RecordSegment> segment_;
  uint64_t first_key_;
  std::unique_ptr<std::atomic<bool>[]> checked_;  // one a block
};

// One consistent state. Immutable, cheap to hold. Every call may throw CorruptionError on first touch of a block.
struct RecordView {
  struct SealedPart {
    std::shared_ptr<const SealedRecords> segment;
    Bitmap deleted;
  };
  IdKind id_kind = IdKind::kInt;
  std::vector<SealedPart> parts;
  std::shared_ptr<const RecordHead> head;
  uint32_t head_rows = 0;
  Bitmap head_deleted;
  uint64_t live = 0;

  RecordRef find(Id id) const;  // the live row, or none
  RecordRef find_rid(uint64_t rid) const;
  std::vector<RecordRef> find_all(const Ids& ids) const;  // of each; many together cost less
  std::vector<RecordRef> find_all_rids(std::span<const uint64_t> rids) const;
  Id id_at(RecordRef where) const;  // a string lives as long as the view
  RecordFields fields_at(RecordRef where) const;
  std::vector<RecordFields> fields_of(std::span<const RecordRef> all) const;  // none found: all zero
  BlockRef block_at(RecordRef where, const RecordCodec& codec) const;         // checked by the codec before first use
  BlockRef unchecked_at(RecordRef where) const;  // for who decodes it with as much care, and calls refuse_block()
  // Up to `limit` live rows, in part and row order, that follow `after` (none: from the start).
  std::vector<RecordRef> scan(std::optional<RecordRef> after, size_t limit) const;
};

// Where the records of some rows are, or that there are none: in one view, and of no use once there is a newer one.
struct FoundRecords {
  std::shared_ptr<const RecordView> view;  // null: nobody has looked
  std::span<const RecordRef> refs;         // one a row
};

// Rows of one write, with their rids already given.
struct NewRecords {
  Ids ids;
  std::span<const RecordFields> fields;  // one a row; scope included
  std::vector<std::byte> columns;        // one sealed block of ids.size() rows
  FoundRecords found;                    // of their rids
};

class RecordSet {
 public:
  RecordSet(IdKind id_kind, std::vector<RecordView::SealedPart> parts);
  ~RecordSet();
  std::shared_ptr<const RecordView> view() const;

  void put(NewRecords records);  // a live row of the same rid is marked dead
  size_t erase(std::span<const uint64_t> rids);
  // Sealing and merging. `sealed` holds the rows that were live in the head of `before` (`merged`: in its sealed
  // parts), in rid order; it takes their place, and what died since is marked dead in it. Rows put since stay in the
  // head. A merged one takes the place of the first of its parts. Null: there were no live rows. REQUIRES: the head of
  // `before` is still there (replace_head); its parts all are (replace_parts).
  void replace_head(const RecordView& before, std::shared_ptr<const SealedRecords> sealed);
  void replace_parts(const RecordView& before, std::shared_ptr<const SealedRecords> merged);
  // The rows of `merged` that were live in `before` and are not now.
  Bitmap died_since(const RecordView& before, const SealedRecords& merged) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
