// A sealed set of rows as the searcher sees it: views over columns that somebody else owns (a mapped segment, or
// buffers of this process). Rows are numbered 0 .. rows-1 in the order of the file, which is not the order of rids.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codes/i4.h"
#include "codes/i8.h"
#include "codes/metric.h"

namespace lamina {

inline constexpr uint32_t kNoRow = 0xFFFFFFFFu;

// What a stored vector was made from, and when. `content_hash` is all zero where nobody said.
struct Provenance {
  std::array<uint8_t, 16> content_hash{};
  int64_t embedded_at_us = 0;
};
static_assert(sizeof(Provenance) == 24);

// The graph. Level 0 has `degree` slots a row, padded with kNoRow behind the last neighbour; the first may name the
// row's twin, which is the same to the byte (index/linker.h). The rows of level >= 1 ("upper" rows) are numbered
// compactly, highest level first, so that level l is the prefix [0, upper_counts[l-1]).
struct GraphView {
  uint32_t degree = 0;                     // slots a row on level 0 (2m)
  const uint32_t* level0 = nullptr;        // rows x degree row numbers
  uint32_t upper_degree = 0;               // slots an upper row on each level >= 1 (m)
  std::span<const uint32_t> upper_counts;  // upper rows on level 1, 2, ...; empty: a graph of one level
  const uint32_t* upper = nullptr;         // level 1's lists, then level 2's, ...: compact numbers, kNoRow-padded
  std::span<const uint32_t> upper_rows;    // compact number -> row; the entry is compact number 0
  uint32_t entry = kNoRow;                 // row where the search begins; kNoRow: no graph (flat)
};

// What this part measured on itself: for a k, the recall that each ef reached on held-out rows. Ascending in ef. It
// speaks for queries whose k-th neighbour is no farther than that of nine in ten of these.
struct Calibration {
  struct Point {
    uint32_t k;
    uint32_t ef;
    float recall;
    float far;  // the distance to that neighbour, of a query of length 1 by inner product; the same for all of one k
  };
  std::vector<Point> points;  // empty: never measured
  // The least breadth expected to reach `recall` for `k`; max(64, 2k) where nothing was measured.
  uint32_t ef_for(float recall, uint32_t k) const;
  // Point::far, between the k that were measured and beyond them; infinity where fewer than two were.
  float far_for(double k) const;
};

// Rows of one width, of which only the first may be touched in place: for the others there is no memory, and they are
// read when they are needed. Any thread.
class PagedColumn {
 public:
  PagedColumn(const std::byte* first, size_t stride) : first_(first), stride_(stride) {}
  virtual ~PagedColumn() = default;
  PagedColumn(const PagedColumn&) = delete;
  PagedColumn& operator=(const PagedColumn&) = delete;

  const std::byte* in_place(uint32_t row) const { return first_ + size_t{row} * stride_; }
  size_t stride() const { return stride_; }
  uint32_t rows_in_place() const { return rows_in_place_.load(std::memory_order_relaxed); }
  virtual void read(uint32_t row, uint32_t count, std::byte* out) const = 0;  // CorruptionError

 protected:
  std::atomic<uint32_t> rows_in_place_ = 0;

 private:
  const std::byte* const first_;
  const size_t stride_;
};

// The columns of a part that searches are not to touch in place; null where the part has none of the kind.
struct Paging {
  const PagedColumn* vectors = nullptr;
  const PagedColumn* codes = nullptr;
  const PagedColumn* coarse_codes = nullptr;
  const PagedColumn* neighbour_codes = nullptr;
  const PagedColumn* level0 = nullptr;
};

struct Part {
  uint32_t rows = 0;
  const std::byte* vectors = nullptr;    // rows x vector_bytes, as given, rounded to the dtype
  const float* inverse_norms = nullptr;  // cosine only: 1/|x|, 0 for the zero vector
  const uint64_t* rids = nullptr;        // one live row a rid at most in a whole VectorSet
  const uint32_t* rid_order = nullptr;   // row numbers by ascending (rid, row)
  const int64_t* ids = nullptr;          // integer ids; null where ids are strings
  const Provenance* provenance = nullptr;
  const int8_t* codes = nullptr;  // kI8: rows x code_stride; else null
  size_t code_stride = 0;         // bytes; a multiple of 64
  I8Params i8;
  const uint8_t* coarse_codes = nullptr;  // rows x i4_stride(), of the codes; null: the graph is walked on these
  I4Params i4;
  const std::byte* neighbour_codes = nullptr;  // rows x neighbour_stride(); null: the graph is walked without
  GraphView graph;
  Calibration calibration;
  const Paging* paging = nullptr;  // null: there is memory for all of it

  // Called before the first use of, respectively, the rids and their order, everything but the raw vectors, and the raw
  // vector of one row; and between reading any of it and believing what was read. Null where the bytes are this
  // process's own. Throw CorruptionError. Thread-safe, cheap after the first call.
  struct Guard {
    virtual ~Guard() = default;
    virtual const uint32_t* check_rids() const = 0;  // the order to go by: made in memory where the file's is damaged
    virtual void check_index() const = 0;
    virtual void check_vectors(uint32_t first_row, uint32_t count) const = 0;
    virtual void require_whole() const = 0;
  };
  const Guard* guard = nullptr;
  std::shared_ptr<const void> owner;  // keeps all of the above alive
  // Not null: this is that part, of which some columns were copied to other memory; all else is of it still.
  std::shared_ptr<const Part> original;
  std::string name;  // for messages: the file, or "memory"

  const uint32_t* checked_order() const { return guard == nullptr ? rid_order : guard->check_rids(); }
};

}  // namespace lamina
