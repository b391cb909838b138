// A file system in memory that knows what a power cut would leave of it: for tests, in test builds only.
#pragma once

#ifdef LAMINA_TESTING

#include "io/file.h"

namespace lamina {

// Behaves as FileSystem::posix() does, errors included, but for: map() copies, try_lock() does not wait, directories
// are not renamed, abandon() leaves the lock held for good. "/" and "." are there from the start. Any thread.
//
// What is durable: the bytes of a file at its last sync(); an entry of a directory (create, rename, remove, make
// directory) once that directory, or for a rename either one, was synced. A rename is whole or not at all.
class MemoryFileSystem : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  // The file system that is found when power comes back after being cut now; this one is left as it is. What is
  // durable is kept. Of the rest, seed 0 drops all, seed 1 keeps all, and any other draws: each directory operation
  // kept or dropped (those kept, in order), a truncation done or not, an append of any length whose 4 KiB pages are
  // whole, torn at 512 bytes, or lost, with zeros or other bytes in their place. Nobody holds a lock.
  [[nodiscard]] std::unique_ptr<MemoryFileSystem> after_power_cut(uint64_t seed) const;

  // What a failed fsync does on ext4, XFS and Btrfs: the bytes of the file that are not durable stay readable, no
  // later sync makes them so, and a power cut leaves zeros in their place. A directory loses nothing.
  void lose_unsynced(const std::string& path);

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
  struct State;  // shared with the files handed out
  std::shared_ptr<State> state_;
};

}  // namespace lamina

#endif
