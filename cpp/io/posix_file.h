// What the POSIX file system hands out (posix.cpp): open files, mappings and locks. Private to this room.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "io/bus_error.h"
#include "io/file.h"
#include "io/poison.h"
#include "io/system_call.h"

namespace lamina::posix {

[[noreturn]] void raise_errno(const std::string& path, const char* doing);  // StorageError from errno

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, mode_t mode = 0);  // opens, with O_CLOEXEC
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor();
  Descriptor& operator=(Descriptor&&) = delete;

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool try_flock(const Descriptor& fd, int operation, const std::string& path);  // false if held by another
void sync(const Descriptor& fd, const std::string& path);

class PosixReadable : public ReadableFile {
 public:
  explicit PosixReadable(const std::string& path);
  uint64_t size() const override;
  size_t read_at(uint64_t offset, std::span<std::byte> out) override;
  bool lock_shared() override;
  bool is_linked() const override;
  const std::string& path() const override { return path_; }

 private:
  const std::string path_;
  Descriptor fd_;
};

class PosixWritable : public WritableFile {
 public:
  PosixWritable(std::string path, Descriptor fd, uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
  void append(Bytes bytes) override;
  void sync() override;
  uint64_t size() const override { return size_; }
  void close() override;
  const std::string& path() const override { return path_; }

 private:
  const std::string path_;
  Descriptor fd_;
  uint64_t size_;
  Poison poison_;
};

class PosixMapping : public Mapping {
 public:
  explicit PosixMapping(const std::string& path);
  ~PosixMapping() override;
  Bytes bytes() const override { return bytes_; }
  void require_whole() const override;
  void let_go(uint64_t offset, uint64_t length) const override;
  void map_singly(uint64_t offset, uint64_t length, bool singly) const override;
  void expect_all(uint64_t offset, uint64_t length) const override;
  const std::string& path() const override { return path_; }

 private:
  void advise(uint64_t offset, uint64_t length, int advice) const;

  const std::string path_;
  Bytes bytes_;  // empty for an empty file, which is not mapped
  std::optional<WatchedMapping> watched_;
};

class PosixLock : public FileLock {
 public:
  PosixLock(std::string path, Descriptor locked);
  ~PosixLock() override;
  void write(Bytes note) override;
  void abandon() override;

 private:
  const std::string path_;
  Descriptor fd_;
  const pid_t owner_;
  uint64_t size_;  // of the file
};

}  // namespace lamina::posix
