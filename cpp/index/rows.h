// The rows of a sealed part and those of a head, under one face for the code that searches both.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "base/bitmap.h"
#include "base/buffer.h"
#include "base/row_index.h"
#include "codes/metric.h"
#include "index/part.h"
#include "index/vector_set.h"
#include "kernels/kernels.h"

namespace lamina {

// Which rows a view shows.
struct Live {
  const Bitmap* deleted = nullptr;  // null: none
  uint32_t rows = 0;

  Live(const Bitmap& bitmap, uint32_t row_count) : deleted(bitmap.count() == 0 ? nullptr : &bitmap), rows(row_count) {}
  bool operator()(uint32_t row) const { return row < rows && (deleted == nullptr || !deleted->test(row)); }
  uint64_t count() const { return rows - (deleted == nullptr ? 0 : deleted->count()); }
  bool has_most() const { return count() >= rows / 4 * 3; }  // of the rows

  // Those of the 64 rows from `first` on, bit r being row first + r. REQUIRES: first is a multiple of 64, below `rows`.
  uint64_t word(uint32_t first) const {
    const Bitmap::Words* chunk = deleted == nullptr ? nullptr : deleted->chunk(first / Bitmap::kChunkRows);
    const uint64_t bits = chunk == nullptr ? ~uint64_t{0} : ~(*chunk)[first % Bitmap::kChunkRows / 64];
    return rows - first >= 64 ? bits : bits & ((uint64_t{1} << (rows - first)) - 1);
  }
  // Calls fn(first, bits) for each 64 rows of which any is shown, ascending: time goes by what is shown, not by rows.
  template <class Fn>
  void for_each_word(Fn&& fn) const {
    constexpr uint32_t kChunk = Bitmap::kChunkRows;
    for (uint32_t begin = 0; begin < rows; begin += kChunk) {
      const uint32_t end = begin + std::min(kChunk, rows - begin);
      if (deleted != nullptr && deleted->count_in_chunk(begin / kChunk) == end - begin) continue;
      for (uint32_t first = begin; first < end; first += 64) {
        if (const uint64_t bits = word(first); bits != 0) fn(first, bits);
      }
    }
  }
  template <class Fn>
  void for_each(Fn&& fn) const {
    for_each_word([&](uint32_t first, uint64_t bits) {
      for (; bits != 0; bits &= bits - 1) fn(first + static_cast<uint32_t>(std::countr_zero(bits)));
    });
  }
  // The first from `row` on; kNoRow if there is none.
  uint32_t next(uint32_t row) const {
    for (uint32_t first = row / 64 * 64; first < rows; first += 64) {
      const uint64_t bits = word(first) & (first < row ? ~uint64_t{0} << (row - first) : ~uint64_t{0});
      if (bits != 0) return first + static_cast<uint32_t>(std::countr_zero(bits));
    }
    return kNoRow;
  }
};

// Where the vectors of some rows are, and the memory for those that had to be read; kept from one search to the next.
struct Gathered {
  std::vector<const std::byte*> vectors;
  AlignedBuffer read;
};

// A sealed part. A view over it: cheap to make, outlived by the part.
class SealedRows {
 public:
  SealedRows(const VectorSpec& spec, const Part& part)
      : part_(part),
        paged_(part.paging == nullptr ? nullptr : part.paging->vectors),
        vector_bytes_(spec.vector_bytes()) {}

  size_t vector_bytes() const { return vector_bytes_; }
  // In place, be there memory for it or not, and unchecked: see check().
  const std::byte* vector(uint32_t row) const { return part_.vectors + size_t{row} * vector_bytes_; }
  float inverse_norm(uint32_t row) const { return part_.inverse_norms == nullptr ? 0 : part_.inverse_norms[row]; }
  uint64_t rid(uint32_t row) const { return part_.rids[row]; }
  int64_t id(uint32_t row) const { return part_.ids == nullptr ? 0 : part_.ids[row]; }
  Provenance provenance(uint32_t row) const {
    return part_.provenance == nullptr ? Provenance{} : part_.provenance[row];
  }

  bool has_ids() const { return part_.ids != nullptr; }

  // To be called before vector() of these rows. Throws CorruptionError.
  void check(uint32_t first_row, uint32_t count) const {
    if (part_.guard != nullptr) part_.guard->check_vectors(first_row, count);
  }

