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
      log_start_(shop.ledger.root().log.start),
      carried_(shop.ledger.log_bytes()),
      added_(shop.open, shop.numbers),
      files_(shop.open, added_, shop.codec) {
  for (const auto& [id, collection] : shop.collections) {
    if (!collection->in_log) continue;
    try {
      collection->open_to_write();
      if (collection->unsealed()) sealed_.push_back(note(collection));
    } catch (const CorruptionError& error) {
      passed_over_.insert(id);
      const std::string found = error.found + " (the writes to '" + collection->name() + "' stay in the log)";
      damage_ = std::make_exception_ptr(CorruptionError(error.file, error.offset, error.expected, found));
    }
  }
}

Seal::Sealed Seal::note(const std::shared_ptr<CollectionState>& collection) {
  for (const auto& generation : collection->vectors) {
    if (const auto part = generation->freeze_head(0)) generation->replace_head(part);
  }
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
  for (const auto& generation : collection->vectors) sealed.vectors.push_back({generation->view(), {}, {}});
  return sealed;
}

void Seal::build() {
  const LogHeader next{log_.store, added_.add_log(), log_.timeline};
  next_log_ = Log::create(shop_.open.fs(), shop_.open.paths(), next);
  if (!passed_over_.empty()) carry_passed_over();
  for (Sealed& sealed : sealed_) write(sealed, files_);
}

void Seal::write(Sealed& sealed, SegmentFiles& files) {
  sealed.records = files.write_records(head_of(*sealed.records_before));
  std::vector<std::shared_ptr<const View>> before;
  for (size_t g = 0; g < sealed.vectors.size(); ++g) {
    const Generation& generation = sealed.manifest.generations[g];
    auto& [vectors, in_memory, written] = sealed.vectors[g];
    for (size_t i = generation.segments.size(); i < vectors->parts.size(); ++i) {
      in_memory.push_back(vectors->parts[i].part);
      written.push_back(files.write_vectors(vectors->parts[i].part, generation));
      files.write_deleted(written.back().ref, vectors->parts[i].deleted);
    }
    before.push_back(vectors);
  }
  write_manifest(sealed, files, sealed.manifest, *sealed.records_before, before);
}

// `manifest` with the new segments, and with what has died in the old ones by these views.
void Seal::write_manifest(Sealed& sealed, SegmentFiles& files, Manifest manifest, const RecordView& records,
                          const std::vector<std::shared_ptr<const View>>& vectors) {
  manifest.version = sealed.manifest.version;
  manifest.next_rid = sealed.manifest.next_rid;
  manifest.id_kind = sealed.manifest.id_kind;
  manifest.settings = sealed.manifest.settings;
  for (size_t i = 0; i < manifest.records.size(); ++i) {
    files.write_deleted(manifest.records[i], records.parts[i].deleted);
  }
  for (size_t g = 0; g < manifest.generations.size(); ++g) {
    std::vector<SegmentRef>& segments = manifest.generations[g].segments;
    for (size_t i = 0; i < segments.size(); ++i) files.write_deleted(segments[i], vectors[g]->parts[i].deleted);
    for (const WrittenSegment<Part>& written : sealed.vectors[g].written) segments.push_back(written.ref);
  }
  if (sealed.records.opened) manifest.records.push_back(sealed.records.ref);
  sealed.manifest_ref = files.write_manifest(manifest);
  sealed.manifest = std::move(manifest);
}

// Calls fn(frame, path) for the frames of the log that is being replaced.
template <class Fn>
void Seal::for_each_frame(uint64_t begin, uint64_t end, Fn&& fn) const {
  const std::string path = shop_.open.paths().log_file(log_.number);
  const auto mapping = shop_.open.fs().map(path);
  const LogScan scan = scan_log(mapping->bytes(), log_, begin, end);
  if (scan.end != end) throw CorruptionError(path, scan.end, "a whole frame", "none at this place");
  for (const LogFrame& frame : scan.frames) fn(frame, path);
  mapping->require_whole();
}

void Seal::carry(uint64_t end) {
  if (end == carried_) return;
  for_each_frame(carried_, end, [&](const LogFrame& frame, const std::string&) {
    next_log_->append(frame.version, frame.time_us, frame.payload);
  });
  next_log_->sync();
  carried_ = end;
}

void Seal::carry_passed_over() {
  for_each_frame(log_start_, carried_, [&](const LogFrame& frame, const std::string& path) {
    const std::vector<uint64_t> ids = collections_of(frame, path);
    const bool needed = std::ranges::any_of(ids, [&](uint64_t id) { return passed_over_.contains(id); });
    if (needed) next_log_->append(frame.version, frame.time_us, frame.payload);
  });
  next_log_->sync();
}

bool Seal::still_there(const Sealed& sealed) const {
  const CollectionState& collection = *sealed.collection;
  const auto found = shop_.collections.find(collection.id);
  if (found == shop_.collections.end()) return false;
  if (sealed.records_before->head && collection.records->view()->head != sealed.records_before->head) return false;
  for (size_t g = 0; g < sealed.vectors.size(); ++g) {
    const auto vectors = collection.vectors[g]->view();
    const std::vector<std::shared_ptr<const Part>>& in_memory = sealed.vectors[g].in_memory;
    const size_t first = collection.manifest.generations[g].segments.size();
    if (vectors->parts.size() < first + in_memory.size()) return false;
    for (size_t i = 0; i < in_memory.size(); ++i) {
      if (vectors->parts[first + i].part != in_memory[i]) return false;
    }
  }
  return true;
}

bool Seal::was_opened_anew(const Sealed& sealed) const {
  const auto found = shop_.collections.find(sealed.collection->id);
  return found != shop_.collections.end() && found->second != sealed.collection;
}

bool Seal::publish() {
  if (shop_.ledger.log_header().number != log_.number) return false;
  if (std::ranges::any_of(sealed_, [&](const Sealed& sealed) { return was_opened_anew(sealed); })) return false;
  carry(shop_.ledger.log_bytes());
  std::erase_if(sealed_, [&](const Sealed& sealed) { return !still_there(sealed); });
  Root root = shop_.ledger.next_root(false);
  for (Sealed& sealed : sealed_) {
    const CollectionState& collection = *sealed.collection;
    if (collection.manifest_ref != sealed.manifest_before) {  // merged meanwhile
      std::vector<std::shared_ptr<const View>> now;
      for (const auto& generation : collection.vectors) now.push_back(generation->view());
      write_manifest(sealed, files_, collection.manifest, *collection.records->view(), now);
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
  for (size_t g = 0; g < sealed.vectors.size(); ++g) {
    const auto& [before, in_memory, written] = sealed.vectors[g];
    for (size_t i = 0; i < in_memory.size(); ++i) {
      collection.vectors[g]->replace_part(*in_memory[i], written[i].opened);
    }
  }
  collection.show();
}

void Seal::apart(const std::shared_ptr<CollectionState>& collection, SegmentFiles& files) {
  if (!collection->unsealed()) return;
  Sealed sealed = note(collection);
  write(sealed, files);
  replace_heads(sealed);
}

std::exception_ptr seal(Workshop& shop) {
  if (shop.ledger.log_bytes() == kLogHeaderBytes) return nullptr;
  Seal seal(shop);
  seal.build();
  seal.publish();
  return seal.passed_over();
}

}  // namespace lamina
