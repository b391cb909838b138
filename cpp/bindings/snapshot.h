// Collection and Snapshot as Python has them: with the store that they are of.
#pragma once

#include <memory>

#include "bindings/open_store.h"

namespace lamina {

struct PythonCollection {
  std::shared_ptr<OpenStore> open;
  std::shared_ptr<const Collection> collection;
};

struct PythonSnapshot {
  std::shared_ptr<OpenStore> open;
  std::shared_ptr<const Snapshot> snapshot;
};

// The methods of a snapshot that narrow it.
void bind_filter(pybind11::module_& m, pybind11::class_<PythonSnapshot>& snapshot);

}  // namespace lamina
