// Rows of many Arrow arrays at once, which Arrow itself would join first.
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/arrow.h"
#include "bindings/bindings.h"

namespace lamina {
namespace {

using namespace py::literals;

constexpr const char* kSchemaCapsule = "arrow_schema";
constexpr const char* kArrayCapsule = "arrow_array";

bool same_type(const ArrowSchema& a, const ArrowSchema& b) {
  if (std::string_view(a.format) != b.format || a.n_children != b.n_children) return false;
  for (int64_t i = 0; i < a.n_children; ++i) {
    if (!same_type(*a.children[i], *b.children[i])) return false;
  }
  return true;
}

template <class T>
T* contents(const py::handle& capsule, const char* name) {
  auto* const held = static_cast<T*>(PyCapsule_GetPointer(capsule.ptr(), name));
  if (held == nullptr) throw py::error_already_set();
  return held;
}

struct Release {
  void operator()(ArrowArray* array) const {
    if (array->release != nullptr) array->release(array);  // else it has been moved away
    delete array;
  }
};
using OwnArray = std::unique_ptr<ArrowArray, Release>;

py::capsule to_capsule(OwnArray array) {
  py::capsule capsule(array.get(), kArrayCapsule, [](PyObject* object) {
    OwnArray(static_cast<ArrowArray*>(PyCapsule_GetPointer(object, kArrayCapsule)));
  });
  array.release();
  return capsule;
}

py::tuple take_rows(const py::sequence& arrays, const Int64Array& which, const Int64Array& rows) {
  const ArrowRows wanted{span_of(which), span_of(rows)};
  if (which.size() != rows.size()) throw std::invalid_argument("as many arrays as rows");
  std::vector<py::tuple> exported;  // keeps them
  std::vector<const ArrowArray*> from;
  for (const py::object array : arrays) {
    exported.emplace_back(array.attr("__arrow_c_array__")());
    from.push_back(contents<ArrowArray>(exported.back()[1], kArrayCapsule));
  }
  if (from.empty()) throw std::invalid_argument("no arrays to take rows of");
  const auto* const schema = contents<ArrowSchema>(exported[0][0], kSchemaCapsule);
  for (const py::tuple& one : exported) {
    if (!same_type(*schema, *contents<ArrowSchema>(one[0], kSchemaCapsule))) {
      throw py::type_error("arrays of one type, not of several");
    }
  }
  OwnArray taken(new ArrowArray{});
  {
    const py::gil_scoped_release released;
    for (size_t i = 0; i < wanted.rows.size(); ++i) {
      const bool there = wanted.which[i] >= 0 && static_cast<size_t>(wanted.which[i]) < from.size() &&
                         wanted.rows[i] >= 0 && wanted.rows[i] < from[static_cast<size_t>(wanted.which[i])]->length;
      if (!there) throw std::out_of_range("row " + std::to_string(wanted.rows[i]) + " is not there");
    }
    *taken = take(*schema, from, wanted);
  }
  return py::make_tuple(exported[0][0], to_capsule(std::move(taken)));
}

}  // namespace

void bind_take(py::module_& m) {
  m.def("take", &take_rows, "arrays"_a, "which"_a, "rows"_a,
        "Row rows[i] of arrays[which[i]], for each i: capsules of schema and array, as `__arrow_c_array__` returns "
        "them.");
}

}  // namespace lamina
