#include "base/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace lamina {
namespace {

constexpr size_t kLine = 64;

unsigned rows_shift(size_t stride, size_t chunk_bytes) {
  return static_cast<unsigned>(std::bit_width(std::max<size_t>(chunk_bytes / stride, 1)) - 1);
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t size, Pages pages) : size_(size) {
  if (size == 0) return;
  const bool huge = pages == Pages::kHuge && size >= kHugePage;
  const size_t alignment = huge ? kHugePage : kLine;
  if (size > std::numeric_limits<size_t>::max() - 2 * alignment) throw std::bad_alloc();
  const size_t padded = (size + alignment - 1) / alignment * alignment;
  // Pages that calloc has new from the system are zeros already, and take no memory until they are touched: so that
  // heads of few rows are small. What it gave stands before the data, for free.
  void* const allocated = std::calloc(1, padded + alignment);
  if (allocated == nullptr) throw std::bad_alloc();
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(allocated) / alignment + 1) * alignment;
  data_.reset(reinterpret_cast<std::byte*>(begin));
  std::memcpy(data_.get() - sizeof allocated, &allocated, sizeof allocated);
#ifdef MADV_HUGEPAGE
  if (huge) madvise(data_.get(), padded, MADV_HUGEPAGE);  // a hint: its failure changes nothing
#endif
}

void AlignedBuffer::Free::operator()(std::byte* p) const {
  void* allocated = nullptr;
  std::memcpy(&allocated, p - sizeof allocated, sizeof allocated);
  std::free(allocated);
}

ChunkedRows::ChunkedRows(size_t stride, size_t chunk_bytes)
    : stride_(stride), shift_(rows_shift(stride, chunk_bytes)), mask_((uint64_t{1} << shift_) - 1) {}

void ChunkedRows::reserve(uint64_t rows) {
  if (rows <= capacity()) return;
  const std::lock_guard lock(mutex_);
  const size_t wanted = static_cast<size_t>((rows + mask_) >> shift_);
  if (wanted > table_size_) {
    const size_t size = std::max<size_t>(std::bit_ceil(wanted), 16);
    Table table = std::make_unique<std::byte*[]>(size);
    for (size_t i = 0; i < chunks_.size(); ++i) table[i] = chunks_[i].data();
    tables_.push_back(std::move(table));
    table_size_ = size;
    table_.store(tables_.back().get(), std::memory_order_release);
  }
  while (chunks_.size() < wanted) {
    chunks_.emplace_back(stride_ << shift_);
    tables_.back()[chunks_.size() - 1] = chunks_.back().data();
    capacity_.store(uint64_t{chunks_.size()} << shift_, std::memory_order_release);
  }
}

}  // namespace lamina
