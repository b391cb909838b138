#include "index/rows.h"

#include <stdexcept>

#include "base/thread_pool.h"
#include "codes/exact.h"

namespace lamina {
namespace {

constexpr uint64_t kGrain = 64;

// A row of the chunked storage starts where its number says; a vector of an odd length must not straddle alignments.
size_t aligned_stride(size_t bytes) { return (bytes + 3) / 4 * 4; }

unsigned pool_threads(int threads) { return threads < 0 ? 0 : static_cast<unsigned>(threads); }

}  // namespace

HeadRows::HeadRows(const VectorSpec& spec)
    : spec_(spec), vectors_(aligned_stride(spec.vector_bytes())), tags_(sizeof(Tag)) {}

void HeadRows::append_rows(size_t count, int threads, const std::function<void(size_t, std::byte*, Tag*)>& write) {
  if (count >= kNoRow - size_) throw std::length_error("a head holds fewer than 2^32 - 1 rows");
  const uint64_t end = size_ + count;
  vectors_.reserve(end);
  tags_.reserve(end);
  parallel_for(0, count, kGrain, pool_threads(threads), [&](uint64_t begin, uint64_t stop, unsigned) {
    for (uint64_t i = begin; i < stop; ++i) {
      write(i, vectors_.row(size_ + i), reinterpret_cast<Tag*>(tags_.row(size_ + i)));
    }
  });
  whole_ = false;
  for (uint64_t row = size_; row < end; ++row) by_rid_.add(mix(rid(static_cast<uint32_t>(row))));
  whole_ = true;
  size_ = static_cast<uint32_t>(end);
}

void HeadRows::append(const NewRows& rows, int threads) {
  const size_t given_bytes = spec_.given_bytes();
  const auto* given = static_cast<const std::byte*>(rows.vectors);
  append_rows(rows.count, threads, [&](size_t i, std::byte* vector, Tag* tag) {
    store_vector(spec_, given + i * given_bytes, vector);
    *tag = {rows.rids[i], rows.ids == nullptr ? 0 : rows.ids[i],
            rows.provenance == nullptr ? Provenance{} : rows.provenance[i],
            spec_.metric == Metric::kCosine ? lamina::inverse_norm(spec_, vector) : 0};
  });
  if (rows.ids != nullptr) has_ids_.store(true, std::memory_order_relaxed);
}

uint32_t HeadRows::find(uint64_t rid, const Live& live) const {
  const uint32_t row = by_rid_.find(mix(rid), [&](uint32_t r) { return live(r) && this->rid(r) == rid; });
  return row == RowIndex::kNone ? kNoRow : row;
}

}  // namespace lamina
