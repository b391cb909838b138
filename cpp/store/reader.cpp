// A reader holds the newest root (a shared lock keeps what it names) and reads the log behind it up to where the
// writer's note says that writes are acknowledged. The writer publishes a root before its note names the new log, and
// writes the note before it appends to it, so a note that names another log than the newest root's says: nothing more
// was acknowledged, or there is a newer root.
#include "store/reader.h"

#include <cerrno>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "index/huge_pages.h"
#include "store/garbage.h"
#include "store/ledger.h"
#include "store/replay.h"
#include "store/salvage.h"
#include "store/stats.h"
#include "store/verify.h"

namespace lamina {

Reader::Reader(FileSystem& fs, const StorePaths& paths, const StoreOptions& options, const Hasher& hasher,
               const RecordCodec& codec)
    : paths_(paths),
      codec_(codec),
      files_(fs, paths_, hasher, make_budget(options.memory)),
      roots_(fs, paths_, hasher),
      salvaged_(options.salvage) {
  const std::lock_guard lock(mutex_);
  salvaged_ ? load_what_is_whole() : load();
}

void Reader::load_what_is_whole() {
  Salvaged found = salvage(files_, roots_, codec_);
  recovery_.missing = std::move(found.missing);
  catalog_.set(found.collections);
  catalog_.set_version(found.version);
  state_.emplace(State{std::move(found.root), std::move(found.collections), found.position, found.version});
}

bool Reader::reload() {
  const std::lock_guard lock(mutex_);
  require_open();
  if (salvaged_) return false;
  const uint64_t before = catalog_.version();
  load();
  return catalog_.version() != before;
}

void Reader::load() {
  constexpr int kAttempts = 1000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint64_t seq = 0;
    try {
      if (try_load(&seq)) return;
    } catch (const CorruptionError&) {  // or files that went, or a torn tail that was cut off, while they were read
      if (attempt > 0 && is_newest(seq)) throw;
    }
    if (attempt > 10) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  throw StorageError(EAGAIN, paths_.store, "load, since its writer publishes faster than this process reads");
}

bool Reader::is_newest(uint64_t seq) const {
  const std::vector<uint64_t> found = roots_.list();
  return !found.empty() && found.back() == seq;
}

bool Reader::try_load(uint64_t* seq) {
  const std::vector<uint64_t> found = roots_.list();
  if (found.empty()) throw NotFoundError("there is no store at " + paths_.store);
  *seq = found.back();
  const bool same_root = state_ && state_->root.root.seq == *seq;
  std::optional<StoredRoot> newer;
  if (!same_root && !(newer = roots_.read(*seq))) return false;
  const Root& root = same_root ? state_->root.root : newer->root;

  uint64_t from = same_root ? state_->position : root.log.start;
  Collections collections = same_root ? state_->collections : collections_for(*newer, &from);
  const std::optional<LoadedLog> log = read_log(root, from);
  if (!log) return false;
  const uint64_t base = std::max(root.version, state_ ? state_->version : 0);
  if (!follows(base, root.timeline, log->scan.frames)) {
    throw CorruptionError(log->path, from, "versions without a gap", "one that is missing");
  }
  const uint64_t version = log->scan.version(base);
  if (same_root && log->scan.frames.empty()) return true;

  std::optional<State> last = std::move(state_);  // sets that are half advanced are not used again
  state_.reset();
  replay(*log, root, collections);
  if (!same_root) {
    for (const auto& [id, collection] : collections) collection->show();
    catalog_.set(collections);
  }
  catalog_.set_version(version);
  State next{same_root ? std::move(last->root) : std::move(*newer), std::move(collections), log->scan.end, version};
  state_.emplace(std::move(next));
  return true;
}

// Collections whose manifest is the same go on from where they are, unless some file was repaired; others are to be
// opened anew when they are used, and take all of the log.
Collections Reader::collections_for(const StoredRoot& stored, uint64_t* from) {
  const Root& root = stored.root;
  const bool same_log = state_ && state_->root.root.log.number == root.log.number;
  const bool repaired = state_ && state_->root.root.stand_ins != root.stand_ins;
  files_.follow(root);
  Collections collections;
  bool all_known = same_log;
  for (const Root::Collection& entry : root.collections) {
    if (state_ && !repaired) {
      const auto known = state_->collections.find(entry.id);
      if (known != state_->collections.end() && known->second->manifest_ref == entry.manifest) {
        known->second->go_on(entry, stored.pin);
        known->second->handle->rename(entry.name);
        collections.insert(*known);
        continue;
      }
    }
    const auto fresh = std::make_shared<CollectionState>(files_, entry, stored.pin);
    std::shared_ptr<CollectionHandle>& handle = handles_[entry.id];
    if (handle) {
      handle->rename(entry.name);
      fresh->handle = handle;
    }
    handle = fresh->handle;
    collections[entry.id] = fresh;
    all_known = false;
  }
  *from = all_known ? state_->position : root.log.start;
  return collections;
}

std::optional<LoadedLog> Reader::read_log(const Root& root, uint64_t from) {
  const bool written = files_.fs().is_locked(paths_.lock);  // a note that a power cut left may be an old one
  const std::optional<LockNote> note = read_note(files_.fs(), paths_, root.store);
  const bool shown = written && !root.log.clean && note && note->log_number == root.log.number;
  if (shown && note->durable == from && state_) {  // nothing new: no need to look
    LoadedLog nothing;
    nothing.scan.end = from;
    return nothing;
  }
  LoadedLog log = open_log(files_, root);
  if (shown) {
    const uint64_t limit = std::max(note->durable, from);
    log.scan = scan_log(log.mapping->bytes(), log.header, from, limit);
    log.mapping->require_whole();
    const uint64_t base = std::max(root.version, state_ ? state_->version : 0);
    if (log.scan.end == limit || log.scan.version(base) >= note->durable_version) return log;
    throw CorruptionError(log.path, log.scan.end, "whole frames up to " + std::to_string(limit), "none at this place");
  }
  read_to_end(log, root, note ? &*note : nullptr);
  if (!written && files_.fs().is_locked(paths_.lock)) return {};
  const std::optional<LockNote> later = read_note(files_.fs(), paths_, root.store);
  const uint64_t now_shown = later ? later->log_number : 0;
  if (!is_newest(root.seq) || (!root.log.clean && now_shown != (note ? note->log_number : 0))) return {};
  return log;
}

void Reader::require_open() const {
  if (closed_) throw ClosedError("the store is closed");
}

void Reader::refuse() const { throw ReadOnlyError("the store was opened read-only: " + paths_.store); }

std::shared_ptr<Collection> Reader::create_collection(const std::string&, const CollectionSpec&) { refuse(); }
void Reader::drop_collection(const std::string&) { refuse(); }
std::vector<WriteResult> Reader::write(std::span<const WriteOp>) { refuse(); }
RepairReport Reader::repair(int) { refuse(); }
void Reader::sync() { refuse(); }
void Reader::rename_collection(const std::string&, const std::string&, bool) { refuse(); }
uint64_t Reader::tag(const std::string&, const std::string&, const VersionRef&) { refuse(); }
void Reader::untag(const std::string&, const std::string&) { refuse(); }
uint64_t Reader::rollback(const std::string&, const VersionRef&, const Fingerprint&) { refuse(); }
uint64_t Reader::begin_migration(const std::string&, const CollectionSpec&) { refuse(); }
uint64_t Reader::exchange(const std::string&, const Exchange&) { refuse(); }
uint64_t Reader::end_migration(const std::string&, MigrationStage) { refuse(); }
uint64_t Reader::note_migration(const std::string&, const std::string&) { refuse(); }
std::shared_ptr<Collection> Reader::branch(const std::string&, const std::string&, const VersionRef&, const Snapshot*) {
  refuse();
}
PurgeReport Reader::purge(const std::string&, const Ids&) { refuse(); }
CleanupReport Reader::cleanup(int64_t) { refuse(); }
void Reader::seal() { refuse(); }
void Reader::optimize(const std::string&, int, bool) { refuse(); }
bool Reader::maintain(int) { return false; }

std::shared_ptr<Collection> Reader::collection(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  require_open();
  return catalog_.find(name);
}

std::vector<std::string> Reader::collections() const {
  const std::lock_guard lock(mutex_);
  require_open();
  return catalog_.names();
}

History Reader::history_of(const std::string& name) {
  const std::lock_guard lock(mutex_);
  require_open();
  const auto handle = catalog_.find(name);
  if (!state_) load();
  for (const auto& [id, collection] : state_->collections) {
    if (collection->handle != handle) continue;
    return {files_, roots_, {state_->root, state_->position, state_->version}, id, handle->snapshot()};
  }
  throw NotFoundError("there is no collection '" + name + "'");
}

std::shared_ptr<const Snapshot> Reader::snapshot(const std::string& name, const VersionRef& wanted) {
  return history_of(name).snapshot(wanted);
}

std::vector<VersionInfo> Reader::versions(const std::string& name) { return history_of(name).versions(); }

void Reader::copy_to_huge_pages(const std::string& name, int threads) {
  refuse_budget(files_);
  std::shared_ptr<CollectionState> collection;
  std::shared_ptr<const View> mapped;
  {
    const std::lock_guard lock(mutex_);
    require_open();
    if (!state_) load();
    collection = catalog_.state(name);
    collection->open();
    mapped = collection->served_vectors().view();
  }
  const auto copies = copies_in_huge_pages(*mapped, threads);
  const std::lock_guard lock(mutex_);
  require_open();
  if (state_) collection->place_copies(copies, state_->collections);
}

VerifyReport Reader::verify(const VerifyOptions& options) {
  std::optional<StoredRoot> pinned;
  uint64_t end = 0;
  {
    const std::lock_guard lock(mutex_);
    require_open();
    if (!state_) load();
    end = state_->position;
    pinned = roots_.read(state_->root.root.seq);
    if (!pinned) throw CorruptionError(paths_.root_file(state_->root.root.seq), 0, "the root that is read", "no file");
  }
  OpenFiles fresh(files_.fs(), paths_, files_.hasher(), files_.budget());
  if (pinned->root.log.clean && !files_.fs().is_locked(paths_.lock)) require_all_named(fresh, roots_);
  const LoadedLog log = open_log_to(fresh, pinned->root, end);
  return verify_all(fresh, roots_, *pinned, log, codec_, options);
}

StoreStats Reader::stats() const {
  StoreStats stats;
  std::optional<Root> newest;
  {
    const std::lock_guard lock(mutex_);
    require_open();
    stats.version = catalog_.version();
    if (state_) stats.log_bytes = state_->position;
    if (state_) {
      newest = state_->root.root;
      for (const auto& [id, collection] : state_->collections) {
        collection->open();
        add_bytes(stats, *collection);
      }
    }
  }
  OpenFiles files(files_.fs(), paths_, files_.hasher());
  if (newest) stats.history_bytes = Garbage(files, roots_).history_bytes(*newest);
  for (const auto& handle : catalog_.handles()) stats.collections.push_back(count_rows(*handle));
  stats.memory = memory_of(files_);
  return stats;
}

void Reader::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  catalog_.close();
  state_.reset();
}

}  // namespace lamina
