#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "io/file.h"

namespace lamina {
namespace {

// A name that no one else in this process uses; one that an earlier process of the same number left is stepped over.
std::unique_ptr<WritableFile> create_scratch(FileSystem& fs, const std::string& scratch, const std::string& label) {
  static std::atomic<uint64_t> next = 0;
  constexpr int kAttempts = 1000;
  for (int attempt = 1;; ++attempt) {
    std::string name = label + "." + std::to_string(getpid());
    name.append(".").append(std::to_string(next++));
    try {
      return fs.create(join(scratch, name));
    } catch (const StorageError& e) {
      if (e.error_number != EEXIST || attempt == kAttempts) throw;
    }
  }
}

}  // namespace

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() || directory.back() == '/' ? directory + name : directory + "/" + name;
}

Publication::Publication(FileSystem& fs, const std::string& scratch, const std::string& label)
    : fs_(fs), file_(create_scratch(fs, scratch, label)) {}

Publication::~Publication() {
  if (renamed_) return;
  try {
    fs_.remove(file_->path());
  } catch (const Error&) {  // it stays in scratch, to be swept at the next open
  }
}

void Publication::append(Bytes bytes) {
  while (gathered_.size() + bytes.size() >= kHugePage) {
    const Bytes fitting = bytes.first(kHugePage - gathered_.size());
    bytes = bytes.subspan(fitting.size());
    if (gathered_.empty()) {
      file_->append(fitting);
    } else {
      gathered_.insert(gathered_.end(), fitting.begin(), fitting.end());
      flush();
    }
  }
  gathered_.insert(gathered_.end(), bytes.begin(), bytes.end());
}

void Publication::flush() {
  if (!gathered_.empty()) file_->append(gathered_);
  gathered_.clear();
}

void Publication::commit(const std::string& directory, const std::string& name) {
  flush();
  if (!is_off("sync before rename")) file_->sync();
  file_->close();
  fs_.rename(file_->path(), join(directory, name));
  renamed_ = true;
  fs_.sync_directory(directory);
}

void publish(FileSystem& fs, const std::string& scratch, const std::string& directory, const std::string& name,
             Bytes content) {
  Publication publication(fs, scratch, name);
  publication.append(content);
  publication.commit(directory, name);
}

}  // namespace lamina