  void prefetch(uint32_t row) const { lamina::prefetch(vector(row), vector_bytes_); }
  // The vectors of these rows, checked: valid until `into` is used again. CorruptionError.
  const std::byte* const* gather(std::span<const uint32_t> rows, Gathered& into) const {
    into.vectors.resize(rows.size());
    for (size_t end = 0; end < rows.size();) {
      const size_t begin = end++;
      while (end < rows.size() && rows[end] == rows[end - 1] + 1) ++end;
      const auto count = static_cast<uint32_t>(end - begin);
      check(rows[begin], count);
      const std::byte* first = vector(rows[begin]);
      if (paged_ != nullptr && rows[begin] + count > paged_->rows_in_place()) {
        if (into.read.size() < rows.size() * vector_bytes_) into.read = AlignedBuffer(rows.size() * vector_bytes_);
        std::byte* const out = into.read.data() + begin * vector_bytes_;
        paged_->read(rows[begin], count, out);
        first = out;
      }
      for (size_t i = begin; i < end; ++i) into.vectors[i] = first + (i - begin) * vector_bytes_;
    }
    return into.vectors.data();
  }
  void copy(uint32_t row, std::byte* out) const {
    check(row, 1);
    if (paged_ != nullptr && row >= paged_->rows_in_place()) return paged_->read(row, 1, out);
    std::memcpy(out, vector(row), vector_bytes_);
  }

 private:
  const Part& part_;
  const PagedColumn* const paged_;  // null: all are in place
  const size_t vector_bytes_;
};

// The columns of a head. One writer appends; readers look at the rows that their view sees, which never change.
class HeadRows {
 public:
  explicit HeadRows(const VectorSpec& spec);

  // Writer. The rows become [size(), size() + rows.count) and size() moves past them. InvalidVectorError (a component
  // beyond float16) leaves all as it was; after std::bad_alloc the columns are whole() no more and take no more rows.
  void append(const NewRows& rows, int threads);
  // The same with rows of another head or part, as they are stored.
  template <class Rows>
  void append_copies(const Rows& from, std::span<const uint32_t> chosen, int threads);
  uint32_t size() const { return size_; }
  bool whole() const { return whole_; }

  size_t vector_bytes() const { return spec_.vector_bytes(); }
  const std::byte* vector(uint32_t row) const { return vectors_.row(row); }
  float inverse_norm(uint32_t row) const { return tag(row).inverse_norm; }
  uint64_t rid(uint32_t row) const { return tag(row).rid; }
  int64_t id(uint32_t row) const { return tag(row).id; }
  Provenance provenance(uint32_t row) const { return tag(row).provenance; }

  void prefetch(uint32_t row) const { lamina::prefetch(vector(row), vector_bytes()); }
  const std::byte* const* gather(std::span<const uint32_t> rows, Gathered& into) const {
    into.vectors.clear();
    for (const uint32_t row : rows) into.vectors.push_back(vector(row));
    return into.vectors.data();
  }
  void copy(uint32_t row, std::byte* out) const { std::memcpy(out, vector(row), vector_bytes()); }

  bool has_ids() const { return has_ids_.load(std::memory_order_relaxed); }

  // The newest row of this rid that is live; kNoRow if there is none.
  uint32_t find(uint64_t rid, const Live& live) const;

 private:
  struct Tag {
    uint64_t rid;
    int64_t id;
    Provenance provenance;
    float inverse_norm;
  };
  // Makes room for `count` rows, lets `write(i, vector, tag)` fill them on several threads, and takes them in.
  void append_rows(size_t count, int threads, const std::function<void(size_t, std::byte*, Tag*)>& write);
  const Tag& tag(uint32_t row) const { return *reinterpret_cast<const Tag*>(tags_.row(row)); }

  const VectorSpec spec_;
  ChunkedRows vectors_;
  ChunkedRows tags_;
  RowIndex by_rid_;
  std::atomic<bool> has_ids_ = false;
  uint32_t size_ = 0;  // writer only
  bool whole_ = true;  // writer only
};

template <class Rows>
void HeadRows::append_copies(const Rows& from, std::span<const uint32_t> chosen, int threads) {
  append_rows(chosen.size(), threads, [&](size_t i, std::byte* vector, Tag* tag) {
    const uint32_t row = chosen[i];
    from.copy(row, vector);
    *tag = {from.rid(row), from.id(row), from.provenance(row), from.inverse_norm(row)};
  });
  if (from.has_ids()) has_ids_.store(true, std::memory_order_relaxed);
}

}  // namespace lamina
