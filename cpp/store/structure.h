// Changes of what a store consists of: sealing heads, merging segments. Each notes what is there, builds its files
// while writes go on, and publishes a root; it changes no version and no visible row. A failure loses nothing.
#pragma once

#include <exception>
#include <set>

#include "store/collection_state.h"
#include "store/ledger.h"
#include "store/sealed_files.h"

namespace lamina {

// What a structural change works on. The caller holds the writer's lock, but for build() and Seal::carry().
struct Workshop {
  OpenFiles& open;
  FileNumbers& numbers;
  Ledger& ledger;
  Collections& collections;
  const RecordCodec& codec;
};

// Makes `manifest`, which with the log gives every version from `since` on, that of the collection in `root`; adds the
// collection if it is new. Version and time are those of the collection: change them in what is returned.
Root::Collection& enter(Root& root, const CollectionState& collection, const FileRef& manifest, uint64_t since);

// The rows of all heads become segments; the log begins anew with the frames that were appended meanwhile. One at a
// time. A collection that cannot be opened is passed over: its frames go over into the next log. The vectors of the
// heads go on as parts in memory from its construction until their file takes their place: of a seal that fails, the
// next one writes them.
class Seal {
 public:
  explicit Seal(Workshop& shop);  // notes what is there now, and gives each collection a new head for vectors
  void build();                   // the long part, without the writer's lock
  // Copies the frames up to `end` into the next log, without the writer's lock. REQUIRES: `end` was the log's end,
  // and what comes before it is not taken back.
  void carry(uint64_t end);
  uint64_t carried() const { return carried_; }  // up to this position
  // Publishes it, with the rest of the log. False: somebody else has sealed meanwhile, or a collection was opened anew,
  // and nothing was done.
  bool publish();
  std::exception_ptr passed_over() const { return damage_; }  // the last damage for which one was; null: none was
  // The heads of a collection that no root names become segments in `files`; its manifest, written too, then has all.
  static void apart(const std::shared_ptr<CollectionState>& collection, SegmentFiles& files);

 private:
  // A collection on its way: what is written, and what takes the place of its head once the root is published.
  struct Sealed {
    std::shared_ptr<CollectionState> collection;
    FileRef manifest_before;
    Manifest manifest;
    FileRef manifest_ref;
    uint64_t since;  // the first version that the manifest gives
    std::shared_ptr<const RecordView> records_before;
    WrittenSegment<SealedRecords> records;
    struct OfGeneration {
      std::shared_ptr<const View> before;
      std::vector<std::shared_ptr<const Part>> in_memory;
      std::vector<WrittenSegment<Part>> written;  // one of each that is in memory
    };
    std::vector<OfGeneration> vectors;
  };

  static Sealed note(const std::shared_ptr<CollectionState>& collection);
  static void write(Sealed& sealed, SegmentFiles& files);
  static void write_manifest(Sealed& sealed, SegmentFiles& files, Manifest manifest, const RecordView& records,
                             const std::vector<std::shared_ptr<const View>>& vectors);
  bool still_there(const Sealed& sealed) const;
  bool was_opened_anew(const Sealed& sealed) const;
  template <class Fn>
  void for_each_frame(uint64_t begin, uint64_t end, Fn&& fn) const;
  void carry_passed_over();
  static void replace_heads(Sealed& sealed);

  Workshop& shop_;
  const LogHeader log_;  // that is being replaced
  const uint64_t log_start_;
  uint64_t carried_;
  NewFiles added_;
  SegmentFiles files_;
  std::vector<Sealed> sealed_;
  std::set<uint64_t> passed_over_;  // ids
  std::exception_ptr damage_;
  std::unique_ptr<Log> next_log_;
};

// All of it with the writer's lock held. The answer is Seal::passed_over().
std::exception_ptr seal(Workshop& shop);

// The segments of a collection that a merge is to make one of, by their places in the manifest.
struct MergePlan {
  std::vector<size_t> records;
  std::vector<size_t> vectors;
  size_t generation = 0;  // that the vectors are of
  bool seals = false;     // first the head is to be sealed
  bool needed() const { return !records.empty() || !vectors.empty(); }
};
// What has become due (merge_policy.h), of one generation at a time, the served one first.
MergePlan plan_upkeep(const CollectionState& collection);
// All that may make reads of a generation faster, and with the first of them, of the records.
MergePlan plan_optimize(const CollectionState& collection, size_t generation);

// Segments of one collection into one, without their dead rows; others and heads stay as they are.
class Merge {
 public:
  Merge(Workshop& shop, std::shared_ptr<CollectionState> collection, const MergePlan& plan);  // notes what is there now
  void build(int threads);  // the long part, without the writer's lock
  // Publishes it. False: the parts that it started from have been replaced meanwhile, and nothing was done; parts
  // that were sealed since stay as they are.
  bool publish();

 private:
  // Bitmaps of what has died in the merged segments since this began, for `manifest`.
  void write_died_since(Manifest& manifest);
  VectorSet& vector_set() const { return *collection_->vectors[plan_.generation]; }

  Workshop& shop_;
  std::shared_ptr<CollectionState> collection_;
  const MergePlan plan_;
  Manifest manifest_before_;
  uint64_t version_before_;
  RecordView records_before_;
  View vectors_before_;
  NewFiles added_;
  SegmentFiles files_;
  WrittenSegment<SealedRecords> records_;
  WrittenSegment<Part> vectors_;
};

}  // namespace lamina
