// Frames of the log, applied to collections. A frame says what became of each rid, not what was asked for, so that
// applying the frames behind a state, in order, gives the same rows whoever does it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "segment/log_format.h"
#include "store/collection_state.h"

namespace lamina {

// One operation of a write that was checked when it was made. A failure (memory) leaves the sets half done.
void apply(CollectionState& collection, const Operation& operation, int threads);

// Whether `frames` go on from a state of this version: versions ascend, and behind the state's none is missing. One is
// when a structural change has taken it, that is, when there is a newer root.
bool follows(uint64_t version, uint32_t timeline, std::span<const LogFrame> frames);

// Many frames at once, from a file: records frame by frame, vectors only as they are in the end and in one go.
class Replay {
 public:
  // `next_collection`: of the root. Frames of a collection below it that is not among `collections` are of a dropped
  // one, and skipped.
  Replay(const Collections& collections, uint64_t next_collection, std::string file)
      : collections_(collections), next_collection_(next_collection), file_(std::move(file)) {}

  // The payload must live until finish(). What a collection holds already is left out. CorruptionError if the frame
  // does not fit what is there; FormatVersionError.
  void add(const LogFrame& frame);
  void finish(int threads);

 private:
  // A row that was given a vector, or (operation null) lost its own.
  struct Row {
    uint64_t rid;
    const PutOperation* operation;
    size_t row;    // among all of the operation's
    size_t given;  // among those that were given a vector
  };
  struct Vectors {
    std::vector<Row> rows;
    std::unordered_map<uint64_t, size_t> newest;  // of each rid, in `rows`
  };

  void put(CollectionState& collection, const PutOperation& operation, const LogFrame& frame);
  void erase(CollectionState& collection, const DeleteOperation& operation);
  void check(const CollectionState& collection, const PutOperation& operation, const LogFrame& frame) const;
  void check_rows(const CollectionState& collection, const PutOperation& operation, const LogFrame& frame) const;
  void note(Vectors& vectors, const Row& row);
  [[noreturn]] void damaged(const LogFrame& frame, std::string expected, std::string found) const;

  const Collections& collections_;
  const uint64_t next_collection_;
  const std::string file_;
  std::vector<DecodedOperations> decoded_;  // what `vectors_` points into
  std::unordered_map<CollectionState*, Vectors> vectors_;
};

}  // namespace lamina
