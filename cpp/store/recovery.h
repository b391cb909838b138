// Opening a store to write to it: making a new one, or finding out how the last writer left it.
#pragma once

#include <memory>

#include "store/ledger.h"
#include "store/loading.h"

namespace lamina {

struct Recovered {
  std::unique_ptr<Ledger> ledger;
  Collections collections;  // shown
  Recovery report;
};

// The lock is the caller's; no root is there yet.
Recovered begin_store(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock);
// A root is there. CorruptionError, FormatVersionError, StorageError.
Recovered recover(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock);

}  // namespace lamina
