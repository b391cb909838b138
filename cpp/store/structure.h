// Changes of what a store consists of: sealing heads, merging segments. Each writes its files and publishes a root; it
// changes no version and no visible row. A failure leaves the collections as they were.
#pragma once

#include "store/collection_state.h"
#include "store/ledger.h"
#include "store/sealed_files.h"

namespace lamina {

// What a structural change works on. The caller holds the writer's lock throughout, but for Merge::build().
struct Workshop {
  OpenFiles& open;
  FileNumbers& numbers;
  Ledger& ledger;
  Collections& collections;
  const RecordCodec& codec;
};

// Makes `manifest` that of the collection in `root`; adds the collection if it is new.
void enter(Root& root, const CollectionState& collection, uint64_t version, const FileRef& manifest);

// The rows of all heads become segments, and the log begins anew.
void seal(Workshop& shop);

// What a merge is to do for a collection. The seam where a policy chooses.
struct MergePlan {
  bool records = false;
  bool vectors = false;
  bool needed() const { return records || vectors; }
};
MergePlan plan_upkeep(const CollectionState& collection);    // what has become due: many segments, many dead rows
MergePlan plan_optimize(const CollectionState& collection);  // all that may make reads faster

// All sealed parts of one collection into one, without its dead rows; heads stay as they are.
class Merge {
 public:
  Merge(Workshop& shop, std::shared_ptr<CollectionState> collection, MergePlan plan);  // notes what is there now
  void build(int threads);  // the long part, without the writer's lock
  // Publishes it. False: the parts have been replaced meanwhile, and nothing was done.
  bool publish();

 private:
  Workshop& shop_;
  std::shared_ptr<CollectionState> collection_;
  MergePlan plan_;
  uint64_t epoch_;
  Generation generation_;
  RecordView records_before_;
  View vectors_before_;
  NewFiles added_;
  SegmentFiles files_;
  WrittenSegment<SealedRecords> records_;
  WrittenSegment<Part> vectors_;
};

}  // namespace lamina
