// The one seam to the operating system: every system call on files goes through a `FileSystem`, so a test can
// stand in its place (fault.h). Paths are absolute or relative to the process, '/'-separated, UTF-8.
//
// Errors: each call throws StorageError (errno, path) unless said otherwise. EINTR and short transfers are
// handled below this seam, never above it. All classes are safe from any thread unless said otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace lamina {

// An open file being read. The file may be appended to (a log) or unlinked meanwhile; it is never rewritten.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual uint64_t size() const = 0;                                      // asks the system each time
  virtual size_t read_at(uint64_t offset, std::span<std::byte> out) = 0;  // fewer bytes only at the end of the file
  virtual bool lock_shared() = 0;      // held until destroyed; false if somebody holds the file exclusively
  virtual bool is_linked() const = 0;  // false once the last name of the file is gone
  virtual const std::string& path() const = 0;
};

// A file being written by one thread at a time. A failed write or sync poisons it: every later call throws the
// first error again, since what is on the disk is no longer known.
class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes without syncing
  virtual void append(Bytes bytes) = 0;
  virtual void sync() = 0;            // on success all appended bytes, and the length, are durable
  virtual uint64_t size() const = 0;  // bytes appended so far, those found at open included
  virtual void close() = 0;           // lets go of the file also when it throws; a second close does nothing
  virtual const std::string& path() const = 0;
};

// A read-only shared mapping of a whole file, valid until destroyed, also after the file is unlinked or replaced.
//
// A page that cannot be read (the file was cut short underneath, the disk failed) ends nobody: it and all behind it are
// zeros from then on, and require_whole() says so. It is called between reading and believing. What it cannot see:
// bytes overwritten in place, and the zeros that the rest of a page shows when a file is cut within it.
class Mapping {
 public:
  virtual ~Mapping() = default;
  virtual Bytes bytes() const = 0;
  virtual void require_whole() const {}  // CorruptionError if a page could not be read since the file was mapped
  // The pages that lie wholly in these bytes take no memory of this process until they are touched again: on Linux at
  // once, elsewhere when the system needs it.
  virtual void let_go(uint64_t /*offset*/, uint64_t /*length*/) const {}
  // Whether a touch of these pages maps them one by one, or as many around it as the system has at hand, which it does
  // where nothing was said.
  virtual void map_singly(uint64_t /*offset*/, uint64_t /*length*/, bool /*singly*/) const {}
  // All of these bytes are about to be touched: those that are not in memory may be read in huge pages.
  virtual void expect_all(uint64_t /*offset*/, uint64_t /*length*/) const {}
  virtual const std::string& path() const = 0;
};

// An exclusive advisory lock (flock) on a file, held until destroyed or until the process is gone; its children have no
// part in it, since fork() abandons it there. `abandon()` closes the descriptor: in a child that leaves the
// parent's lock in force, and so does destroying it there. `write` replaces the file's content in place (one write at
// offset 0, synced by nobody): the note that the holder shows to others, who read it by `open`.
class FileLock {
 public:
  virtual ~FileLock() = default;
  virtual void write(Bytes note) = 0;
  virtual void abandon() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  static FileSystem& posix();

  virtual std::unique_ptr<ReadableFile> open(const std::string& path) = 0;
  virtual std::unique_ptr<WritableFile> create(const std::string& path) = 0;  // fails if the name exists
  // Truncates to `size` first; CorruptionError if there are fewer bytes than that.
  virtual std::unique_ptr<WritableFile> open_append(const std::string& path, uint64_t size) = 0;
  virtual std::unique_ptr<Mapping> map(const std::string& path) = 0;
  // Creates the file. Null if another holds it and goes on holding it for 50 ms: an is_locked() does for a moment.
  virtual std::unique_ptr<FileLock> try_lock(const std::string& path) = 0;
  virtual bool is_locked(const std::string& path) = 0;  // by a FileLock, anywhere; false if there is no such file

  virtual bool exists(const std::string& path) = 0;
  virtual void make_directory(const std::string& path) = 0;                 // no error if it is there
  virtual std::vector<std::string> list(const std::string& directory) = 0;  // names, sorted; not "." and ".."
  virtual void rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  virtual void remove(const std::string& path) = 0;
  // Removes it and is true, unless somebody holds a lock on it, shared or exclusive.
  virtual bool try_lock_and_remove(const std::string& path) = 0;
  virtual void remove_directory(const std::string& path) = 0;
  virtual void sync_directory(const std::string& path) = 0;
  virtual uint64_t free_bytes(const std::string& path) = 0;
};

std::string join(const std::string& directory, const std::string& name);

// A finished file coming into being, the one way that it does: written to scratch, synced, renamed, and the directory
// synced. `scratch` is on the same file system and may hold what a crash left there.
//
// A commit() that throws before the rename leaves nothing under the name; after it, the file is there whole, though a
// power cut may take it away again. Destroyed without commit(), it removes its scratch file, if it can. One thread.
class Publication {
 public:
  Publication(FileSystem& fs, const std::string& scratch, const std::string& label);  // label: of the scratch file
  ~Publication();
  Publication(const Publication&) = delete;
  Publication& operator=(const Publication&) = delete;

  // Goes to the file in pieces that each fill a huge page of it: then a system that caches files in such pages maps it
  // in them (Linux: XFS, ext4 since 6.16), which a search on what is mapped gains a fifth by.
  void append(Bytes bytes);
  uint64_t size() const { return file_->size() + gathered_.size(); }
  void commit(const std::string& directory, const std::string& name);  // replaces `name`; the last call

 private:
  void flush();

  FileSystem& fs_;
  std::unique_ptr<WritableFile> file_;
  std::vector<std::byte> gathered_;
  bool renamed_ = false;
};

// Makes `content` durable under directory/name, whole or not at all, by a Publication.
void publish(FileSystem& fs, const std::string& scratch, const std::string& directory, const std::string& name,
             Bytes content);

}  // namespace lamina
