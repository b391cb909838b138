// The durable side of a writer: its lock, the newest root, and the log behind it.
//
// One thread at a time. A failure of which the outcome is unknown (a sync, a root that may or may not be there)
// poisons the ledger: every later change throws, and reopening finds the truth. Any other failure changes nothing.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "segment/log_format.h"
#include "store/files.h"
#include "store/log.h"
#include "store/root_store.h"

namespace lamina {

int64_t now_us();

// How far the log may be read, shown in LOCK. `pid` and `host` are this process's.
void write_note(FileLock& lock, LockNote note);
std::optional<LockNote> read_note(FileSystem& fs, const StorePaths& paths, const StoreId& store);

class Ledger {
 public:
  // `log` is at its end: the one that `root` names, durable, or one with the same frames that the next root is to name;
  // `version` is that of its last frame or of the root.
  Ledger(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock,
         StoredRoot root, std::unique_ptr<Log> log, uint64_t version);

  const Root& root() const { return root_; }
  uint64_t version() const { return version_; }  // of what was appended or published last
  uint64_t log_bytes() const { return log_->end(); }
  const LogHeader& log_header() const { return log_->header(); }

  void require_sound() const;  // StorageError if poisoned
  bool poisoned() const { return !poison_.empty(); }
  void poison(const std::string& why);

  // The next version, not yet durable. Throws without having changed anything, or poisoned.
  void append(int64_t time_us, std::span<const Operation> operations);
  void take_back();  // what was appended last
  void sync();
  void show();  // to readers: all that was appended counts

  // A root like the newest, to be changed and published. It takes a version of its own if `takes_version`.
  Root next_root(bool takes_version) const;
  // Makes `next` the newest root, with all of the log before it durable. What it no longer names stays.
  // `fresh`, if any, becomes the log: it is durable, and what of the present one it lacks is in `next`. `files` are
  // kept if all goes well.
  void publish(Root next, NewFiles& files, std::unique_ptr<Log> fresh = nullptr);

  void release_lock() { lock_.reset(); }
  // In a forked child: the lock stays with the parent.
  void abandon_lock() {
    if (lock_) lock_->abandon();
  }

 private:
  void publish_or_poison(const Root& next, NewFiles& files);

  OpenFiles& files_;
  const RootStore& roots_;
  FileNumbers& numbers_;
  std::unique_ptr<FileLock> lock_;
  Root root_;
  Digest root_digest_;
  std::unique_ptr<Log> log_;
  uint64_t version_;
  uint64_t durable_version_;
  std::string poison_;
};

}  // namespace lamina
