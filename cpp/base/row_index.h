// From a hash to the rows that have it: chains, newest row first, in a table that only grows.
//
// Threads: one writer adds; any number of readers walk at the same time, without a lock. The reader compares keys and
// decides which rows its view may see, so one index serves every view.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/random.h"

namespace lamina {

class RowIndex {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFFu;

  RowIndex();

  // Rows are added once each, in order: 0, 1, 2, ... Their data must be written before.
  void add(uint64_t hash);

  // The first row, newest first, with `matches(row)`; kNone if there is none. Rows of other hashes may be asked about.
  template <class Matches>
  uint32_t find(uint64_t hash, Matches&& matches) const {
    const Table* table = table_.load(std::memory_order_acquire);
    uint32_t row = table->heads[hash & table->mask].load(std::memory_order_acquire);
    while (row != kNone && !matches(row)) row = table->next[row];
    return row;
  }

 private:
  // `next[row]` is written before `row` becomes a head, and never again.
  struct Table {
    explicit Table(uint64_t buckets);
    void push(uint32_t row, uint64_t hash);

    const uint64_t mask;
    std::unique_ptr<std::atomic<uint32_t>[]> heads;
    std::unique_ptr<uint32_t[]> next;  // as many as buckets: a fuller table is replaced by one twice as large
  };

  std::atomic<Table*> table_;
  std::vector<std::unique_ptr<Table>> tables_;  // the last is current; a reader may still walk an earlier one
  std::vector<uint64_t> hashes_;
};

// A well-mixed hash of a number; seeds of hash tables only, never stored.
inline uint64_t mix(uint64_t x) { return Random(x).next_u64(); }

}  // namespace lamina
