// The real file system. The one file, with posix_file.cpp, that makes system calls on files.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "io/file.h"
#include "io/posix_file.h"

#if !defined(__linux__) && !defined(__APPLE__)
#error "lamina runs on Linux and macOS: cpp/io has no other file system yet"
#endif

namespace lamina {
namespace {

using namespace posix;

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirectoryMode = 0755;

class PosixFileSystem : public FileSystem {
 public:
  std::unique_ptr<ReadableFile> open(const std::string& path) override { return std::make_unique<PosixReadable>(path); }

  std::unique_ptr<WritableFile> create(const std::string& path) override {
    return std::make_unique<PosixWritable>(path, Descriptor(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, kFileMode),
                                           0);
  }

  std::unique_ptr<WritableFile> open_append(const std::string& path, uint64_t size) override {
    Descriptor fd(path, O_WRONLY | O_APPEND);
    struct stat status;
    if (::fstat(fd.get(), &status) != 0) raise_errno(path, "fstat");
    const auto found = static_cast<uint64_t>(status.st_size);
    if (found < size) throw CorruptionError(path, found, std::to_string(size) + " bytes", "the end of the file");
    if (found > size && retry([&] { return ::ftruncate(fd.get(), static_cast<off_t>(size)); }) == -1) {
      raise_errno(path, "truncate");
    }
    return std::make_unique<PosixWritable>(path, std::move(fd), size);
  }

  std::unique_ptr<Mapping> map(const std::string& path) override { return std::make_unique<PosixMapping>(path); }

  std::unique_ptr<FileLock> try_lock(const std::string& path) override {
    constexpr auto kPatience = std::chrono::milliseconds(50);
    constexpr auto kPause = std::chrono::milliseconds(2);
    Descriptor fd(path, O_RDWR | O_CREAT, kFileMode);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!try_flock(fd, LOCK_EX, path)) {
      if (std::chrono::steady_clock::now() > deadline) return nullptr;
      std::this_thread::sleep_for(kPause);
    }
    return std::make_unique<PosixLock>(path, std::move(fd));
  }

  bool is_locked(const std::string& path) override {
    if (!exists(path)) return false;
    const Descriptor fd(path, O_RDONLY);
    return !try_flock(fd, LOCK_SH, path);
  }

  bool exists(const std::string& path) override {
    struct stat status;
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno != ENOENT && errno != ENOTDIR) raise_errno(path, "stat");
    return false;
  }

  void make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), kDirectoryMode) == 0) return;
    const int why = errno;
    struct stat status;
    if (why == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return;
    throw StorageError(why, path, "make directory");
  }

  std::vector<std::string> list(const std::string& directory) override {
    Descriptor fd(directory, O_RDONLY | O_DIRECTORY);
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(fd.get()), ::closedir);
    if (!entries) raise_errno(directory, "list");
    fd.release();
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(entries.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    if (errno != 0) raise_errno(directory, "list");
    std::sort(names.begin(), names.end());
    return names;
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) raise_errno(from, "rename");
  }

  void remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) raise_errno(path, "remove");
  }

  bool try_lock_and_remove(const std::string& path) override {
    const Descriptor fd(path, O_RDONLY);
    if (!try_flock(fd, LOCK_EX, path)) return false;
    remove(path);
    return true;
  }

  void remove_directory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) raise_errno(path, "remove directory");
  }

  void sync_directory(const std::string& path) override { posix::sync(Descriptor(path, O_RDONLY | O_DIRECTORY), path); }

  uint64_t free_bytes(const std::string& path) override {
    struct statvfs status;
    if (retry([&] { return ::statvfs(path.c_str(), &status); }) != 0) raise_errno(path, "statvfs");
    return uint64_t{status.f_bavail} * status.f_frsize;
  }
};

}  // namespace

FileSystem& FileSystem::posix() {
  static PosixFileSystem* const instance = new PosixFileSystem;  // outlives whatever is destroyed at exit
  return *instance;
}

}  // namespace lamina
