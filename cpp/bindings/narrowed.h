// Snapshots that filters have narrowed, kept so that a filter that comes again costs a look-up.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "store/store.h"

namespace lamina {

// By what was narrowed and the filter's key. None keeps the snapshot that it was made of, and goes once that is gone;
// of the others the least recently used go, as far as room asks for it. Any thread.
class NarrowedSnapshots {
 public:
  std::shared_ptr<const Snapshot> find(const std::shared_ptr<const Snapshot>& of, const std::string& key);
  void keep(const std::shared_ptr<const Snapshot>& of, const std::string& key,
            std::shared_ptr<const Snapshot> narrowed);

 private:
  struct Entry {
    std::weak_ptr<const Snapshot> of;
    std::shared_ptr<const Snapshot> narrowed;
    uint64_t bytes;
    uint64_t used;
  };

  std::mutex mutex_;  // guards all below
  std::map<std::pair<const Snapshot*, std::string>, Entry> entries_;
  uint64_t bytes_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace lamina
