#include "io/memory_file.h"

#ifdef LAMINA_TESTING

#include <algorithm>
#include <cerrno>

#include "base/mutant.h"
#include "io/poison.h"

namespace lamina {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSector = 512;
constexpr std::byte kStale{0x5a};  // what was on the disk before, as some file systems show it

// "vec" of ".../0000000000000007.vec", and of the name that it has in scratch.
std::string kind_of(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const size_t dot = name.find('.');
  return dot == std::string::npos ? name : name.substr(dot + 1, name.find('.', dot + 1) - dot - 1);
}

class MemoryReadable : public ReadableFile {
 public:
  MemoryReadable(MemoryHandle handle, std::function<bool()> linked)
      : handle_(std::move(handle)), linked_(std::move(linked)) {}
  ~MemoryReadable() override {
    const std::lock_guard lock(*handle_.mutex);
    if (locked_ && !is_off("reader's pin")) --handle_.file->shared_locks;
  }

  uint64_t size() const override {
    const std::lock_guard lock(*handle_.mutex);
    return handle_.file->content.size();
  }

  size_t read_at(uint64_t offset, std::span<std::byte> out) override {
    const std::lock_guard lock(*handle_.mutex);
    const Bytes content = handle_.file->content;
    if (offset >= content.size()) return 0;
    const Bytes found = content.subspan(offset, std::min<uint64_t>(out.size(), content.size() - offset));
    std::copy(found.begin(), found.end(), out.begin());
    return found.size();
  }

  bool lock_shared() override {
    const std::lock_guard lock(*handle_.mutex);
    if (handle_.file->exclusive_lock) return false;
    if (!locked_ && !is_off("reader's pin")) ++handle_.file->shared_locks;
    locked_ = true;
    return true;
  }

  bool is_linked() const override {
    const std::lock_guard lock(*handle_.mutex);
    return linked_();
  }

  const std::string& path() const override { return handle_.path; }

 private:
  const MemoryHandle handle_;
  const std::function<bool()> linked_;
  bool locked_ = false;
};

class MemoryWritable : public WritableFile {
 public:
  explicit MemoryWritable(MemoryHandle handle) : handle_(std::move(handle)) {}

  void append(Bytes bytes) override {
    with_open([&](MemoryFile& file) { file.append(bytes); });
  }
  void sync() override {
    with_open([&](MemoryFile& file) {
      if (!is_off("sync of " + kind_of(handle_.path))) file.sync();
    });
  }
  uint64_t size() const override {
    const std::lock_guard lock(*handle_.mutex);
    return handle_.file->content.size();
  }
  void close() override {
    closed_ = true;
    poison_.check();
  }
  const std::string& path() const override { return handle_.path; }

 private:
  template <class Fn>
  void with_open(Fn&& fn) {
    poison_.guard([&] {
      if (closed_) throw StorageError(EBADF, handle_.path, "write");
      const std::lock_guard lock(*handle_.mutex);
      fn(*handle_.file);
    });
  }

  const MemoryHandle handle_;
  bool closed_ = false;
  Poison poison_;
};

class MemoryMapping : public Mapping {
 public:
  explicit MemoryMapping(MemoryHandle handle) : path_(std::move(handle.path)) {
    const std::lock_guard lock(*handle.mutex);
    content_ = handle.file->content;
  }
  Bytes bytes() const override { return content_; }
  const std::string& path() const override { return path_; }

 private:
  const std::string path_;
  std::vector<std::byte> content_;
};

class MemoryLock : public FileLock {
 public:
  explicit MemoryLock(MemoryHandle handle) : handle_(std::move(handle)) {}
  ~MemoryLock() override {
    const std::lock_guard lock(*handle_.mutex);
    if (!abandoned_) handle_.file->exclusive_lock = false;
  }
  void write(Bytes note) override {
    const std::lock_guard lock(*handle_.mutex);
    if (abandoned_) throw StorageError(EBADF, handle_.path, "write");
    handle_.file->rewrite(note);
  }
  void abandon() override { abandoned_ = true; }

