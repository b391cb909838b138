#include "io/fault.h"

#ifdef LAMINA_TESTING

#include <signal.h>

#include <array>
#include <mutex>
#include <sstream>
#include <stdexcept>

#include "base/error.h"
#include "io/poison.h"

namespace lamina {
namespace {

constexpr std::array kNames = {"open", "create", "read", "write",          "sync",   "close",  "map",
                               "lock", "stat",   "list", "make_directory", "rename", "remove", "sync_directory"};

// An OperationRule being counted.
class Countdown {
 public:
  explicit Countdown(OperationRule rule) : rule_(std::move(rule)) {}

  enum class Match { kNone, kNth, kLater };
  Match count(FileOperation operation, const std::string& path) {
    if (rule_.operation && *rule_.operation != operation) return Match::kNone;
    if (path.find(rule_.path_part) == std::string::npos) return Match::kNone;
    const uint64_t now = seen_++;
    return now < rule_.nth ? Match::kNone : now == rule_.nth ? Match::kNth : Match::kLater;
  }

 private:
  OperationRule rule_;
  uint64_t seen_ = 0;
};

}  // namespace

const char* to_string(FileOperation operation) { return kNames.at(static_cast<size_t>(operation)); }

std::optional<FileOperation> operation_of(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<FileOperation>(i);
  }
  return std::nullopt;
}

// What is to happen, and what has.
class FaultFileSystem::Script {
 public:
  struct Verdict {
    std::optional<Fault> fault;
    bool kill_before = false;
    bool kill_after = false;
  };

  Verdict next(FileOperation operation, const std::string& path, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    trace_.push_back({operation, path, bytes});
    Verdict verdict;
    for (auto& [fault, countdown] : faults_) {
      const Countdown::Match match = countdown.count(operation, path);
      const bool hit = match == Countdown::Match::kNth || (match == Countdown::Match::kLater && fault.sticky);
      if (hit && !verdict.fault) verdict.fault = fault;
    }
    for (auto& [moment, countdown] : kills_) {
      if (countdown.count(operation, path) != Countdown::Match::kNth) continue;
      (moment == Moment::kBefore ? verdict.kill_before : verdict.kill_after) = true;
    }
    return verdict;
  }

  void add(Fault fault) {
    const std::lock_guard lock(mutex_);
    Countdown countdown(fault.rule);
    faults_.emplace_back(std::move(fault), std::move(countdown));
  }

  void add(Moment moment, OperationRule rule) {
    const std::lock_guard lock(mutex_);
    kills_.emplace_back(moment, Countdown(std::move(rule)));
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
    kills_.clear();
  }

  std::vector<OperationRecord> trace() const {
    const std::lock_guard lock(mutex_);
    return trace_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<Fault, Countdown>> faults_;
  std::vector<std::pair<Moment, Countdown>> kills_;
  std::vector<OperationRecord> trace_;
};

// Stands around one operation: made before it, where it may fail or be killed, destroyed after it.
class FaultFileSystem::Step {
 public:
  using HalfWrite = std::function<void()>;

  Step(Script& script, FileOperation operation, const std::string& path, uint64_t bytes = 0,
       const HalfWrite& half = {}) {
    const Script::Verdict verdict = script.next(operation, path, bytes);
    kill_after_ = verdict.kill_after;
    if (verdict.kill_before) ::raise(SIGKILL);
    if (!verdict.fault) return;
    half_read_ = verdict.fault->half_read && operation == FileOperation::kRead;
    if (half_read_) return;
    if (verdict.fault->half_write && half) half();
    if (verdict.fault->effect) verdict.fault->effect(path);
    if (verdict.fault->error == 0) return;
    throw StorageError(verdict.fault->error, path, to_string(operation));
  }
  ~Step() {
    if (kill_after_) ::raise(SIGKILL);
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  bool half_read() const { return half_read_; }

 private:
  bool kill_after_ = false;
  bool half_read_ = false;
};

class FaultReadable : public ReadableFile {
 public:
  FaultReadable(std::unique_ptr<ReadableFile> base, std::shared_ptr<FaultFileSystem::Script> script)
      : base_(std::move(base)), script_(std::move(script)) {}

  uint64_t size() const override {
    const FaultFileSystem::Step step(*script_, FileOperation::kStat, path());
    return base_->size();
  }
  size_t read_at(uint64_t offset, std::span<std::byte> out) override {
    const FaultFileSystem::Step step(*script_, FileOperation::kRead, path(), out.size());
    return base_->read_at(offset, step.half_read() ? out.first(out.size() / 2) : out);
  }
  bool lock_shared() override {
    const FaultFileSystem::Step step(*script_, FileOperation::kLock, path());
    return base_->lock_shared();
  }
  bool is_linked() const override {
    const FaultFileSystem::Step step(*script_, FileOperation::kStat, path());
    return base_->is_linked();
  }
  const std::string& path() const override { return base_->path(); }

 private:
  const std::unique_ptr<ReadableFile> base_;
  const std::shared_ptr<FaultFileSystem::Script> script_;
};

class FaultWritable : public WritableFile {
 public:
  FaultWritable(std::unique_ptr<WritableFile> base, std::shared_ptr<FaultFileSystem::Script> script)
      : base_(std::move(base)), script_(std::move(script)) {}

