#include "store/ledger.h"

#include <cerrno>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/mutant.h"
#include "io/process.h"

namespace lamina {

int64_t now_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

void write_note(FileLock& lock, LockNote note) {
  note.pid = process_id();
  note.host = host_name();
  lock.write(encode_lock_note(note));
}

std::optional<LockNote> read_note(FileSystem& fs, const StorePaths& paths, const StoreId& store) {
  constexpr int kAttempts = 5;  // a note that is being written may be seen torn
  for (int attempt = 0; attempt < kAttempts && fs.exists(paths.lock); ++attempt) {
    const std::vector<std::byte> bytes = read_whole(*fs.open(paths.lock));
    const auto note = decode_lock_note(bytes);
    if (note) return note->store == store ? note : std::nullopt;
    if (bytes.empty()) return {};
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return {};
}

Ledger::Ledger(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock,
               StoredRoot root, std::unique_ptr<Log> log, uint64_t version)
    : files_(files),
      roots_(roots),
      numbers_(numbers),
      lock_(std::move(lock)),
      root_(std::move(root.root)),
      root_digest_(root.digest),
      log_(std::move(log)),
      version_(version),
      durable_version_(version) {}

void Ledger::require_sound() const {
  if (poison_.empty()) return;
  throw StorageError(EIO, files_.paths().store,
                     "write, since the store's state on the disk is unknown (" + poison_ + "): close and reopen it");
}

void Ledger::poison(const std::string& why) {
  if (poison_.empty() && !is_off("poison")) poison_ = why.empty() ? "unknown failure" : why;
}

void Ledger::append(int64_t time_us, std::span<const Operation> operations) {
  require_sound();
  if (root_.log.clean) {  // it says that the log ends where it ends now
    NewFiles none(files_, numbers_);
    publish(next_root(false), none);
  }
  const std::vector<std::byte> payload = encode_operations(operations);
  try {
    log_->append(version_ + 1, time_us, payload);
  } catch (const Error& e) {
    if (log_->broken()) poison(e.what());
    durable_version_ = version_;
    throw;
  }
  ++version_;
}

void Ledger::take_back() {
  log_->take_back();
  if (log_->broken()) poison("an unfinished write could not be taken back");
  durable_version_ = --version_;
}

void Ledger::sync() {
  require_sound();
  try {
    log_->sync();
  } catch (const Error& e) {
    poison(e.what());
    throw;
  }
  durable_version_ = version_;
}

void Ledger::show() {
  LockNote note;
  note.store = root_.store;
  note.log_number = log_->header().number;
  note.durable = log_->end();
  note.durable_version = durable_version_;
  try {
    write_note(*lock_, note);
  } catch (const Error& e) {  // readers might never see what was acknowledged
    poison(e.what());
    throw;
  }
}

Root Ledger::next_root(bool takes_version) const {
  Root next = root_;
  ++next.seq;
  next.version = version_ + (takes_version ? 1 : 0);
  next.time_us = now_us();
  next.parent = root_digest_;
  next.log.clean = false;
  return next;
}

void Ledger::publish(Root next, NewFiles& files, std::unique_ptr<Log> fresh) {
  if (!is_off("sync before a root")) sync();
  const Log& log = fresh ? *fresh : *log_;
  next.log.number = log.header().number;
  if (next.log.number != root_.log.number) {
    next.log.start = kLogHeaderBytes;
    next.log.previous = fresh ? log_->header().number : 0;
    next.log.previous_end = fresh ? log_->end() : 0;
  }
  next.log.end = log.end();
  next.log.witness = log.witness();
  next.next_file = numbers_.next();
  publish_or_poison(next, files);
  root_ = std::move(next);
  version_ = durable_version_ = root_.version;
  if (fresh) {
    log_ = std::move(fresh);
    try {
      show();
    } catch (const Error&) {  // what was asked for is done; what comes next fails
    }
  }
}

void Ledger::publish_or_poison(const Root& next, NewFiles& files) {
  bool published = false;
  try {
    root_digest_ = roots_.publish(next, &published);
    files.keep();
  } catch (const Error& e) {
    if (published) {
      if (!is_off("keep what may be named")) files.keep();
      poison(e.what());
    }
    throw;
  }
}

}  // namespace lamina
