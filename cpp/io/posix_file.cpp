#include "io/posix_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "base/buffer.h"
#include "base/error.h"

namespace lamina::posix {

#ifdef LAMINA_TESTING
Disturbance disturbance;
#endif

namespace {

struct stat status(int fd, const std::string& path) {
  struct stat result;
  if (::fstat(fd, &result) != 0) raise_errno(path, "fstat");
  return result;
}

void require_all(ssize_t written, Bytes bytes, const std::string& path) {
  if (written == -1) raise_errno(path, "write");
  if (static_cast<size_t>(written) != bytes.size()) throw StorageError(ENOSPC, path, "write");
}

uint64_t size_of(int fd, const std::string& path) { return static_cast<uint64_t>(status(fd, path).st_size); }

// The locks of this process. A forked child closes their descriptors as it begins: a lock that was shared with it would
// outlive a killed writer for as long as the child does. Never destroyed, for locks that live until the process ends.
struct HeldLocks {
  std::mutex mutex;
  std::set<PosixLock*> locks;

  static HeldLocks& get() {
    static HeldLocks* const held = [] {
      ::pthread_atfork([] { get().mutex.lock(); }, [] { get().mutex.unlock(); },
                       [] {
                         for (PosixLock* lock : get().locks) lock->abandon();
                         get().mutex.unlock();
                       });
      return new HeldLocks;
    }();
    return *held;
  }
};

}  // namespace

void raise_errno(const std::string& path, const char* doing) { throw StorageError(errno, path, doing); }

Descriptor::Descriptor(const std::string& path, int flags, mode_t mode)
    : fd_(retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); })) {
  if (fd_ == -1) raise_errno(path, "open");
}

Descriptor::~Descriptor() {
  if (fd_ != -1) ::close(fd_);
}

bool try_flock(const Descriptor& fd, int operation, const std::string& path) {
  if (retry([&] { return ::flock(fd.get(), operation | LOCK_NB); }) == 0) return true;
  if (errno != EWOULDBLOCK) raise_errno(path, "flock");
  return false;
}

void sync(const Descriptor& fd, const std::string& path) {
#ifdef __APPLE__
  if (retry([&] { return ::fcntl(fd.get(), F_FULLFSYNC); }) == -1) raise_errno(path, "fsync");
#else
  if (retry([&] { return ::fsync(fd.get()); }) == -1) raise_errno(path, "fsync");
#endif
}

PosixReadable::PosixReadable(const std::string& path) : path_(path), fd_(path, O_RDONLY) {}

uint64_t PosixReadable::size() const { return size_of(fd_.get(), path_); }

size_t PosixReadable::read_at(uint64_t offset, std::span<std::byte> out) {
  const ssize_t got = transfer(out.size(), [&](size_t done, size_t wanted) {
    return ::pread(fd_.get(), out.data() + done, wanted, static_cast<off_t>(offset + done));
  });
  if (got == -1) raise_errno(path_, "read");
  return static_cast<size_t>(got);
}

bool PosixReadable::lock_shared() { return try_flock(fd_, LOCK_SH, path_); }

bool PosixReadable::is_linked() const { return status(fd_.get(), path_).st_nlink > 0; }

void PosixWritable::append(Bytes bytes) {
  poison_.guard([&] {
    const ssize_t written = transfer(
        bytes.size(), [&](size_t done, size_t wanted) { return ::write(fd_.get(), bytes.data() + done, wanted); });
    require_all(written, bytes, path_);
    size_ += bytes.size();
  });
}

void PosixWritable::sync() {
  poison_.guard([&] {
#ifdef __linux__
    if (retry([&] { return ::fdatasync(fd_.get()); }) == -1) raise_errno(path_, "fdatasync");
#else
    posix::sync(fd_, path_);
#endif
  });
}

void PosixWritable::close() {
  const int fd = fd_.release();
  const int result = fd == -1 ? 0 : ::close(fd);
  poison_.guard([&] {
    if (result == -1 && errno != EINTR) raise_errno(path_, "close");
  });
}

PosixMapping::PosixMapping(const std::string& path) : path_(path) {
  const Descriptor fd(path, O_RDONLY);
  const size_t size = size_of(fd.get(), path);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (address == MAP_FAILED) raise_errno(path, "mmap");
  bytes_ = Bytes(static_cast<const std::byte*>(address), size);
  watched_.emplace(bytes_);
}

PosixMapping::~PosixMapping() {
  watched_.reset();
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void PosixMapping::require_whole() const {
  const uint64_t at = watched_ ? watched_->failed_at() : WatchedMapping::kNone;
  if (at == WatchedMapping::kNone) return;
  throw CorruptionError(path_, at, "a page that can be read", "none (file truncated, or a disk error?)");
}

void PosixMapping::let_go(uint64_t offset, uint64_t length) const { advise(offset, length, MADV_DONTNEED); }

void PosixMapping::map_singly(uint64_t offset, uint64_t length, bool singly) const {
  advise(offset, length, singly ? MADV_RANDOM : MADV_NORMAL);
#ifdef MADV_NOHUGEPAGE
  if (singly) advise(offset, length, MADV_NOHUGEPAGE);
#endif
  if (!singly) expect_all(offset, length);
}

void PosixMapping::expect_all([[maybe_unused]] uint64_t offset, [[maybe_unused]] uint64_t length) const {
#ifdef MADV_HUGEPAGE
  if (length >= kHugePage) advise(offset, length, MADV_HUGEPAGE);
#endif
}

// Of the pages that lie wholly in these bytes. Advice cannot fail.
void PosixMapping::advise(uint64_t offset, uint64_t length, int advice) const {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = (offset + page - 1) / page * page;
  const uint64_t end = (offset + length) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, advice);
}

PosixLock::PosixLock(std::string path, Descriptor locked)
    : path_(std::move(path)), fd_(std::move(locked)), owner_(::getpid()), size_(size_of(fd_.get(), path_)) {
  const std::lock_guard guard(HeldLocks::get().mutex);
  HeldLocks::get().locks.insert(this);
}

// Closing alone would leave the lock to a child that was forked by other means than fork(), and has the descriptor too;
// unlocking in the child would take it from the parent.
PosixLock::~PosixLock() {
  {
    const std::lock_guard guard(HeldLocks::get().mutex);
    HeldLocks::get().locks.erase(this);
  }
  if (::getpid() == owner_ && fd_.get() != -1) ::flock(fd_.get(), LOCK_UN);
}

void PosixLock::write(Bytes note) {
  const ssize_t written = transfer(note.size(), [&](size_t done, size_t wanted) {
    return ::pwrite(fd_.get(), note.data() + done, wanted, static_cast<off_t>(done));
  });
  require_all(written, note, path_);
  if (size_ > note.size() && retry([&] { return ::ftruncate(fd_.get(), written); }) == -1)
    raise_errno(path_, "truncate");
  size_ = note.size();
}

void PosixLock::abandon() {
  const int fd = fd_.release();
  if (fd != -1) ::close(fd);
}

}  // namespace lamina::posix