  void append(Bytes bytes) override {
    poison_.guard([&] {
      const FaultFileSystem::Step step(*script_, FileOperation::kWrite, path(), bytes.size(),
                                       [&] { base_->append(bytes.first(bytes.size() / 2)); });
      base_->append(bytes);
    });
  }
  void sync() override {
    poison_.guard([&] {
      const FaultFileSystem::Step step(*script_, FileOperation::kSync, path());
      base_->sync();
    });
  }
  uint64_t size() const override { return base_->size(); }
  void close() override {
    base_->close();
    poison_.guard([&] { const FaultFileSystem::Step step(*script_, FileOperation::kClose, path()); });
  }
  const std::string& path() const override { return base_->path(); }

 private:
  const std::unique_ptr<WritableFile> base_;
  const std::shared_ptr<FaultFileSystem::Script> script_;
  Poison poison_;
};

class FaultLock : public FileLock {
 public:
  FaultLock(std::unique_ptr<FileLock> base, std::string path, std::shared_ptr<FaultFileSystem::Script> script)
      : base_(std::move(base)), path_(std::move(path)), script_(std::move(script)) {}

  void write(Bytes note) override {
    const FaultFileSystem::Step step(*script_, FileOperation::kWrite, path_, note.size());
    base_->write(note);
  }
  void abandon() override { base_->abandon(); }

 private:
  const std::unique_ptr<FileLock> base_;
  const std::string path_;
  const std::shared_ptr<FaultFileSystem::Script> script_;
};

FaultFileSystem::FaultFileSystem(FileSystem& base) : base_(base), script_(std::make_shared<Script>()) {}
FaultFileSystem::~FaultFileSystem() = default;

void FaultFileSystem::fail(Fault fault) { script_->add(std::move(fault)); }
void FaultFileSystem::heal() { script_->clear(); }
void FaultFileSystem::kill_at(OperationRule rule, Moment moment) { script_->add(moment, std::move(rule)); }
uint64_t FaultFileSystem::operations() const { return script_->trace().size(); }
std::vector<OperationRecord> FaultFileSystem::trace() const { return script_->trace(); }

void FaultFileSystem::kill_at(const std::string& text) {
  std::istringstream in(text);
  std::string operation;
  std::string path_part;
  std::string nth;
  std::string moment;
  std::getline(in, operation, ':');
  std::getline(in, path_part, ':');
  std::getline(in, nth, ':');
  std::getline(in, moment);
  const std::optional<FileOperation> known = operation_of(operation);
  const bool number = !nth.empty() && nth.find_first_not_of("0123456789") == std::string::npos;
  if (!known || !number || (moment != "before" && moment != "after")) {
    throw std::invalid_argument("not operation:path_part:nth:before|after: '" + text + "'");
  }
  kill_at({known, path_part, std::stoull(nth)}, moment == "before" ? Moment::kBefore : Moment::kAfter);
}

std::unique_ptr<ReadableFile> FaultFileSystem::open(const std::string& path) {
  const Step step(*script_, FileOperation::kOpen, path);
  return std::make_unique<FaultReadable>(base_.open(path), script_);
}

std::unique_ptr<WritableFile> FaultFileSystem::create(const std::string& path) {
  const Step step(*script_, FileOperation::kCreate, path);
  return std::make_unique<FaultWritable>(base_.create(path), script_);
}

std::unique_ptr<WritableFile> FaultFileSystem::open_append(const std::string& path, uint64_t size) {
  const Step step(*script_, FileOperation::kOpen, path);
  return std::make_unique<FaultWritable>(base_.open_append(path, size), script_);
}

std::unique_ptr<Mapping> FaultFileSystem::map(const std::string& path) {
  const Step step(*script_, FileOperation::kMap, path);
  return base_.map(path);
}

std::unique_ptr<FileLock> FaultFileSystem::try_lock(const std::string& path) {
  const Step step(*script_, FileOperation::kLock, path);
  std::unique_ptr<FileLock> lock = base_.try_lock(path);
  return lock ? std::make_unique<FaultLock>(std::move(lock), path, script_) : nullptr;
}

bool FaultFileSystem::is_locked(const std::string& path) {
  const Step step(*script_, FileOperation::kLock, path);
  return base_.is_locked(path);
}

bool FaultFileSystem::exists(const std::string& path) {
  const Step step(*script_, FileOperation::kStat, path);
  return base_.exists(path);
}

void FaultFileSystem::make_directory(const std::string& path) {
  const Step step(*script_, FileOperation::kMakeDirectory, path);
  base_.make_directory(path);
}

std::vector<std::string> FaultFileSystem::list(const std::string& directory) {
  const Step step(*script_, FileOperation::kList, directory);
  return base_.list(directory);
}

void FaultFileSystem::rename(const std::string& from, const std::string& to) {
  const Step step(*script_, FileOperation::kRename, to);
  base_.rename(from, to);
}

void FaultFileSystem::remove(const std::string& path) {
  const Step step(*script_, FileOperation::kRemove, path);
  base_.remove(path);
}

bool FaultFileSystem::try_lock_and_remove(const std::string& path) {
  const Step step(*script_, FileOperation::kRemove, path);
  return base_.try_lock_and_remove(path);
}

void FaultFileSystem::remove_directory(const std::string& path) {
  const Step step(*script_, FileOperation::kRemove, path);
  base_.remove_directory(path);
}

void FaultFileSystem::sync_directory(const std::string& path) {
  const Step step(*script_, FileOperation::kSyncDirectory, path);
  base_.sync_directory(path);
}

uint64_t FaultFileSystem::free_bytes(const std::string& path) {
  const Step step(*script_, FileOperation::kStat, path);
  return base_.free_bytes(path);
}

}  // namespace lamina

#endif
