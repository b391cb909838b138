#include "store/stats.h"

#include "store/generation.h"

namespace lamina {

StoreStats::OfCollection count_rows(const CollectionHandle& collection) {
  const std::shared_ptr<const Snapshot> snapshot = collection.snapshot();
  const RecordView& records = *snapshot->records;
  const View& vectors = *snapshot->vectors;
  StoreStats::OfCollection counts;
  counts.name = collection.name();
  counts.records = records.live;
  counts.vectors = vectors.live;
  const MissingCounts missing = count_missing(*snapshot);
  counts.owed = missing.owed;
  counts.stale = missing.stale;
  if (snapshot->other) {
    const MissingCounts other = count_missing(*snapshot->other);
    counts.other_vectors = snapshot->other->vectors->live;
    counts.other_owed = other.owed;
    counts.other_stale = other.stale;
  }
  counts.record_segments = records.parts.size();
  counts.vector_segments = vectors.parts.size();
  counts.head_records = records.head_rows - records.head_deleted.count();
  counts.head_vectors = vectors.head_rows - vectors.head_deleted.count();
  for (const auto& part : records.parts) counts.dead_records += part.deleted.count();
  for (const auto& part : vectors.parts) counts.dead_vectors += part.deleted.count();
  return counts;
}

std::optional<StoreStats::Memory> memory_of(const OpenFiles& files) {
  const MemoryBudget* const budget = files.budget().get();
  if (budget == nullptr) return {};
  return StoreStats::Memory{budget->bytes(), budget->in_use()};
}

void add_bytes(StoreStats& stats, const CollectionState& collection) {
  const auto add = [&](const std::vector<SegmentRef>& segments, uint64_t& bytes) {
    for (const SegmentRef& segment : segments) {
      bytes += segment.file.size;
      if (segment.deleted) stats.other_bytes += segment.deleted->size;
    }
  };
  add(collection.manifest.records, stats.record_bytes);
  for (const Generation& generation : collection.manifest.generations) add(generation.segments, stats.vector_bytes);
  stats.other_bytes += collection.manifest_ref.size;
}

}  // namespace lamina
