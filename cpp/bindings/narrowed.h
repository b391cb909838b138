// Snapshots that filters have narrowed, kept so that a filter that comes again costs a look-up.
#pragma once

#include <cstdint>
#include <list>
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
  using Key = std::pair<const Snapshot*, std::string>;
  struct Entry {
    Key key;
    std::weak_ptr<const Snapshot> of;
    std::shared_ptr<const Snapshot> narrowed;
    uint64_t bytes;
  };
  using Entries = std::list<Entry>;

  void drop(Entries::iterator entry, Entries& gone);
  bool knows(const std::shared_ptr<const Snapshot>& of) const;

  std::mutex mutex_;  // guards all below
  Entries entries_;   // the least recently used first
  std::map<Key, Entries::iterator> by_key_;
  uint64_t bytes_ = 0;
};

}  // namespace lamina
