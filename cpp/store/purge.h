// Taking records out of all that a store keeps: which roots have them, in segments or in their log, and manifests
// without them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "store/files.h"
#include "store/loading.h"
#include "store/sealed_files.h"

namespace lamina {

// One thread. `ids`, and what it views, must outlive it.
class Purge {
 public:
  // From the collections of this lineage.
  Purge(OpenFiles& open, SegmentFiles& files, const Ids& ids, uint64_t lineage)
      : open_(open), files_(files), ids_(ids), lineage_(lineage) {}

  bool concerns(const Root::Collection& collection) const { return collection.lineage == lineage_; }
  // Whether bytes of these records are in what the root names: rows that died count too.
  bool is_in(const Root& root);
  // The manifest with its segments written anew where any of the records was in them; without their dead rows, since
  // nobody could say of a dead row without a record whose it was. None: they were in no segment.
  std::optional<Manifest> without(const Manifest& manifest);

 private:
  // What a manifest names, opened, with the rows that are to go: the dead, and those of the ids.
  struct Opened {
    std::vector<RecordView::SealedPart> records;
    std::vector<bool> has_records;  // one a segment: has rows of the ids
    struct OfGeneration {
      std::vector<View::SealedPart> parts;
      std::vector<bool> has;
    };
    std::vector<OfGeneration> vectors;
    bool any() const;
  };
  Opened open(const Manifest& manifest);
  void mark_vectors(Opened& opened, const SegmentRef& ref, const Generation& generation,
                    const std::set<uint64_t>& rids);
  bool is_in_manifest(const FileRef& manifest);
  bool is_in_log(const Root& root);
  SegmentRef* rewritten_records(const SegmentRef& ref, const RecordView::SealedPart& part, IdKind id_kind);
  SegmentRef* rewritten_vectors(const SegmentRef& ref, const View::SealedPart& part, const Generation& generation);

  using Written = std::optional<SegmentRef>;     // none: no row was left
  using Source = std::pair<uint64_t, uint64_t>;  // numbers of a segment and of its bitmap

  OpenFiles& open_;
  SegmentFiles& files_;
  const Ids& ids_;
  const uint64_t lineage_;
  std::map<uint64_t, bool> in_manifest_;  // by number
  std::map<uint64_t, bool> in_log_;
  std::map<Source, Written> records_;
  std::map<Source, Written> vectors_;
};

}  // namespace lamina
