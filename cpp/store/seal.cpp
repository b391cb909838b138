#include "store/structure.h"

namespace lamina {
namespace {

// A collection on its way: what is written, and what takes the place of the heads once the root is published.
struct Sealed {
  std::shared_ptr<CollectionState> collection;
  Manifest manifest;
  FileRef manifest_ref;
  std::shared_ptr<const RecordView> records_before;
  WrittenSegment<SealedRecords> records;
  WrittenSegment<Part> vectors;
};

Sealed write_heads(const std::shared_ptr<CollectionState>& collection, SegmentFiles& files) {
  Sealed sealed;
  sealed.collection = collection;
  sealed.manifest = collection->manifest;
  sealed.manifest.version = collection->last_frame;
  sealed.manifest.next_rid = collection->next_rid;
  sealed.records_before = collection->records->view();
  const RecordView& records = *sealed.records_before;
  const auto vectors = collection->vectors->view();
  Generation& served = sealed.manifest.generations.front();

  for (size_t i = 0; i < records.parts.size(); ++i) {
    files.write_deleted(sealed.manifest.records[i], records.parts[i].deleted);
  }
  for (size_t i = 0; i < vectors->parts.size(); ++i) {
    files.write_deleted(served.segments[i], vectors->parts[i].deleted);
  }
  sealed.records = files.write_records(head_of(records));
  if (sealed.records.opened) sealed.manifest.records.push_back(sealed.records.ref);
  sealed.vectors = files.write_vectors(collection->vectors->freeze_head(0), served);
  if (sealed.vectors.opened) {
    files.write_deleted(sealed.vectors.ref, vectors->head_deleted);
    served.segments.push_back(sealed.vectors.ref);
  }
  sealed.manifest_ref = files.write_manifest(sealed.manifest);
  return sealed;
}

void replace_heads(Sealed& sealed) {
  CollectionState& collection = *sealed.collection;
  collection.manifest = std::move(sealed.manifest);
  collection.manifest_ref = sealed.manifest_ref;
  ++collection.epoch;
  collection.records->replace_head(*sealed.records_before, sealed.records.opened);
  if (sealed.vectors.opened) collection.vectors->replace_head(sealed.vectors.opened);
  collection.show();
}

}  // namespace

void enter(Root& root, const CollectionState& collection, uint64_t version, const FileRef& manifest) {
  for (Root::Collection& entry : root.collections) {
    if (entry.id != collection.id) continue;
    entry.version = version;
    entry.manifest = manifest;
    return;
  }
  root.collections.push_back({collection.id, collection.name(), version, manifest, {}});
}

void seal(Workshop& shop) {
  if (shop.ledger.log_bytes() == kLogHeaderBytes) return;
  NewFiles added(shop.open, shop.numbers);
  SegmentFiles files(shop.open, added, shop.codec);
  Root root = shop.ledger.next_root(false);
  std::vector<Sealed> sealed;
  for (const auto& [id, collection] : shop.collections) {
    if (!collection->unsealed()) continue;
    sealed.push_back(write_heads(collection, files));
    enter(root, *collection, collection->version, sealed.back().manifest_ref);
  }
  shop.ledger.publish(std::move(root), added, shop.ledger.new_log(added));
  try {
    for (Sealed& one : sealed) replace_heads(one);
  } catch (...) {  // no memory
    shop.ledger.poison("sealed heads could not be replaced in memory");
    throw;
  }
}

}  // namespace lamina
