#include "bindings/block.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "segment/record_segment.h"

namespace lamina {

namespace py = pybind11;
using namespace py::literals;

py::bytes Block::read(uint64_t offset, uint64_t size) const {
  const uint64_t begin = std::min<uint64_t>(offset, ref.bytes.size());
  const Bytes wanted = ref.bytes.subspan(begin, std::min<uint64_t>(size, ref.bytes.size() - begin));
  PyObject* const made = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(wanted.size()));
  if (made == nullptr) throw py::error_already_set();
  auto copy = py::reinterpret_steal<py::bytes>(made);
  const py::gil_scoped_release released;
  std::ranges::copy(wanted, reinterpret_cast<std::byte*>(PyBytes_AS_STRING(made)));
  if (ref.segment != nullptr) ref.segment->file().require_whole();
  return copy;
}

void Block::refuse(const std::string& found) const {
  if (ref.segment == nullptr) throw std::invalid_argument(found);
  refuse_block(*ref.segment, ref.bytes, found);
}

void bind_block(py::module_& m) {
  py::class_<Block>(m, "Block", "The sealed bytes of some records' columns, where they are kept.")
      .def("read", &Block::read, "offset"_a = 0, "size"_a = std::numeric_limits<uint64_t>::max(),
           "A copy of them, or of a piece of them. CorruptionError if they cannot be read any more.")
      .def("refuse", &Block::refuse, "found"_a,
           "Raises CorruptionError, with the place; ValueError for one of the head.")
      .def_property_readonly("key", [](const Block& self) { return self.ref.key; })
      .def_property_readonly("rows", [](const Block& self) { return self.ref.block_rows; });
}

}  // namespace lamina
