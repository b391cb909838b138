// The record codec that Python hands in, as the store calls it.
#pragma once

#include <pybind11/pybind11.h>

#include "store/record_codec.h"

namespace lamina {

// Takes the GIL for each call; destroyed with it held. What check() raises becomes std::invalid_argument; MemoryError
// becomes std::bad_alloc; all else crosses the store as it is.
class PythonCodec final : public RecordCodec {
 public:
  explicit PythonCodec(pybind11::object codec) : codec_(std::move(codec)) {}
  void check(Bytes block, uint32_t rows) const override;
  std::vector<std::byte> concat_take(std::span<const Slice> slices) const override;

 private:
  pybind11::object codec_;
};

}  // namespace lamina
