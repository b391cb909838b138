// The records of a collection that are in the log and not yet in a segment. Rows are appended by one writer and never
// change; readers look at the rows that their view sees, without a lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bitmap.h"
#include "base/buffer.h"
#include "base/row_index.h"
#include "store/record_set.h"

namespace lamina {

class RecordHead {
 public:
  explicit RecordHead(IdKind id_kind);

  // Writer: appends the rows of one write. After a failure (memory) the head takes no more rows; views go on.
  void put(NewRecords records);
  uint32_t rows() const { return rows_; }
  // Writer: a head with the rows from `first` on, where a put begins. Null: there are none.
  std::shared_ptr<RecordHead> tail(uint32_t first) const;

  // Readers. REQUIRES: `visible` and rows asked for are of a view that was published after their put().
  uint32_t find(Id id, uint32_t visible, const Bitmap& deleted) const;  // RowIndex::kNone if no live row has it
  uint32_t find_rid(uint64_t rid, uint32_t visible, const Bitmap& deleted) const;
  Id id_at(uint32_t row) const { return id_of(at(row)); }
  RecordFields fields_at(uint32_t row) const;
  BlockRef block_at(uint32_t row) const;  // without an owner: the head itself
  uint64_t key() const { return key_; }   // names the head, as BlockRef::key a block

 private:
  // What the rows of one put point into.
  struct Block {
    uint64_t key;
    uint32_t rows;
    std::vector<std::byte> bytes;
    std::unique_ptr<char[]> texts;
  };
  struct Row {
    uint64_t rid;
    uint64_t version;
    int64_t created_us;
    int64_t updated_us;
    ContentHash content_hash;
    const std::string* scope;
    int64_t int_id;    // kInt
    const char* text;  // kString
    uint32_t text_size;
    uint32_t row_in_block;
    const Block* block;
  };

  const Row& at(uint32_t row) const { return *reinterpret_cast<const Row*>(rows_storage_.row(row)); }
  Id id_of(const Row& row) const;
  void append(const Row& row);
  const std::string* intern_scope(std::string_view scope);

  const IdKind id_kind_;
  const uint64_t key_;
  ChunkedRows rows_storage_;
  RowIndex by_id_;
  RowIndex by_rid_;
  // Writer only; what rows point to stays where it is until the head goes.
  uint32_t rows_ = 0;
  std::vector<std::shared_ptr<const Block>> blocks_;
  std::vector<std::shared_ptr<const std::string>> scopes_;
};

}  // namespace lamina
