#include "bindings/ids.h"

#include <stdexcept>
#include <variant>

#include "base/error.h"

namespace lamina {

IdSequence::IdSequence(const py::object& ids) {
  if (py::isinstance<py::array>(ids)) {
    if (!Int64Array::check_(ids)) throw py::type_error("ids: a C-contiguous array of int64, or a sequence of str");
    const auto array = py::reinterpret_borrow<Int64Array>(ids);
    if (array.ndim() != 1) throw std::invalid_argument("ids are 1-D");
    ints_ = span_of(array);
    keep_ = array;
    return;
  }
  const py::tuple all(ids);
  strings_.reserve(all.size());
  for (const py::handle id : all) {
    Py_ssize_t length = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(id.ptr(), &length);
    if (text == nullptr) throw py::error_already_set();
    strings_.emplace_back(text, static_cast<size_t>(length));
  }
  kind_ = IdKind::kString;
  keep_ = all;
}

Ids IdSequence::view(std::optional<IdKind> kind) const {
  if (!kind || *kind == kind_) return view();
  if (size() == 0) return {*kind, {}, {}};
  throw py::type_error(std::string("ids of this collection are ") + name_of(*kind) + ", and these are " +
                       name_of(kind_));
}

const char* name_of(IdKind kind) { return kind == IdKind::kInt ? "int" : "str"; }

py::object to_python(const Id& id) {
  if (const auto* number = std::get_if<int64_t>(&id)) return py::int_(*number);
  const auto text = std::get<std::string_view>(id);
  PyObject* const decoded = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
  if (decoded == nullptr) {
    PyErr_Clear();
    throw CorruptionError("an id", 0, "UTF-8", "other bytes");
  }
  return py::reinterpret_steal<py::object>(decoded);
}

}  // namespace lamina
