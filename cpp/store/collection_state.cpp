#include "store/collection_state.h"

#include "base/error.h"
#include "segment/format.h"

namespace lamina {
namespace {

std::shared_ptr<const CollectionSpec> spec_of(const Manifest& manifest) {
  const Generation& served = manifest.generations.front();
  auto spec = std::make_shared<CollectionSpec>();
  spec->id_kind = manifest.id_kind;
  spec->vectors = served.spec;
  spec->fingerprint = served.fingerprint;
  spec->model = served.model;
  spec->settings = manifest.settings;
  return spec;
}

void require_known(const Manifest& manifest, const std::string& file, const Root::Collection& entry) {
  if (manifest.collection != entry.id) {
    throw CorruptionError(file, 0, "collection " + std::to_string(entry.id), std::to_string(manifest.collection));
  }
  if (manifest.version > entry.version) {
    throw CorruptionError(file, 0, "at most version " + std::to_string(entry.version),
                          std::to_string(manifest.version));
  }
  if (manifest.generations.empty()) throw CorruptionError(file, 0, "a generation", "none");
  if (manifest.generations.size() > 1) too_new(file, "a second generation");
  if (!manifest.generations.front().field.empty()) too_new(file, "a named field");
}

}  // namespace

void CollectionState::show() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = version;
  snapshot->spec = spec;
  snapshot->records = records->view();
  snapshot->vectors = vectors->view();
  handle->show(std::move(snapshot));
}

void CollectionState::set_settings(std::string_view settings) {
  auto changed = std::make_shared<CollectionSpec>(*spec);
  changed->settings = settings;
  spec = std::move(changed);
}

void CollectionState::decide_id_kind(IdKind kind) {
  if (spec->id_kind) return;
  auto decided = std::make_shared<CollectionSpec>(*spec);
  decided->id_kind = kind;
  records = std::make_unique<RecordSet>(kind, std::vector<RecordView::SealedPart>());
  spec = std::move(decided);
}

std::shared_ptr<CollectionState> open_collection(OpenFiles& files, const Root::Collection& entry) {
  auto state = std::make_shared<CollectionState>();
  state->id = entry.id;
  state->manifest = files.manifest(entry.manifest, &state->writable);
  state->manifest_ref = entry.manifest;
  require_known(state->manifest, files.paths().file(entry.manifest.number, kManifestFile), entry);
  state->spec = spec_of(state->manifest);
  state->version = entry.version;
  state->last_frame = state->manifest.version;
  state->next_rid = state->manifest.next_rid;

  std::vector<RecordView::SealedPart> records;
  for (const SegmentRef& ref : state->manifest.records) {
    auto segment = files.records(ref, *state->manifest.id_kind);
    records.push_back({std::move(segment), files.deleted(ref)});
  }
  state->records = std::make_unique<RecordSet>(state->manifest.id_kind.value_or(IdKind::kInt), std::move(records));

  std::vector<View::SealedPart> vectors;
  for (const SegmentRef& ref : state->served().segments) {
    const auto segment = files.vectors(ref, state->served());
    vectors.push_back({std::shared_ptr<const Part>(segment, &segment->part()), files.deleted(ref)});
  }
  state->vectors = std::make_unique<VectorSet>(state->served().spec, std::move(vectors));
  state->handle = std::make_shared<CollectionHandle>(entry.name);
  return state;
}

std::shared_ptr<CollectionState> new_collection(uint64_t id, const std::string& name, const CollectionSpec& spec,
                                                uint64_t version) {
  auto state = std::make_shared<CollectionState>();
  state->id = id;
  state->manifest.name = name;
  state->manifest.collection = id;
  state->manifest.id_kind = spec.id_kind;
  state->manifest.version = version;
  state->manifest.settings = spec.settings;
  Generation served;
  served.fingerprint = spec.fingerprint;
  served.model = spec.model;
  served.spec = spec.vectors;
  state->manifest.generations.push_back(std::move(served));
  state->spec = std::make_shared<const CollectionSpec>(spec);
  state->version = version;
  state->last_frame = version;
  state->records = std::make_unique<RecordSet>(spec.id_kind.value_or(IdKind::kInt), std::vector<RecordView::SealedPart>());
  state->vectors = std::make_unique<VectorSet>(spec.vectors);
  state->handle = std::make_shared<CollectionHandle>(name);
  return state;
}

}  // namespace lamina
