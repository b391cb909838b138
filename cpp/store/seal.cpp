#include "base/error.h"
#include "store/structure.h"

#include <algorithm>

namespace lamina {

Root::Collection& enter(Root& root, const CollectionState& collection, const FileRef& manifest, uint64_t since) {
  auto entry = std::ranges::find(root.collections, collection.id, &Root::Collection::id);
  if (entry == root.collections.end()) {
    Root::Collection added{.id = collection.id, .name = collection.name(), .lineage = collection.id};
    entry = root.collections.insert(entry, std::move(added));
  }
  entry->version = collection.version;
  entry->time_us = collection.time_us;
  entry->since = since;
  entry->manifest = manifest;
  return *entry;
}

Seal::Seal(Workshop& shop)
    : shop_(shop),
      log_(shop.ledger.log_header()),
      carried_(shop.ledger.log_bytes()),
      added_(shop.open, shop.numbers),
      files_(shop.open, added_, shop.codec) {
  for (const auto& [id, collection] : shop.collections) {
    if (!collection->in_log) continue;
    collection->open_to_write();
    if (!collection->unsealed()) continue;
    sealed_.push_back(note(collection));
  }
}

Seal::Sealed Seal::note(const std::shared_ptr<CollectionState>& collection) {
  if (const auto part = collection->vectors->freeze_head(0)) collection->vectors->replace_head(part);
  collection->show();
  Sealed sealed;
  sealed.collection = collection;
  sealed.manifest_before = collection->manifest_ref;
  sealed.manifest = collection->manifest;
  sealed.manifest.version = sealed.since = collection->last_frame;
  sealed.manifest.next_rid = collection->next_rid;
  sealed.manifest.id_kind = collection->spec->id_kind;
  sealed.manifest.settings = collection->spec->settings;
  sealed.records_before = collection->records->view();
  sealed.vectors_before = collection->vectors->view();
  return sealed;
}

void Seal::build() {
  const LogHeader next{log_.store, added_.add_log(), log_.timeline};
  next_log_ = Log::create(shop_.open.fs(), shop_.open.paths(), next);
  for (Sealed& sealed : sealed_) write(sealed, files_);
}

void Seal::write(Sealed& sealed, SegmentFiles& files) {
  const Generation& served = sealed.manifest.generations.front();
  sealed.records = files.write_records(head_of(*sealed.records_before));
  const View& vectors = *sealed.vectors_before;
  for (size_t i = served.segments.size(); i < vectors.parts.size(); ++i) {
    sealed.in_memory.push_back(vectors.parts[i].part);
    sealed.vectors.push_back(files.write_vectors(vectors.parts[i].part, served));
    files.write_deleted(sealed.vectors.back().ref, vectors.parts[i].deleted);
  }
  write_manifest(sealed, files, sealed.manifest, *sealed.records_before, vectors);
}

// `manifest` with the new segments, and with what has died in the old ones by these views.
void Seal::write_manifest(Sealed& sealed, SegmentFiles& files, Manifest manifest, const RecordView& records,
                          const View& vectors) {
  manifest.version = sealed.manifest.version;
  manifest.next_rid = sealed.manifest.next_rid;
  manifest.id_kind = sealed.manifest.id_kind;
  manifest.settings = sealed.manifest.settings;
  Generation& served = manifest.generations.front();
  for (size_t i = 0; i < manifest.records.size(); ++i) {
    files.write_deleted(manifest.records[i], records.parts[i].deleted);
  }
  for (size_t i = 0; i < served.segments.size(); ++i) {
    files.write_deleted(served.segments[i], vectors.parts[i].deleted);
  }
  if (sealed.records.opened) manifest.records.push_back(sealed.records.ref);
  for (const WrittenSegment<Part>& written : sealed.vectors) served.segments.push_back(written.ref);
  sealed.manifest_ref = files.write_manifest(manifest);
  sealed.manifest = std::move(manifest);
}

void Seal::carry(uint64_t end) {
  if (end == carried_) return;
  const std::string path = shop_.open.paths().log_file(log_.number);
  const auto mapping = shop_.open.fs().map(path);
  const LogScan scan = scan_log(mapping->bytes(), log_, carried_, end);
  if (scan.end != end) throw CorruptionError(path, scan.end, "a whole frame", "none at this place");
  for (const LogFrame& frame : scan.frames) next_log_->append(frame.version, frame.time_us, frame.payload);
  next_log_->sync();
  carried_ = end;
}

bool Seal::still_there(const Sealed& sealed) const {
  const CollectionState& collection = *sealed.collection;
  const auto found = shop_.collections.find(collection.id);
  if (found == shop_.collections.end() || found->second != sealed.collection) return false;
  if (sealed.records_before->head && collection.records->view()->head != sealed.records_before->head) return false;
  const auto vectors = collection.vectors->view();
  const size_t first = collection.served().segments.size();
  if (vectors->parts.size() < first + sealed.in_memory.size()) return false;
  for (size_t i = 0; i < sealed.in_memory.size(); ++i) {
    if (vectors->parts[first + i].part != sealed.in_memory[i]) return false;
  }
  return true;
}

bool Seal::publish() {
  if (shop_.ledger.log_header().number != log_.number) return false;
  carry(shop_.ledger.log_bytes());
  std::erase_if(sealed_, [&](const Sealed& sealed) { return !still_there(sealed); });
  Root root = shop_.ledger.next_root(false);
  for (Sealed& sealed : sealed_) {
    const CollectionState& collection = *sealed.collection;
    if (collection.manifest_ref != sealed.manifest_before) {  // merged meanwhile
      write_manifest(sealed, files_, collection.manifest, *collection.records->view(), *collection.vectors->view());
      sealed.since = collection.version;  // what has died by now is in its bitmaps
    }
    enter(root, collection, sealed.manifest_ref, sealed.since);
  }
  shop_.ledger.publish(std::move(root), added_, std::move(next_log_));
  try {
    for (Sealed& sealed : sealed_) replace_heads(sealed);
  } catch (...) {  // no memory
    shop_.ledger.poison("sealed heads could not be replaced in memory");
    throw;
  }
  return true;
}

void Seal::replace_heads(Sealed& sealed) {
  CollectionState& collection = *sealed.collection;
  collection.manifest = std::move(sealed.manifest);
  collection.manifest_ref = sealed.manifest_ref;
  collection.records->replace_head(*sealed.records_before, sealed.records.opened);
  for (size_t i = 0; i < sealed.in_memory.size(); ++i) {
    collection.vectors->replace_part(*sealed.in_memory[i], sealed.vectors[i].opened);
  }
  collection.show();
}

void Seal::apart(const std::shared_ptr<CollectionState>& collection, SegmentFiles& files) {
  if (!collection->unsealed()) return;
  Sealed sealed = note(collection);
  write(sealed, files);
  replace_heads(sealed);
}

void seal(Workshop& shop) {
  if (shop.ledger.log_bytes() == kLogHeaderBytes) return;
  Seal seal(shop);
  seal.build();
  seal.publish();
}

}  // namespace lamina
