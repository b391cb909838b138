// The levels of a sealed part's graph, for a walk. The numbers come from a file: none is used before it is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "index/paged_rows.h"
#include "index/part.h"
#include "kernels/kernels.h"

namespace lamina {

[[noreturn]] inline void refuse_link(const Part& part, uint32_t found, uint32_t rows) {
  throw CorruptionError(part.name, 0, "a link to a row below " + std::to_string(rows), std::to_string(found));
}

class SealedLevel0 {
 public:
  explicit SealedLevel0(const Part& part)
      : part_(part), links_(part.graph.level0), slots_(part.graph.degree), rows_in_place_(part.rows) {
    if (part.paging == nullptr) return;
    rows_in_place_ = part.paging->level0->rows_in_place();
    paged_.emplace(*part.paging->level0);
  }

  uint32_t rows() const { return part_.rows; }
  size_t slots() const { return slots_; }
  // Valid until a few more were asked for.
  const uint32_t* list(uint32_t row) const {
    return row < rows_in_place_ ? in_place(row) : reinterpret_cast<const uint32_t*>(paged_->row(row));
  }
  uint32_t load(const uint32_t* slot) const { return *slot; }
  void beyond(uint32_t found) const { refuse_link(part_, found, part_.rows); }
  void prefetch(uint32_t row) const { lamina::prefetch(in_place(row), slots_ * sizeof(uint32_t)); }

 private:
  const uint32_t* in_place(uint32_t row) const { return links_ + size_t{row} * slots_; }

  const Part& part_;
  const uint32_t* const links_;
  const size_t slots_;
  uint32_t rows_in_place_;
  std::optional<PagedRows> paged_;
};

// Levels 1 and up, in the compact numbers of the upper rows.
class SealedUpper {
 public:
  // REQUIRES: 1 <= level <= part.graph.upper_counts.size().
  SealedUpper(const Part& part, size_t level) : part_(part), rows_(part.graph.upper_counts[level - 1]) {
    size_t before = 0;
    for (size_t l = 1; l < level; ++l) before += part.graph.upper_counts[l - 1];
    links_ = part.graph.upper + before * part.graph.upper_degree;
  }

  uint32_t rows() const { return rows_; }
  size_t slots() const { return part_.graph.upper_degree; }
  const uint32_t* list(uint32_t node) const { return links_ + size_t{node} * slots(); }
  uint32_t load(const uint32_t* slot) const { return *slot; }
  uint32_t row(uint32_t node) const {
    const uint32_t row = part_.graph.upper_rows[node];
    if (row >= part_.rows) refuse_link(part_, row, part_.rows);
    return row;
  }
  void beyond(uint32_t found) const { refuse_link(part_, found, rows_); }

 private:
  const Part& part_;
  const uint32_t rows_;
  const uint32_t* links_;
};

}  // namespace lamina
