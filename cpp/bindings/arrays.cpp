#include "bindings/arrays.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "kernels/kernels.h"

namespace lamina {
namespace {

constexpr uint32_t kInfinity = 0x7F800000u;             // as float32 bits
constexpr uint32_t kRoundsToF16Infinity = 0x477FF000u;  // 65520: the least that float16 cannot hold

// Whether each |x| is below `limit`, both as bits: NaN is above infinity.
bool all_below(const float* x, size_t n, uint32_t limit) {
  uint32_t over = 0;
  for (size_t i = 0; i < n; ++i) over |= static_cast<uint32_t>((std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu) >= limit);
  return over == 0;
}

[[noreturn]] void refuse_value(const float* row, size_t width, uint32_t limit, const std::string& where) {
  size_t i = 0;
  while (i < width && all_below(row + i, 1, limit)) ++i;
  const uint32_t magnitude = std::bit_cast<uint32_t>(row[i]) & 0x7FFFFFFFu;
  const char* const what = magnitude > kInfinity    ? "NaN"
                           : magnitude == kInfinity ? "infinite"
                                                    : "beyond float16 (at most 65504)";
  throw InvalidVectorError(where + " is " + what + " at element " + std::to_string(i));
}

void check(const VectorRows& rows, const VectorSpec& spec, const char* what, uint32_t limit) {
  const bool bits = spec.metric == Metric::kHamming;
  const size_t width = bits ? spec.dim / 8 : spec.dim;
  if (rows.width != width) {
    const std::string unit = bits ? " bytes of packed bits" : "";
    throw DimensionMismatchError(std::string(what) + " of dimension " + std::to_string(rows.width) + unit + ", where " +
                                 std::to_string(width) + unit + " is stored");
  }
  if (bits) return;
  const auto* row = static_cast<const float*>(rows.data);
  for (size_t i = 0; i < rows.count; ++i, row += width) {
    if (all_below(row, width, limit)) continue;
    refuse_value(row, width, limit, std::string(what) + (rows.single ? "" : " " + std::to_string(i)));
  }
}

}  // namespace

std::optional<VectorRows> rows_of(const py::handle& object, Metric metric) {
  // No subclass: what lies under a mask is no value.
  if (static_cast<const void*>(Py_TYPE(object.ptr())) != py::detail::npy_api::get().PyArray_Type_) return std::nullopt;
  const auto array = py::reinterpret_borrow<py::array>(object);
  const bool bits = metric == Metric::kHamming;
  const auto dtype = array.dtype();
  if (dtype.num() != (bits ? py::dtype::num_of<uint8_t>() : py::dtype::num_of<float>())) return std::nullopt;
  constexpr int kPlain = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  if ((array.flags() & kPlain) != kPlain || dtype.byteorder() == '>') return std::nullopt;
  if (array.ndim() != 1 && array.ndim() != 2) return std::nullopt;
  const bool single = array.ndim() == 1;
  return VectorRows{array.data(), single ? size_t{1} : static_cast<size_t>(array.shape(0)),
                    static_cast<size_t>(array.shape(array.ndim() - 1)), single};
}

VectorRows vectors_of(const py::handle& object, Metric metric) {
  const auto rows = rows_of(object, metric);
  if (!rows || rows->single) throw py::type_error("vectors: a C-contiguous 2-D array of float32, or of packed uint8");
  return *rows;
}

void check_vectors(const VectorRows& rows, const VectorSpec& spec) {
  const py::gil_scoped_release released;
  check(rows, spec, "vector", spec.dtype == DType::kF16 ? kRoundsToF16Infinity : kInfinity);
}

void check_query(const VectorRows& rows, const VectorSpec& spec) { check(rows, spec, "query", kInfinity); }

py::array new_vectors(size_t n, const VectorSpec& spec) {
  if (spec.metric == Metric::kHamming) return py::array_t<uint8_t>({n, size_t{spec.dim} / 8});
  return py::array_t<float>({n, size_t{spec.dim}});
}

void read_vector(const View& view, View::RowRef where, void* out) {
  if (view.spec.dtype != DType::kF16) return view.vector_at(where, static_cast<std::byte*>(out));
  thread_local std::vector<f16> stored;
  stored.resize(view.spec.dim);
  view.vector_at(where, reinterpret_cast<std::byte*>(stored.data()));
  kernels().f16_to_f32(stored.data(), static_cast<float*>(out), stored.size());
}

}  // namespace lamina