 private:
  const MemoryHandle handle_;
  bool abandoned_ = false;
};

}  // namespace

uint64_t PowerCut::kept_of(uint64_t bytes) {
  if (seed_ < 2) return seed_ == 0 ? 0 : bytes;
  switch (random_.uniform(4)) {
    case 0: return 0;
    case 1: return bytes;
    default: return random_.uniform(bytes + 1);
  }
}

void PowerCut::tear(std::span<std::byte> page) {
  if (seed_ < 2 || random_.uniform(2) == 0) return;
  const bool whole = random_.uniform(2) == 0;  // or sector by sector
  const std::byte left = random_.uniform(2) == 0 ? std::byte{0} : kStale;
  for (size_t at = 0; at < page.size(); at += kSector) {
    const std::span<std::byte> sector = page.subspan(at, std::min<size_t>(kSector, page.size() - at));
    if (whole || random_.uniform(2) == 0) std::fill(sector.begin(), sector.end(), left);
  }
}

void MemoryFile::truncate(uint64_t size) {
  content.resize(size);
  stable_ = std::min(stable_, size);
  for (auto& [begin, end] : lost_) end = std::min(end, size);
  std::erase_if(lost_, [](const auto& range) { return range.first >= range.second; });
}

void MemoryFile::rewrite(Bytes bytes) {
  content.assign(bytes.begin(), bytes.end());
  stable_ = 0;
  lost_.clear();
}

void MemoryFile::sync() {
  const std::vector<std::byte> fresh = from_stable();
  synced_.resize(stable_);
  synced_.insert(synced_.end(), fresh.begin(), fresh.end());
  stable_ = synced_.size();
  lost_.clear();
}

void MemoryFile::lose_unsynced() {
  if (content.size() > stable_) lost_.assign(1, {stable_, content.size()});
}

std::vector<std::byte> MemoryFile::from_stable() const {
  std::vector<std::byte> result(content.begin() + static_cast<ptrdiff_t>(stable_), content.end());
  for (const auto& [begin, end] : lost_) {
    std::fill(result.begin() + static_cast<ptrdiff_t>(begin - stable_),
              result.begin() + static_cast<ptrdiff_t>(end - stable_), std::byte{0});
  }
  return result;
}

std::shared_ptr<MemoryFile> MemoryFile::after(PowerCut& cut) const {
  auto result = std::make_shared<MemoryFile>();
  const bool truncated = synced_.size() > stable_;
  result->content = synced_;
  if (!truncated || cut.keeps()) {
    std::vector<std::byte> fresh = from_stable();
    fresh.resize(cut.kept_of(fresh.size()));
    for (uint64_t at = 0; at < fresh.size();) {  // pages of the file, so the first may be a part of one
      const uint64_t end = std::min<uint64_t>(fresh.size(), at + kPage - (stable_ + at) % kPage);
      cut.tear(std::span(fresh).subspan(at, end - at));
      at = end;
    }
    result->content.resize(stable_);
    result->append(fresh);
  }
  result->sync();
  return result;
}

std::unique_ptr<ReadableFile> memory_readable(MemoryHandle handle, std::function<bool()> linked) {
  return std::make_unique<MemoryReadable>(std::move(handle), std::move(linked));
}

std::unique_ptr<WritableFile> memory_writable(MemoryHandle handle) {
  return std::make_unique<MemoryWritable>(std::move(handle));
}

std::unique_ptr<Mapping> memory_mapping(MemoryHandle handle) {
  return std::make_unique<MemoryMapping>(std::move(handle));
}

std::unique_ptr<FileLock> memory_lock(MemoryHandle handle) { return std::make_unique<MemoryLock>(std::move(handle)); }

}  // namespace lamina

#endif
