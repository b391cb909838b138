#include "store/stats.h"

namespace lamina {
namespace {

uint64_t count_stale(const Snapshot& snapshot) {
  uint64_t stale = 0;
  snapshot.vectors->for_each_live([&](View::RowRef where, uint64_t rid) {
    const RecordRef record = snapshot.records->find_rid(rid);
    if (!record.found()) return;
    const ContentHash made_from = snapshot.vectors->provenance_at(where).content_hash;
    stale += made_from != snapshot.records->fields_at(record).content_hash ? 1 : 0;
  });
  return stale;
}

}  // namespace

StoreStats::OfCollection count_rows(const CollectionHandle& collection) {
  const std::shared_ptr<const Snapshot> snapshot = collection.snapshot();
  const RecordView& records = *snapshot->records;
  const View& vectors = *snapshot->vectors;
  StoreStats::OfCollection counts;
  counts.name = collection.name();
  counts.records = records.live;
  counts.vectors = vectors.live;
  counts.owed = records.live - vectors.live;
  counts.stale = count_stale(*snapshot);
  counts.record_segments = records.parts.size();
  counts.vector_segments = vectors.parts.size();
  counts.head_records = records.head_rows - records.head_deleted.count();
  counts.head_vectors = vectors.head_rows - vectors.head_deleted.count();
  for (const auto& part : records.parts) counts.dead_records += part.deleted.count();
  for (const auto& part : vectors.parts) counts.dead_vectors += part.deleted.count();
  return counts;
}

void add_bytes(StoreStats& stats, const CollectionState& collection) {
  const auto add = [&](const std::vector<SegmentRef>& segments, uint64_t& bytes) {
    for (const SegmentRef& segment : segments) {
      bytes += segment.file.size;
      if (segment.deleted) stats.other_bytes += segment.deleted->size;
    }
  };
  add(collection.manifest.records, stats.record_bytes);
  add(collection.served().segments, stats.vector_bytes);
  stats.other_bytes += collection.manifest_ref.size;
}

}  // namespace lamina
