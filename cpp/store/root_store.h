// The roots of a store: finding the newest, holding it, publishing the next.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/file.h"
#include "segment/hasher.h"
#include "segment/root.h"
#include "store/paths.h"

namespace lamina {

struct StoredRoot {
  Root root;
  Digest digest{};                    // of its file
  bool writable = true;               // false: a newer build forbids this one to replace it
  std::shared_ptr<ReadableFile> pin;  // a shared lock: while it is held, nothing that the root names is removed
};

class RootStore {
 public:
  RootStore(FileSystem& fs, const StorePaths& paths, const Hasher& hasher) : fs_(fs), paths_(paths), hasher_(hasher) {}

  std::vector<uint64_t> list() const;  // sequence numbers, ascending
  // The newest root, read and pinned; none: there is none. A root that was removed meanwhile is never the answer.
  // CorruptionError, FormatVersionError.
  std::optional<StoredRoot> newest() const;
  std::optional<StoredRoot> read(uint64_t seq) const;  // pinned; none: it is gone

  // Makes `root` durable as the newest. After a failure `published` tells whether it may be there nevertheless.
  Digest publish(const Root& root, bool* published) const;

 private:
  FileSystem& fs_;
  const StorePaths& paths_;
  const Hasher& hasher_;
};

std::vector<std::byte> read_whole(ReadableFile& file);

}  // namespace lamina
