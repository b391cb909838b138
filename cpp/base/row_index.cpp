#include "base/row_index.h"

namespace lamina {

RowIndex::Table::Table(uint64_t buckets)
    : mask(buckets - 1), heads(new std::atomic<uint32_t>[buckets]), next(new uint32_t[buckets]) {
  for (uint64_t i = 0; i < buckets; ++i) heads[i].store(kNone, std::memory_order_relaxed);
}

void RowIndex::Table::push(uint32_t row, uint64_t hash) {
  std::atomic<uint32_t>& head = heads[hash & mask];
  next[row] = head.load(std::memory_order_relaxed);
  head.store(row, std::memory_order_release);
}

RowIndex::RowIndex() {
  tables_.push_back(std::make_unique<Table>(256));
  table_.store(tables_.back().get(), std::memory_order_release);
}

void RowIndex::add(uint64_t hash) {
  const auto row = static_cast<uint32_t>(hashes_.size());
  hashes_.push_back(hash);
  if (row <= tables_.back()->mask) {
    tables_.back()->push(row, hash);
    return;
  }
  auto larger = std::make_unique<Table>((tables_.back()->mask + 1) * 2);
  for (uint32_t r = 0; r <= row; ++r) larger->push(r, hashes_[r]);
  tables_.push_back(std::move(larger));
  table_.store(tables_.back().get(), std::memory_order_release);
}

}  // namespace lamina
