// Where a verification that ran out of time stopped: a small file in the store, so that the next one, in whatever
// process, goes on from there.
#pragma once

#include <set>

#include "io/file.h"
#include "segment/document.h"
#include "store/paths.h"

namespace lamina {

class VerifyNote {
 public:
  VerifyNote(FileSystem& fs, const StorePaths& paths, const SegmentId& store) : fs_(fs), paths_(paths), store_(store) {}

  // The files that were found sound, by number and digest. A note that is missing, damaged or of another store is
  // empty: verification begins anew.
  void load();
  // Neither throws StorageError: on a file system that cannot be written to there is no note.
  void save() const;
  void remove() const;

  bool has(const FileRef& file) const { return sound_.contains(key(file)); }
  void add(const FileRef& file) { sound_.insert(key(file)); }

 private:
  using Key = std::pair<uint64_t, Digest>;
  static Key key(const FileRef& file) { return {file.number, file.digest}; }

  FileSystem& fs_;
  const StorePaths& paths_;
  const SegmentId store_;
  std::set<Key> sound_;
};

}  // namespace lamina
