#include "store/structure.h"

#include <stdexcept>

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
      epoch_(collection_->epoch),
      generation_(collection_->served()),
      records_before_(parts_of(*collection_->records->view())),
      vectors_before_(parts_of(*collection_->vectors->view())),
      added_(shop.open, shop.numbers),
      files_(shop.open, added_, shop.codec) {}

void Merge::build(int threads) {
  if (plan_.records) records_ = files_.write_records(records_before_);
  if (!plan_.vectors || vectors_before_.live == 0) return;
  vectors_ = files_.write_vectors(VectorSet::rebuild(vectors_before_, threads), generation_);
}

// The manifest names no bitmap of a merged segment: what died since its view was taken is in the log behind the
// manifest's version, since the last seal, and dies again when that is replayed.
bool Merge::publish() {
  const auto found = shop_.collections.find(collection_->id);
  if (found == shop_.collections.end() || found->second != collection_ || collection_->epoch != epoch_) return false;
  Manifest manifest = collection_->manifest;
  Generation& served = manifest.generations.front();
  if (plan_.records) {
    manifest.records.clear();
    if (records_.opened) manifest.records.push_back(records_.ref);
  }
  if (plan_.vectors) {
    served.segments.clear();
    if (vectors_.opened) served.segments.push_back(vectors_.ref);
  }
  Root root = shop_.ledger.next_root(false);
  const FileRef ref = files_.write_manifest(manifest);
  enter(root, *collection_, collection_->version, ref);
  shop_.ledger.publish(std::move(root), added_);
  try {
    collection_->manifest = std::move(manifest);
    collection_->manifest_ref = ref;
    ++collection_->epoch;
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
