// Collection and Snapshot as Python has them: with the store that they are of.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <limits>
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

// Records of a snapshot as Python names them.
using Refs = pybind11::array_t<uint64_t, pybind11::array::c_style>;
inline constexpr uint64_t kNoRef = std::numeric_limits<uint64_t>::max();

// Refs come from outside: IndexError for one that no record of this view can have.
RecordRef from_ref(const RecordView& view, uint64_t ref);

// The methods of a snapshot that narrow it.
void bind_filter(pybind11::module_& m, pybind11::class_<PythonSnapshot>& snapshot);

}  // namespace lamina
