// An open store with what must outlive it: shared by every handle that Python has on it.
#pragma once

#include <memory>
#include <shared_mutex>
#include <string>

#include "bindings/codec.h"
#include "bindings/hasher.h"
#include "bindings/narrowed.h"
#include "store/store.h"

namespace lamina {

// Destroyed with the GIL held.
struct OpenStore {
  OpenStore(const std::string& path, const StoreOptions& options, pybind11::object python_codec);  // without the GIL
  ~OpenStore();
  OpenStore(const OpenStore&) = delete;
  OpenStore& operator=(const OpenStore&) = delete;

  const PythonHasher hasher;
  const PythonCodec codec;
  std::shared_ptr<Store> store;
  // Held shared by a write, whose vectors were measured against the collection of that name; alone by what changes of
  // what model or dimension that is: create, drop, rename, branch, rollback, migration.
  std::shared_mutex structure;
  NarrowedSnapshots narrowed;
};

// The file system for stores: the system's own, or what a test has put in its place.
FileSystem& file_system();

}  // namespace lamina
