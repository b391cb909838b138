#include "store/structure.h"

#include <algorithm>
#include <numeric>

#include "store/merge_policy.h"

namespace lamina {
namespace {

std::vector<SegmentSize> sizes_of(const std::vector<SegmentRef>& segments, const RecordView& view) {
  std::vector<SegmentSize> sizes;
  for (size_t i = 0; i < segments.size(); ++i) {
    const uint64_t dead = view.parts[i].deleted.count();
    sizes.push_back({segments[i].rows, segments[i].rows - dead, segments[i].file.size});
  }
  return sizes;
}

std::vector<SegmentSize> sizes_of(const std::vector<SegmentRef>& segments, const View& view) {
  std::vector<SegmentSize> sizes;
  for (size_t i = 0; i < segments.size(); ++i) {
    const uint64_t dead = view.parts[i].deleted.count();
    sizes.push_back({segments[i].rows, segments[i].rows - dead, segments[i].file.size});
  }
  return sizes;
}

std::vector<size_t> all_of(std::span<const SegmentSize> sizes) {
  std::vector<size_t> all(sizes.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return all;
}

bool improvable(std::span<const SegmentSize> sizes) {
  return sizes.size() > 1 || (sizes.size() == 1 && sizes[0].live < sizes[0].rows);
}

std::vector<SegmentRef> refs_of(const std::vector<SegmentRef>& segments, std::span<const size_t> which) {
  std::vector<SegmentRef> refs;
  for (const size_t i : which) refs.push_back(segments[i]);
  return refs;
}

// Puts the merged segment in the place of the first of those that it replaces. False, and nothing is changed: they are
// not all there any more.
template <class Opened>
bool replace_refs(std::vector<SegmentRef>& segments, const std::vector<SegmentRef>& gone,
                  const WrittenSegment<Opened>& merged) {
  const auto in = [](const std::vector<SegmentRef>& refs, const FileRef& file) {
    return std::any_of(refs.begin(), refs.end(), [&](const SegmentRef& ref) { return ref.file == file; });
  };
  if (!std::all_of(gone.begin(), gone.end(), [&](const SegmentRef& ref) { return in(segments, ref.file); }))
    return false;
  std::vector<SegmentRef> next;
  bool placed = !merged.opened;
  for (const SegmentRef& ref : segments) {
    const bool goes = in(gone, ref.file);
    if (goes && !placed) next.push_back(merged.ref);
    placed |= goes;
    if (!goes) next.push_back(ref);
  }
  segments = std::move(next);
  return true;
}

}  // namespace

MergePlan plan_upkeep(const CollectionState& collection) {
  MergePlan plan;
  plan.records = choose_merge(sizes_of(collection.manifest.records, *collection.records->view()));
  for (size_t g = 0; g < collection.vectors.size(); ++g) {
    const auto vectors = collection.vectors[g]->view();
    const std::vector<SegmentSize> sizes = sizes_of(collection.manifest.generations[g].segments, *vectors);
    const uint64_t head_live = vectors->head_rows - vectors->head_deleted.count();
    plan.seals |= head_is_due(sizes, head_live);
    if (!plan.vectors.empty()) continue;
    plan.vectors = choose_merge(sizes);
    plan.generation = plan.vectors.empty() ? 0 : g;
  }
  return plan;
}

MergePlan plan_optimize(const CollectionState& collection, size_t generation) {
  MergePlan plan;
  if (generation >= collection.vectors.size()) return plan;
  plan.generation = generation;
  const auto vectors = collection.vectors[generation]->view();
  const std::vector<SegmentSize> sizes = sizes_of(collection.manifest.generations[generation].segments, *vectors);
  // As it was sealed: neither ordered nor measured.
  const bool raw = sizes.size() == 1 && vectors->parts[0].part->calibration.points.empty();
  if (raw || improvable(sizes)) plan.vectors = all_of(sizes);
  if (generation > 0) return plan;
  const std::vector<SegmentSize> record_sizes = sizes_of(collection.manifest.records, *collection.records->view());
  if (improvable(record_sizes)) plan.records = all_of(record_sizes);
  return plan;
}

Merge::Merge(Workshop& shop, std::shared_ptr<CollectionState> collection, const MergePlan& plan)
    : shop_(shop),
      collection_(std::move(collection)),
      plan_(plan),
      manifest_before_(collection_->manifest),
      version_before_(collection_->version),
      records_before_(parts_of(*collection_->records->view(), plan.records)),
      vectors_before_(parts_of(*vector_set().view(), plan.vectors)),
      added_(shop.open, shop.numbers),
      files_(shop.open, added_, shop.codec) {}

void Merge::build(int threads) {
  if (!plan_.records.empty()) records_ = files_.write_records(records_before_);
  if (plan_.vectors.empty() || vectors_before_.live == 0) return;
  vectors_ =
      files_.write_vectors(VectorSet::merge(vectors_before_, threads), manifest_before_.generations[plan_.generation]);
}

// What died since the merge took its view is in the log behind the manifest's version, and dies again when that is
// replayed: a bitmap is needed only where the head was sealed meanwhile.
bool Merge::publish() {
  const auto found = shop_.collections.find(collection_->id);
  if (found == shop_.collections.end() || found->second != collection_) return false;
  Manifest manifest = collection_->manifest;
  const std::vector<SegmentRef> records_gone = refs_of(manifest_before_.records, plan_.records);
  const std::vector<SegmentRef> vectors_gone =
      refs_of(manifest_before_.generations[plan_.generation].segments, plan_.vectors);
  if (!replace_refs(manifest.records, records_gone, records_)) return false;
  if (!replace_refs(manifest.generations[plan_.generation].segments, vectors_gone, vectors_)) return false;
  const bool sealed_since = manifest.version != manifest_before_.version;
  if (sealed_since) write_died_since(manifest);
  Root root = shop_.ledger.next_root(false);
  const FileRef ref = files_.write_manifest(manifest);
  // The rows that had died are gone, and where there is a bitmap, those that have died since.
  enter(root, *collection_, ref, sealed_since ? collection_->version : version_before_);
  shop_.ledger.publish(std::move(root), added_);
  try {
    collection_->manifest = std::move(manifest);
    collection_->manifest_ref = ref;
    if (!plan_.records.empty()) collection_->records->replace_parts(records_before_, records_.opened);
    if (!plan_.vectors.empty()) vector_set().replace_parts(vectors_before_, vectors_.opened);
    collection_->show();
  } catch (...) {  // no memory
    shop_.ledger.poison("merged segments could not take their place in memory");
    throw;
  }
  return true;
}

void Merge::write_died_since(Manifest& manifest) {
  for (SegmentRef& ref : manifest.records) {
    if (!records_.opened || ref.file != records_.ref.file) continue;
    files_.write_deleted(ref, collection_->records->died_since(records_before_, *records_.opened));
  }
  for (SegmentRef& ref : manifest.generations[plan_.generation].segments) {
    if (!vectors_.opened || ref.file != vectors_.ref.file) continue;
    files_.write_deleted(ref, vector_set().died_since(vectors_before_, *vectors_.opened));
  }
}

}  // namespace lamina
