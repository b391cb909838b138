// NumPy arrays in and out. Everything here runs with the GIL held.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codes/metric.h"
#include "index/vector_set.h"

namespace lamina {

namespace py = pybind11;

using Int64Array = py::array_t<int64_t, py::array::c_style>;

template <class T>
std::span<const T> span_of(const py::array_t<T, py::array::c_style>& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

// Rows of vectors or queries in somebody's array, which the caller keeps alive: float32, or packed bits.
struct VectorRows {
  const void* data = nullptr;
  size_t count = 0;
  size_t width = 0;     // elements of a row: dim, or dim / 8 bytes
  bool single = false;  // from a 1-D array
};

// The rows of a C-contiguous, aligned, native array of the dtype that `metric` takes, 1-D or 2-D; none for all else.
std::optional<VectorRows> rows_of(const py::handle& object, Metric metric);
// As rows_of, 2-D, and TypeError instead of none.
VectorRows vectors_of(const py::handle& object, Metric metric);

// Throw DimensionMismatchError, or InvalidVectorError naming the first row that is not finite (vectors: once stored).
void check_vectors(const VectorRows& rows, const VectorSpec& spec);
void check_query(const VectorRows& rows, const VectorSpec& spec);

// An empty array of n rows as wide as the vectors of `spec`: float32, or packed bits.
py::array new_vectors(size_t n, const VectorSpec& spec);
// One stored vector of `view` into a row of such an array.
void read_vector(const View& view, View::RowRef where, void* out);

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

}  // namespace lamina
