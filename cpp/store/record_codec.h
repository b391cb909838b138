// How a block of columns is read. To this core a block is sealed bytes with a row count; whoever opens a store hands
// in the codec (pyarrow in Python). Both calls may come from any thread that calls the store, never from a pool thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace lamina {

struct RecordCodec {
  // Rows `rows` of `block`, in that order.
  struct Slice {
    Bytes block;
    std::vector<uint32_t> rows;
  };

  virtual ~RecordCodec() = default;
  // Whole validation; throws std::invalid_argument with what is wrong. Called once a block a process, before first use.
  virtual void check(Bytes block, uint32_t rows) const = 0;
  // One block of all the slices' rows, in order; columns that a slice lacks are null in its rows.
  virtual std::vector<std::byte> concat_take(std::span<const Slice> slices) const = 0;
};

}  // namespace lamina
