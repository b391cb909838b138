// The rows of a paged column as a walk asks for them, one by one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "index/part.h"

namespace lamina {

// A row that is not in place is read, and stays where it is until kSlots more were. One thread.
class PagedRows {
 public:
  explicit PagedRows(const PagedColumn& column) : column_(column), rows_in_place_(column.rows_in_place()) {}

  const std::byte* row(uint32_t r) const { return r < rows_in_place_ ? column_.in_place(r) : read(r); }
  const std::byte* in_place(uint32_t r) const { return column_.in_place(r); }  // to be prefetched, at most
  size_t stride() const { return column_.stride(); }

 private:
  static constexpr size_t kSlots = 4;  // as many as are measured together

  [[gnu::noinline]] const std::byte* read(uint32_t r) const {
    constexpr size_t kLine = 64;
    const size_t room = (stride() + kLine - 1) / kLine * kLine;
    if (slots_.size() == 0) slots_ = AlignedBuffer(kSlots * room);
    std::byte* const slot = slots_.data() + next_ * room;
    next_ = (next_ + 1) % kSlots;
    column_.read(r, 1, slot);
    return slot;
  }

  const PagedColumn& column_;
  const uint32_t rows_in_place_;
  mutable AlignedBuffer slots_;
  mutable size_t next_ = 0;
};

}  // namespace lamina
