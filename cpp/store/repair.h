// Damage in what is derived, undone: a segment's file is written once more from what is primary in it, and the root
// says that it stands in for the damaged one (FORMAT.md, "Repair").
#pragma once

#include <map>
#include <set>
#include <string>

#include "store/files.h"
#include "store/kept.h"
#include "store/record_codec.h"
#include "store/store.h"

namespace lamina {

// One thread.
class Repair {
 public:
  // `fresh` has no segment open, and follows the newest root.
  Repair(OpenFiles& fresh, NewFiles& added, const RecordCodec& codec, int threads)
      : fresh_(fresh), added_(added), codec_(codec), threads_(threads) {}

  // Reads every byte of the segments that it names and that were not seen yet, and writes those anew that can be.
  void look_at(const KeptManifest& kept);
  // Tells of it in the report.
  void lost(const std::string& collection, const std::string& needed_by, const CorruptionError& damage);

  const RepairReport& report() const { return report_; }
  bool found_anything() const { return !written_.empty(); }
  bool replaces(const Manifest& manifest) const;
  // `before`, without what is named no more, and with what was written.
  std::vector<Root::StandIn> stand_ins(const std::vector<Root::StandIn>& before) const;

 private:
  void look_at_records(const SegmentRef& ref, const Manifest& manifest, const KeptManifest& kept);
  void look_at_vectors(const SegmentRef& ref, const Generation& generation, const KeptManifest& kept);
  FileRef write(const SealedRecords& segment, const SegmentRef& ref);
  FileRef write(std::shared_ptr<const Part> bare, const SegmentRef& ref, const Generation& generation);

  OpenFiles& fresh_;
  NewFiles& added_;
  const RecordCodec& codec_;
  const int threads_;
  std::set<uint64_t> seen_;              // numbers of segments, as manifests name them
  std::map<uint64_t, FileRef> written_;  // by the number of what is damaged
  RepairReport report_;
};

}  // namespace lamina
