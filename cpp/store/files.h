// The immutable files of a store: opening what a reference means, and publishing new ones.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bitmap.h"
#include "io/file.h"
#include "segment/hasher.h"
#include "segment/manifest.h"
#include "segment/memory_budget.h"
#include "segment/root.h"
#include "segment/vector_segment.h"
#include "store/paths.h"
#include "store/record_set.h"

namespace lamina {

// Opens files by reference: CorruptionError if one is missing or not the one that is meant. Segments that are open
// already are shared, so that what was verified stays verified. Any thread.
class OpenFiles {
 public:
  // `budget`, if not null, bounds the memory of the segments.
  OpenFiles(FileSystem& fs, const StorePaths& paths, const Hasher& hasher, std::shared_ptr<MemoryBudget> budget = {})
      : fs_(fs), paths_(paths), hasher_(hasher), budget_(std::move(budget)) {}

  // From now on the stand-ins of this root, which is the newest that the caller knows, are taken for what they stand
  // for.
  void follow(const Root& root);
  FileRef current(const FileRef& segment) const;  // it, or its stand-in

  // `writable` becomes false if a newer build forbids this one to replace the manifest.
  Manifest manifest(const FileRef& ref, bool* writable = nullptr) const;
  Bitmap deleted(const SegmentRef& segment) const;  // of the size of the segment, empty where none is named
  std::shared_ptr<const SealedRecords> records(const SegmentRef& ref, IdKind id_kind);
  std::shared_ptr<const VectorSegment> vectors(const SegmentRef& ref, const Generation& generation);

  FileSystem& fs() const { return fs_; }
  const StorePaths& paths() const { return paths_; }
  const Hasher& hasher() const { return hasher_; }
  const std::shared_ptr<MemoryBudget>& budget() const { return budget_; }

 private:
  std::vector<std::byte> read(const std::string& path) const;
  std::shared_ptr<const Mapping> map(const std::string& path) const;
  Budgeted budgeted(const std::string& path) const;

  FileSystem& fs_;
  const StorePaths& paths_;
  const Hasher& hasher_;
  const std::shared_ptr<MemoryBudget> budget_;
  mutable std::mutex mutex_;  // guards all below
  std::map<uint64_t, FileRef> stand_ins_;
  std::map<uint64_t, std::weak_ptr<const SealedRecords>> records_;
  std::map<uint64_t, std::weak_ptr<const VectorSegment>> vectors_;
};

std::shared_ptr<MemoryBudget> make_budget(std::optional<uint64_t> bytes);  // null: none
void refuse_budget(const OpenFiles& files);  // std::invalid_argument where there is one, which copies would go past

// The counter of file and log numbers, and those of them that are in use and not yet in a root. Any thread.
class FileNumbers {
 public:
  uint64_t take();
  void settle(const std::vector<uint64_t>& numbers);  // they are in a root now, or were given up
  void at_least(uint64_t next);
  uint64_t next() const;
  std::set<uint64_t> unsettled() const;

 private:
  mutable std::mutex mutex_;
  uint64_t next_ = 1;
  std::set<uint64_t> unsettled_;
};

SegmentId random_segment_id();

// The files that one change of structure brings. Unless keep() is called, they are removed again. One thread.
class NewFiles {
 public:
  NewFiles(OpenFiles& files, FileNumbers& numbers) : files_(files), numbers_(numbers) {}
  ~NewFiles();
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;

  FileRef add(std::string_view extension, const std::function<FileRef(Publication& out)>& write);
  FileRef add_document(std::string_view extension, Bytes document);
  uint64_t add_log();            // the number of a log that the caller makes
  void keep() { kept_ = true; }  // a root names them, or may name them

 private:
  uint64_t take_number();

  OpenFiles& files_;
  FileNumbers& numbers_;
  bool kept_ = false;
  std::vector<uint64_t> taken_;
  std::vector<std::string> paths_;
};

}  // namespace lamina
