#include "bindings/codec.h"

#include <new>
#include <stdexcept>
#include <string_view>

#include "bindings/arrays.h"

namespace lamina {
namespace {

// Never the mapping itself: what Arrow has validated must not change while Arrow looks at it.
py::bytes copy_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

[[noreturn]] void rethrow(const py::error_already_set& error) {
  if (error.matches(PyExc_MemoryError)) throw std::bad_alloc();
  if (error.matches(PyExc_Exception)) throw std::invalid_argument(py::str(error.value()));
  throw error;  // an interrupt, say
}

}  // namespace

void PythonCodec::check(Bytes block, uint32_t rows) const {
  const py::gil_scoped_acquire acquired;
  try {
    codec_.attr("check")(copy_of(block), rows);
  } catch (const py::error_already_set& error) {
    rethrow(error);
  }
}

std::vector<std::byte> PythonCodec::concat_take(std::span<const Slice> slices) const {
  const py::gil_scoped_acquire acquired;
  py::list parts;
  for (const Slice& slice : slices) parts.append(py::make_tuple(copy_of(slice.block), to_array(slice.rows)));
  const py::bytes joined = codec_.attr("concat_take")(parts);
  const Bytes raw = as_bytes(std::string_view(joined));
  return {raw.begin(), raw.end()};
}

}  // namespace lamina
