// The ids of a call: an int64 array, or a sequence of str.
#pragma once

#include <optional>
#include <vector>

#include "bindings/arrays.h"
#include "segment/record.h"

namespace lamina {

class IdSequence {
 public:
  IdSequence() = default;
  explicit IdSequence(const py::object& ids);

  size_t size() const { return view().size(); }
  // As long as this lives. Needs no GIL.
  Ids view() const { return {kind_, ints_, strings_}; }
  // The same for a collection of that kind, or of none yet: TypeError for the other, unless there are no ids.
  Ids view(std::optional<IdKind> kind) const;

 private:
  py::object keep_;  // the array, or a tuple of str
  IdKind kind_ = IdKind::kInt;
  std::span<const int64_t> ints_;
  std::vector<std::string_view> strings_;
};

const char* name_of(IdKind kind);    // "int", "str"
py::object to_python(const Id& id);  // CorruptionError for a string that is not UTF-8

}  // namespace lamina
