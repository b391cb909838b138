// Memory for vectors and codes: one aligned block, and growing storage whose rows never move.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace lamina {

inline constexpr size_t kHugePage = size_t{2} << 20;  // bytes

// A zeroed block that starts on a 64-byte boundary and is padded with zeros to a multiple of 64 bytes.
class AlignedBuffer {
 public:
  enum class Pages { kNormal, kHuge };  // kHuge: in huge pages, where it fills one and the system has them

  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size, Pages pages = Pages::kNormal);  // std::bad_alloc when there is no memory
  AlignedBuffer(AlignedBuffer&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  std::span<std::byte> span() { return {data(), size_}; }
  std::span<const std::byte> span() const { return {data(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };

  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

// Rows of `stride` bytes, zeroed, in chunks: a row keeps its address for the life of the object.
//
// Threads: reserve() from any, one at a time by its own lock; row() from any, without a lock, at the same time. What
// is *in* a row is for the caller to publish: write the row, then make its number known by a release store.
class ChunkedRows {
 public:
  // REQUIRES: stride > 0. Rows start on a 64-byte boundary if stride is a multiple of 64. A chunk holds the power of
  // two of rows that brings it nearest below `chunk_bytes` (at least one row).
  explicit ChunkedRows(size_t stride, size_t chunk_bytes = size_t{1} << 20);
  ChunkedRows(const ChunkedRows&) = delete;
  ChunkedRows& operator=(const ChunkedRows&) = delete;

  size_t stride() const { return stride_; }
  size_t chunk_rows() const { return mask_ + 1; }
  uint64_t capacity() const { return capacity_.load(std::memory_order_acquire); }
  void reserve(uint64_t rows);  // capacity() >= rows afterwards; std::bad_alloc leaves the rows there were

  // REQUIRES: r < capacity(), as this thread knows from capacity() or from whoever published row r.
  std::byte* row(uint64_t r) const {
    return table_.load(std::memory_order_acquire)[r >> shift_] + (r & mask_) * stride_;
  }

 private:
  using Table = std::unique_ptr<std::byte*[]>;

  const size_t stride_;
  const unsigned shift_;
  const uint64_t mask_;
  std::atomic<std::byte**> table_ = nullptr;
  std::atomic<uint64_t> capacity_ = 0;

  std::mutex mutex_;  // guards all below
  std::vector<AlignedBuffer> chunks_;
  std::vector<Table> tables_;  // the last is the current one; a reader may still hold an earlier one
  size_t table_size_ = 0;
};

}  // namespace lamina
