// A file system that fails, or kills the process, where a test says: for tests, in test builds only.
#pragma once

#ifdef LAMINA_TESTING

#include <functional>
#include <optional>

#include "io/file.h"

namespace lamina {

// kOpen: open and open_append. kRemove: files and directories. kLock: try_lock, is_locked, lock_shared. kStat: exists,
// free_bytes, ReadableFile::size, is_linked. A FileLock's note is a kWrite. Closing by destructor is none.
enum class FileOperation {
  kOpen,
  kCreate,
  kRead,
  kWrite,
  kSync,
  kClose,
  kMap,
  kLock,
  kStat,
  kList,
  kMakeDirectory,
  kRename,
  kRemove,
  kSyncDirectory,
};

const char* to_string(FileOperation operation);  // "open", "create", ..., "sync_directory"
std::optional<FileOperation> operation_of(const std::string& name);

struct OperationRecord {
  FileOperation operation;
  std::string path;  // of a rename: where to
  uint64_t bytes;    // asked to be read or written
};

// Which operations: the nth (from 0) of those of this kind (any, if not given) whose path contains `path_part`, counted
// from when the rule is made.
struct OperationRule {
  std::optional<FileOperation> operation = std::nullopt;
  std::string path_part = {};
  uint64_t nth = 0;
};

// The operation throws StorageError(error) instead of being done; with error 0 it is done, after `effect`. A power cut
// at the nth operation is {.rule = {.nth = n}, .sticky = true}, and then MemoryFileSystem::after_power_cut().
struct Fault {
  OperationRule rule = {};
  int error = 5;            // EIO
  bool sticky = false;      // and so does every later one that fits
  bool half_write = false;  // of a write, the first half of the bytes is written before
  bool half_read = false;   // of a read, the first half is all there is, and nothing is thrown: a file cut short
  std::function<void(const std::string& path)> effect = {};  // called first: MemoryFileSystem::lose_unsynced, a delay
};

enum class Moment { kBefore, kAfter };

// Passes everything on to `base`, which outlives it and its files. Any thread.
class FaultFileSystem : public FileSystem {
 public:
  explicit FaultFileSystem(FileSystem& base);
  ~FaultFileSystem() override;

  void fail(Fault fault);                           // beside the faults there are
  void heal();                                      // no faults and kills any more
  void kill_at(OperationRule rule, Moment moment);  // raise(SIGKILL)
  // kill_at() as "operation:path_part:nth:before" (or "after"), for a child process: std::invalid_argument otherwise.
  void kill_at(const std::string& text);

  uint64_t operations() const;  // since it was made, failed ones included
  std::vector<OperationRecord> trace() const;

  std::unique_ptr<ReadableFile> open(const std::string& path) override;
  std::unique_ptr<WritableFile> create(const std::string& path) override;
  std::unique_ptr<WritableFile> open_append(const std::string& path, uint64_t size) override;
  std::unique_ptr<Mapping> map(const std::string& path) override;
  std::unique_ptr<FileLock> try_lock(const std::string& path) override;
  bool is_locked(const std::string& path) override;
  bool exists(const std::string& path) override;
  void make_directory(const std::string& path) override;
  std::vector<std::string> list(const std::string& directory) override;
  void rename(const std::string& from, const std::string& to) override;
  void remove(const std::string& path) override;
  bool try_lock_and_remove(const std::string& path) override;
  void remove_directory(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  uint64_t free_bytes(const std::string& path) override;

 private:
  class Script;  // shared with the files handed out
  class Step;
  friend class FaultReadable;
  friend class FaultWritable;
  friend class FaultLock;

  FileSystem& base_;
  std::shared_ptr<Script> script_;
};

}  // namespace lamina

#endif
