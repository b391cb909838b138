// A file of the MemoryFileSystem: its bytes, which of them are durable, and who holds it. Private to this room.
#pragma once

#ifdef LAMINA_TESTING

#include <functional>
#include <mutex>
#include <utility>

#include "base/random.h"
#include "io/file.h"

namespace lamina {

// What happens to one thing that is not durable when the power is cut.
class PowerCut {
 public:
  explicit PowerCut(uint64_t seed) : seed_(seed), random_(seed) {}
  bool keeps() { return seed_ == 1 || (seed_ != 0 && random_.uniform(2) == 0); }
  uint64_t kept_of(uint64_t bytes);  // how far an append of so many bytes got
  void tear(std::span<std::byte> page);

 private:
  const uint64_t seed_;
  Random random_;
};

// Guarded by one mutex for the whole file system, named by whoever calls.
struct MemoryFile {
  std::vector<std::byte> content;  // what readers see
  int shared_locks = 0;
  bool exclusive_lock = false;

  void append(Bytes bytes) { content.insert(content.end(), bytes.begin(), bytes.end()); }
  void truncate(uint64_t size);
  void rewrite(Bytes bytes);
  void sync();
  void lose_unsynced();
  std::shared_ptr<MemoryFile> after(PowerCut& cut) const;

 private:
  std::vector<std::byte> from_stable() const;  // `content` from stable_ on, with zeros for what was lost

  std::vector<std::byte> synced_;                    // what the last sync() made durable
  uint64_t stable_ = 0;                              // how much of it was not truncated or rewritten since
  std::vector<std::pair<uint64_t, uint64_t>> lost_;  // [begin, end) of `content`, past stable_: see lose_unsynced()
};

// The open files of the seam over a MemoryFile. `mutex` is that of the file system; `linked` tells, under it, if the
// file still has a name.
struct MemoryHandle {
  std::shared_ptr<std::mutex> mutex;
  std::shared_ptr<MemoryFile> file;
  std::string path;
};

std::unique_ptr<ReadableFile> memory_readable(MemoryHandle handle, std::function<bool()> linked);
std::unique_ptr<WritableFile> memory_writable(MemoryHandle handle);
std::unique_ptr<Mapping> memory_mapping(MemoryHandle handle);
std::unique_ptr<FileLock> memory_lock(MemoryHandle handle);  // REQUIRES: the caller took exclusive_lock

}  // namespace lamina

#endif
