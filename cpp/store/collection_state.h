// One collection in this process: what its manifest names, opened, and what the log has added to it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "segment/manifest.h"
#include "segment/root.h"
#include "store/files.h"
#include "store/store.h"

namespace lamina {

// What users hold: the newest acknowledged snapshot, exchanged as a whole.
class CollectionHandle final : public Collection {
 public:
  explicit CollectionHandle(std::string name) : name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  std::shared_ptr<const Snapshot> snapshot() const override {
    const std::lock_guard lock(mutex_);
    return snapshot_;
  }
  bool dropped() const override { return dropped_.load(); }

  void show(std::shared_ptr<const Snapshot> snapshot) {
    const std::lock_guard lock(mutex_);
    snapshot_.swap(snapshot);
  }
  void drop() { dropped_.store(true); }

 private:
  const std::string name_;
  mutable std::mutex mutex_;  // held to copy a pointer, never for longer
  std::shared_ptr<const Snapshot> snapshot_;
  std::atomic<bool> dropped_ = false;
};

// One thread at a time. What the sets hold may be ahead of what the handle shows: it is shown once it is durable.
struct CollectionState {
  uint64_t id = 0;
  std::shared_ptr<const CollectionSpec> spec;
  std::unique_ptr<RecordSet> records;  // its parts are manifest.records, in order
  // Its parts are those of the first generation, in order, and then those in memory: of heads that are being sealed.
  std::unique_ptr<VectorSet> vectors;
  Manifest manifest;  // as published; `version`: frames up to it are in the segments
  FileRef manifest_ref;
  bool writable = true;     // false: a newer build forbids this one to replace the manifest
  uint64_t version = 0;     // the last that touched the collection
  uint64_t last_frame = 0;  // version of the last frame in the sets
  uint64_t next_rid = 0;
  std::shared_ptr<CollectionHandle> handle;

  const std::string& name() const { return handle->name(); }
  const Generation& served() const { return manifest.generations.front(); }
  Generation& served() { return manifest.generations.front(); }
  bool unsealed() const { return last_frame > manifest.version; }
  void show();  // the sets as they are, as the handle's snapshot
  void set_settings(std::string_view settings);
  void decide_id_kind(IdKind kind);  // unless it is decided
};

using Collections = std::map<uint64_t, std::shared_ptr<CollectionState>>;  // by id

// What `entry` of a root means, opened: structure and digests checked. CorruptionError, FormatVersionError.
std::shared_ptr<CollectionState> open_collection(OpenFiles& files, const Root::Collection& entry);
// A collection without rows, as its spec says. The manifest is still to be published.
std::shared_ptr<CollectionState> new_collection(uint64_t id, const std::string& name, const CollectionSpec& spec,
                                                uint64_t version);

}  // namespace lamina
