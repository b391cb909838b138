// The records of one collection: sealed record segments + a head of rows not yet sealed + deletion bits. The mirror
// of VectorSet for ids, times, hashes and columns: one writer at a time, any number of readers on immutable views.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bitmap.h"
#include "base/bytes.h"

namespace lamina {

class RecordSegment;  // segment/record_segment.h
class RecordHead;
struct RecordCodec;

enum class IdKind : uint8_t { kInt = 1, kString = 2 };
using Id = std::variant<int64_t, std::string_view>;

// The ids of a call, of one kind. A view: the caller keeps the memory.
struct Ids {
  IdKind kind = IdKind::kInt;
  std::span<const int64_t> ints;
  std::span<const std::string_view> strings;
  size_t size() const { return kind == IdKind::kInt ? ints.size() : strings.size(); }
  Id at(size_t i) const { return kind == IdKind::kInt ? Id{ints[i]} : Id{strings[i]}; }
};

using ContentHash = std::array<uint8_t, 16>;  // all zero: no content

// What C++ knows of a record beside its id and columns.
struct RecordFields {
  uint64_t rid = 0;
  uint64_t version = 0;  // of the write that gave this row
  int64_t created_us = 0;
  int64_t updated_us = 0;
  ContentHash content_hash{};
  std::string_view scope;  // who wrote it: "" for plain writes
};

struct RecordRef {
  uint32_t part = 0xFFFFFFFFu;  // index into parts; parts.size() for the head
  uint32_t row = 0;
  bool found() const { return part != 0xFFFFFFFFu; }
};

// A block of columns and the row of one record in it. `key` names the block for as long as the process lives, so that
// decoded blocks can be cached; `owner` keeps the bytes alive.
struct BlockRef {
  uint64_t key = 0;
  Bytes bytes;
  uint32_t block_rows = 0;
  uint32_t row = 0;
  std::shared_ptr<const void> owner;
};

// One consistent state. Immutable, cheap to hold. Every call may throw CorruptionError on first touch of a block.
struct RecordView {
  struct SealedPart {
    std::shared_ptr<const RecordSegment> segment;
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
  Id id_at(RecordRef where) const;  // a string lives as long as the view
  RecordFields fields_at(RecordRef where) const;
  BlockRef block_at(RecordRef where, const RecordCodec& codec) const;  // checked by the codec before first use
  // Up to `limit` live rows, in part and row order, that follow `after` (none: from the start).
  std::vector<RecordRef> scan(std::optional<RecordRef> after, size_t limit) const;
};

// Rows of one write, with their rids already given.
struct NewRecords {
  Ids ids;
  std::span<const RecordFields> fields;  // one a row; scope included
  std::vector<std::byte> columns;        // one sealed block of ids.size() rows
};

class RecordSet {
 public:
  RecordSet(IdKind id_kind, std::vector<RecordView::SealedPart> parts);
  ~RecordSet();
  std::shared_ptr<const RecordView> view() const;

  void put(NewRecords records);                       // a live row of the same rid is marked dead
  size_t erase(std::span<const uint64_t> rids);
  // Sealing and merging, as in VectorSet: `sealed` holds the rows that were live in the head (or in `before`), in rid
  // order; what died since is marked dead in it.
  void replace_head(const RecordView& before, std::shared_ptr<const RecordSegment> sealed);
  void replace_all(const RecordView& before, std::shared_ptr<const RecordSegment> merged);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
