// The store as Python has it.
#pragma once

#include "bindings/bindings.h"
#include "bindings/open_store.h"

namespace lamina {

struct PythonStore {
  std::shared_ptr<OpenStore> open;

  Store& store() const { return *open->store; }
};

void bind_versions(pybind11::class_<PythonStore>& store);  // its methods for older versions
void bind_migration(pybind11::class_<PythonStore>& store);

}  // namespace lamina
