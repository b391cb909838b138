// A write made ready for the log: every operation validated, every id resolved to its rid.
#pragma once

#include <functional>
#include <list>
#include <span>
#include <string>
#include <vector>

#include "segment/log_format.h"
#include "store/collection_state.h"

namespace lamina {

// What can be said of operations without looking at a store's rows; throws as Store::write does. Any thread.
void check_operations(std::span<const WriteOp> operations, const RecordCodec& codec);

// One thread at a time. Views the callers' operations and what they view.
class Transaction {
 public:
  using Lookup = std::function<CollectionState&(const std::string& name)>;

  // Resolves against what the collections' sets hold now, each operation seeing those before it. Changes nothing;
  // throws as Store::write does. REQUIRES: check_operations().
  Transaction(std::span<const WriteOp> operations, const Lookup& lookup, uint64_t version, int64_t now_us);
  ~Transaction();

  // None: nothing would change.
  std::span<const Operation> operations() const { return operations_; }
  CollectionState& collection(size_t operation) const { return *collections_[operation]; }
  // The records that a put replaces.
  const FoundRecords& found(size_t operation) const { return found_[operation]; }
  std::vector<WriteResult> results() const { return results_; }

 private:
  class Rids;
  struct Memory;  // what the operations view
  Rids& rids_of(CollectionState& collection);
  void change_settings(const WriteOp& op, Rids& rids);
  void put(const WriteOp& op, Rids& rids);
  void backfill(const WriteOp& op, Rids& rids);
  void erase(const WriteOp& op, Rids& rids);
  void clear(Rids& rids);
  void append(CollectionState& collection, Operation operation, FoundRecords found = {});
  void append_delete(CollectionState& collection, Memory& memory);

  const uint64_t version_;
  const int64_t now_us_;
  std::list<Rids> rids_;      // one a collection
  std::list<Memory> memory_;  // one an operation
  std::vector<Operation> operations_;
  std::vector<CollectionState*> collections_;  // one an operation
  std::vector<FoundRecords> found_;            // one an operation
  std::vector<WriteResult> results_;
};

}  // namespace lamina
