// The versions of one collection that can still be had, and opening one of them: from the older roots that are left,
// the logs that they name, and tags. FORMAT.md, "History", has the rule.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/loading.h"
#include "store/store.h"

namespace lamina {

// What a handle knows of its store now.
struct KnownState {
  StoredRoot newest;     // held
  uint64_t log_end = 0;  // how far the root's log counts
  uint64_t version = 0;
};

// A collection as it was, opened for itself. What it needs is not removed as long as the pin is held.
struct PastState {
  std::shared_ptr<CollectionState> collection;
  std::shared_ptr<const void> pin;
};

// One thread. Reads files, and touches nothing that the handle shows.
class History {
 public:
  // Of the collection that `live` is the newest snapshot of.
  History(OpenFiles& files, const RootStore& roots, KnownState known, uint64_t collection,
          std::shared_ptr<const Snapshot> live);

  std::vector<VersionInfo> versions() const;  // ascending; the newest is the last
  // None: `wanted` is the newest. NotFoundError says which ones can be had.
  std::optional<PastState> find(const VersionRef& wanted) const;
  std::shared_ptr<const Snapshot> snapshot(const VersionRef& wanted) const;

 private:
  std::vector<StoredRoot> kept_roots() const;  // ascending, held: the last with each manifest of the collection
  const Root::Collection* entry_in(const Root& root) const;
  LoadedLog log_of(const Root& root) const;
  std::optional<PastState> at_version(uint64_t version) const;
  PastState at_tag(const Root::Tag& tag) const;
  PastState replayed(StoredRoot stored, uint64_t version) const;
  uint64_t version_at(int64_t time_us) const;
  int64_t time_of(uint64_t version) const;
  [[noreturn]] void refuse(const std::string& wanted) const;

  OpenFiles& files_;
  const RootStore& roots_;
  const KnownState known_;
  const uint64_t id_;
  const std::shared_ptr<const Snapshot> live_;
};

}  // namespace lamina
