#include "store/structure.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr size_t kManySegments = 4;
constexpr double kManyDead = 0.3;

struct Census {
  size_t parts = 0;
  uint64_t rows = 0;
  uint64_t dead = 0;
};

Census count(const RecordView& view) {
  Census census{view.parts.size()};
  for (const auto& part : view.parts) {
    census.rows += (*part.segment)->rows();
    census.dead += part.deleted.count();
  }
  return census;
}

Census count(const View& view) {
  Census census{view.parts.size()};
  for (const auto& part : view.parts) {
    census.rows += part.part->rows;
    census.dead += part.deleted.count();
  }
  return census;
}

bool due(const Census& census) {
  return census.parts > kManySegments ||
         static_cast<double>(census.dead) > kManyDead * static_cast<double>(census.rows);
}

bool improvable(const Census& census) { return census.parts > 1 || census.dead > 0; }

bool begins_with(const std::vector<SegmentRef>& now, const std::vector<SegmentRef>& before) {
  const auto same = [](const SegmentRef& a, const SegmentRef& b) { return a.file == b.file; };
  return std::mismatch(before.begin(), before.end(), now.begin(), now.end(), same).first == before.end();
}

template <class Opened>
void replace_first(std::vector<SegmentRef>& segments, size_t count, const WrittenSegment<Opened>& merged) {
  segments.erase(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(count));
  if (merged.opened) segments.insert(segments.begin(), merged.ref);
}

}  // namespace

MergePlan plan_upkeep(const CollectionState& collection) {
  return {due(count(*collection.records->view())), due(count(*collection.vectors->view()))};
}

MergePlan plan_optimize(const CollectionState& collection) {
  const auto vectors = collection.vectors->view();
  // As it was sealed: neither ordered nor measured.
  const bool raw = vectors->parts.size() == 1 && vectors->parts[0].part->calibration.points.empty();
  return {improvable(count(*collection.records->view())), raw || improvable(count(*vectors))};
}

Merge::Merge(Workshop& shop, std::shared_ptr<CollectionState> collection, MergePlan plan)
    : shop_(shop),
      collection_(std::move(collection)),
      plan_(plan),
      manifest_before_(collection_->manifest),
      records_before_(parts_of(*collection_->records->view())),
      vectors_before_(first_parts_of(*collection_->vectors->view(), collection_->served().segments.size())),
      added_(shop.open, shop.numbers),
      files_(shop.open, added_, shop.codec) {}

void Merge::build(int threads) {
  if (plan_.records) records_ = files_.write_records(records_before_);
  if (!plan_.vectors || vectors_before_.live == 0) return;
  vectors_ = files_.write_vectors(VectorSet::rebuild(vectors_before_, threads), manifest_before_.generations.front());
}

// What died since the merge took its view is in the log behind the manifest's version, and dies again when that is
// replayed: a bitmap is needed only where the head was sealed meanwhile.
bool Merge::publish() {
  const auto found = shop_.collections.find(collection_->id);
  if (found == shop_.collections.end() || found->second != collection_) return false;
  Manifest manifest = collection_->manifest;
  Generation& served = manifest.generations.front();
  const Generation& served_before = manifest_before_.generations.front();
  if (!begins_with(manifest.records, manifest_before_.records)) return false;
  if (!begins_with(served.segments, served_before.segments)) return false;
  const bool sealed_since = manifest.version != manifest_before_.version;
  if (plan_.records) {
    if (sealed_since && records_.opened) {
      files_.write_deleted(records_.ref, collection_->records->died_since(records_before_, *records_.opened));
    }
    replace_first(manifest.records, manifest_before_.records.size(), records_);
  }
  if (plan_.vectors) {
    if (sealed_since && vectors_.opened) {
      files_.write_deleted(vectors_.ref, collection_->vectors->died_since(vectors_before_, *vectors_.opened));
    }
    replace_first(served.segments, served_before.segments.size(), vectors_);
  }
  Root root = shop_.ledger.next_root(false);
  const FileRef ref = files_.write_manifest(manifest);
  enter(root, *collection_, collection_->version, ref);
  shop_.ledger.publish(std::move(root), added_);
  try {
    collection_->manifest = std::move(manifest);
    collection_->manifest_ref = ref;
    if (plan_.records) collection_->records->replace_parts(records_before_, records_.opened);
    if (plan_.vectors) collection_->vectors->replace_all(vectors_before_, vectors_.opened);
    collection_->show();
  } catch (...) {  // no memory
    shop_.ledger.poison("merged segments could not take their place in memory");
    throw;
  }
  return true;
}

}  // namespace lamina
