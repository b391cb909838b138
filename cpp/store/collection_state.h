// One collection in this process: what its manifest names and what the log has added to it, opened on first use.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/atomic_shared.h"
#include "segment/log_format.h"
#include "segment/manifest.h"
#include "segment/root.h"
#include "store/files.h"
#include "store/store.h"

namespace lamina {

struct CollectionState;

// What users hold: the newest acknowledged snapshot, exchanged as a whole, or a state that is opened when it is asked
// for one. Any thread; what is opened is had without a lock.
class CollectionHandle final : public Collection {
 public:
  explicit CollectionHandle(std::string name) : name_(std::move(name)) {}

  std::string name() const override {
    const std::lock_guard lock(mutex_);
    return name_;
  }
  std::shared_ptr<const Snapshot> snapshot() const override;
  std::shared_ptr<const Snapshot> opened() const override { return snapshot_.load(); }
  bool dropped() const override { return dropped_.load(); }

  void show(std::shared_ptr<const Snapshot> snapshot);
  void expect(const std::shared_ptr<CollectionState>& state);  // in place of what was shown
  // As show(), if it is this state that is expected.
  void show_expected(const CollectionState& state, std::shared_ptr<const Snapshot> snapshot);
  void drop() {
    dropped_.store(true);
    close();
  }
  void close() { expect(nullptr); }  // what is not opened by now never will be
  void rename(const std::string& name) {
    const std::lock_guard lock(mutex_);
    name_ = name;
  }

 private:
  AtomicShared<const Snapshot> snapshot_;  // changed under the mutex
  mutable std::mutex mutex_;               // guards both below; held to copy pointers or a name, never for longer
  std::string name_;
  std::weak_ptr<CollectionState>
      expected_;  // its owner's, which owns the handle too; none: shown, or the store is closed
  std::atomic<bool> dropped_ = false;
};

// Frames of a log that name a collection, and the mapping that they view.
struct LogFrames {
  std::shared_ptr<const Mapping> mapping;
  std::string file;
  std::vector<LogFrame> frames;
};

// Belongs to one thread at a time, but for open() and opened(), which any may call. What the sets hold may be ahead of
// what the handle shows: it is shown once it is durable.
struct CollectionState : std::enable_shared_from_this<CollectionState> {
  // Not opened: `entry` of a root, and what keeps its files from being removed until then, if anything must.
  CollectionState(OpenFiles& open_files, const Root::Collection& entry, std::shared_ptr<const void> pin);
  // Opened: without rows, as its spec says. The manifest is still to be published.
  CollectionState(uint64_t id, const std::string& name, const CollectionSpec& spec, uint64_t version);

  uint64_t id;
  FileRef manifest_ref;
  uint64_t version;         // the last that touched the collection
  int64_t time_us = 0;      // of that version
  uint64_t last_frame = 0;  // version of the last frame that was taken
  bool in_log = false;      // the log has frames of it
  std::shared_ptr<CollectionHandle> handle;

  std::string name() const { return handle->name(); }
  // Structure and digests are checked, and the frames that were taken applied, on the first call; then it is shown to
  // whoever expects it. After a failure it is not opened. CorruptionError, FormatVersionError.
  void open();
  void open_to_write();  // FormatVersionError too if a newer build forbids this one to replace the manifest
  bool opened() const { return opened_.load(); }
  // The frames behind those that it has: applied if it is opened, else when it will be. A failure leaves the sets half
  // done.
  void take(LogFrames frames);
  // A newer root has the same manifest.
  void go_on(const Root::Collection& entry, std::shared_ptr<const void> pin);
  void show();  // the sets as they are, as the handle's snapshot; or this state, to be opened

  // REQUIRES of all below: opened().
  std::shared_ptr<const CollectionSpec> spec;
  std::unique_ptr<RecordSet> records;  // its parts are manifest.records, in order
  // One a generation, in the manifest's order. The parts of each are its segments, in order, and then those in memory:
  // of heads that are being sealed.
  std::vector<std::unique_ptr<VectorSet>> vectors;
  Manifest manifest;  // as published; `version`: frames up to it are in the segments
  uint64_t next_rid = 0;

  const Generation& served() const { return manifest.generations.front(); }
  Generation& served() { return manifest.generations.front(); }
  VectorSet& served_vectors() const { return *vectors.front(); }
  std::optional<size_t> generation_of(const Fingerprint& fingerprint) const;
  // What the sets hold now, be it shown or not.
  std::shared_ptr<const Snapshot> snapshot() const;
  bool unsealed() const { return last_frame > manifest.version; }
  // These copies of parts of the served vectors take their place, and are shown, if this is one of `current` still.
  void place_copies(std::span<const std::shared_ptr<const Part>> copies,
                    const std::map<uint64_t, std::shared_ptr<CollectionState>>& current);
  void set_settings(std::string_view settings);
  void decide_id_kind(IdKind kind);  // unless it is decided

 private:
  void open_files();

  OpenFiles* const files_;
  std::mutex opening_;  // guards both below, and all above until it is opened
  std::vector<LogFrames> pending_;
  std::shared_ptr<const void> pin_;
  std::atomic<bool> opened_;
  bool writable_ = true;  // where opened()
};

using Collections = std::map<uint64_t, std::shared_ptr<CollectionState>>;  // by id

// What `entry` of a root means, opened but for its segments: without rows. CorruptionError, FormatVersionError.
std::shared_ptr<CollectionState> open_empty(OpenFiles& files, const Root::Collection& entry);
// What `entry` of a root means, opened. CorruptionError, FormatVersionError.
std::shared_ptr<CollectionState> open_collection(OpenFiles& files, const Root::Collection& entry);
// Gives `to` the records of `from` and its served vectors; the manifest of `from` has all of them. Its rids stay
// unused. `to.manifest` is changed, and still to be published.
void adopt_rows(CollectionState& to, const CollectionState& from);

}  // namespace lamina
