// One search of a view, from a Python query to Python arrays: shared by Index and Snapshot.
#pragma once

#include <optional>

#include "bindings/arrays.h"
#include "bindings/ids.h"

namespace lamina {

// Where ids are strings: names the rows that were found. Called without the GIL.
struct IdNames {
  virtual ~IdNames() = default;
  virtual Id name_of(uint64_t rid) const = 0;
};

struct SearchArguments {
  py::object query;
  py::object k;
  std::optional<int64_t> ef;
  std::optional<float> recall;
  bool exact = false;
  int threads = 0;
  std::optional<float> radius;
  bool explain = false;
  const TieOrder* ties = nullptr;
  const IdNames* names = nullptr;  // null: ids are integers
  const char* refusal = nullptr;   // what a query that needs no conversion is refused with (ModelMismatchError)
};

// (ids, distances, counts, steps): counts are None of a 1-D query, and so are the steps unless they are to be
// explained. None for a query that must be converted.
std::optional<py::tuple> search(const View& view, const SearchArguments& arguments);

// Reads and checks everything that a search of the view may touch. CorruptionError.
void warm(const View& view);

}  // namespace lamina
