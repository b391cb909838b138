#include "store/collection_state.h"

#include <algorithm>

#include "base/error.h"
#include "segment/format.h"
#include "store/replay.h"

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
  spec->migration = manifest.migration;
  return spec;
}

Generation generation_as(const CollectionSpec& spec) {
  Generation generation;
  generation.fingerprint = spec.fingerprint;
  generation.model = spec.model;
  generation.spec = spec.vectors;
  return generation;
}

void require_generations(const Manifest& manifest, const std::string& file) {
  const std::vector<Generation>& all = manifest.generations;
  if (all.empty()) throw CorruptionError(file, 0, "a generation", "none");
  if (all.size() > 2) too_new(file, "a third generation");
  for (const Generation& one : all) {
    if (!one.field.empty()) too_new(file, "a named field");
  }
  if ((all.size() == 2) != (manifest.migration.stage != MigrationStage::kNone)) {
    throw CorruptionError(file, 0, "two generations in a migration, and else one", std::to_string(all.size()));
  }
  if (all.size() == 2 && all[0].fingerprint == all[1].fingerprint) {
    throw CorruptionError(file, 0, "generations of two models", "two of the same");
  }
}

void require_known(const Manifest& manifest, const std::string& file, uint64_t id, uint64_t version) {
  if (manifest.collection != id) {
    throw CorruptionError(file, 0, "collection " + std::to_string(id), std::to_string(manifest.collection));
  }
  if (manifest.version > version) {
    throw CorruptionError(file, 0, "at most version " + std::to_string(version), std::to_string(manifest.version));
  }
  require_generations(manifest, file);
}

}  // namespace

std::shared_ptr<const Snapshot> CollectionHandle::snapshot() const {
  for (;;) {
    if (auto shown = snapshot_.load()) return shown;
    std::shared_ptr<CollectionState> state;
    {
      const std::lock_guard lock(mutex_);
      if (auto shown = snapshot_.load()) return shown;
      state = expected_.lock();
    }
    if (!state && dropped_.load()) throw NotFoundError("the collection '" + name() + "' was dropped");
    if (!state) throw ClosedError("the store is closed");
    state->open();  // shows itself, unless another one is expected by now
  }
}

void CollectionHandle::show(std::shared_ptr<const Snapshot> snapshot) {
  const auto shown = snapshot_.load();  // destroyed without the lock, here and below
  const std::lock_guard lock(mutex_);
  snapshot_.store(std::move(snapshot));
  expected_.reset();
}

void CollectionHandle::expect(const std::shared_ptr<CollectionState>& state) {
  const auto shown = snapshot_.load();
  const std::lock_guard lock(mutex_);
  if (state) snapshot_.store(nullptr);
  expected_ = state;
}

void CollectionHandle::show_expected(const CollectionState& state, std::shared_ptr<const Snapshot> snapshot) {
  const auto shown = snapshot_.load();
  std::shared_ptr<CollectionState> expected;
  const std::lock_guard lock(mutex_);
  expected = expected_.lock();
  if (expected.get() != &state) return;
  snapshot_.store(std::move(snapshot));
  expected_.reset();
}

CollectionState::CollectionState(OpenFiles& open_files, const Root::Collection& entry, std::shared_ptr<const void> pin)
    : id(entry.id),
      manifest_ref(entry.manifest),
      version(entry.version),
      time_us(entry.time_us),
      handle(std::make_shared<CollectionHandle>(entry.name)),
      files_(&open_files),
      pin_(std::move(pin)),
      opened_(false) {}

CollectionState::CollectionState(uint64_t new_id, const std::string& name, const CollectionSpec& new_spec,
                                 uint64_t new_version)
    : id(new_id),
      version(new_version),
      last_frame(new_version),
      handle(std::make_shared<CollectionHandle>(name)),
      spec(std::make_shared<const CollectionSpec>(new_spec)),
      records(
          std::make_unique<RecordSet>(new_spec.id_kind.value_or(IdKind::kInt), std::vector<RecordView::SealedPart>())),
      files_(nullptr),
      opened_(true) {
  manifest.name = name;
  manifest.collection = id;
  manifest.id_kind = spec->id_kind;
  manifest.version = version;
  manifest.settings = spec->settings;
  manifest.migration = spec->migration;
  manifest.generations.push_back(generation_as(*spec));
  vectors.push_back(std::make_unique<VectorSet>(spec->vectors));
}

void CollectionState::open() {
  if (opened()) return;
  const std::lock_guard lock(opening_);
  if (opened()) return;
  open_files();
  for (LogFrames& log : pending_) {
    std::erase_if(log.frames, [&](const LogFrame& frame) { return frame.version <= manifest.version; });
    replay(*this, log.frames, log.file);
    log.mapping->require_whole();
  }
  handle->show_expected(*this, snapshot());
  pending_.clear();
  pin_.reset();
  opened_.store(true);
}

void CollectionState::open_to_write() {
  open();
  if (writable_) return;
  too_new(files_->paths().file(manifest_ref.number, kManifestFile),
          "a feature that this build can only read past: open the store read-only");
}

void CollectionState::open_files() {
  manifest = files_->manifest(manifest_ref, &writable_);
  require_known(manifest, files_->paths().file(manifest_ref.number, kManifestFile), id, version);
  spec = spec_of(manifest);
  next_rid = manifest.next_rid;
  last_frame = std::max(last_frame, manifest.version);

  std::vector<RecordView::SealedPart> record_parts;
  for (const SegmentRef& ref : manifest.records) {
    auto segment = files_->records(ref, *manifest.id_kind);
    record_parts.push_back({std::move(segment), files_->deleted(ref)});
  }
  records = std::make_unique<RecordSet>(manifest.id_kind.value_or(IdKind::kInt), std::move(record_parts));

  vectors.clear();
  for (const Generation& generation : manifest.generations) {
    std::vector<View::SealedPart> vector_parts;
    for (const SegmentRef& ref : generation.segments) {
      const auto segment = files_->vectors(ref, generation);
      vector_parts.push_back({std::shared_ptr<const Part>(segment, &segment->part()), files_->deleted(ref)});
    }
    vectors.push_back(std::make_unique<VectorSet>(generation.spec, std::move(vector_parts)));
  }
}

std::optional<size_t> CollectionState::generation_of(const Fingerprint& fingerprint) const {
  for (size_t i = 0; i < manifest.generations.size(); ++i) {
    if (manifest.generations[i].fingerprint == fingerprint) return i;
  }
  return {};
}

void CollectionState::take(LogFrames log) {
  const std::lock_guard lock(opening_);
  std::erase_if(log.frames, [&](const LogFrame& frame) { return frame.version <= last_frame; });
  if (log.frames.empty()) return;
  if (opened()) {
    replay(*this, log.frames, log.file);
    log.mapping->require_whole();
  }
  in_log = true;
  last_frame = log.frames.back().version;
  if (last_frame > version) time_us = log.frames.back().time_us;
  version = std::max(version, last_frame);
  if (!opened()) pending_.push_back(std::move(log));
}

void CollectionState::go_on(const Root::Collection& entry, std::shared_ptr<const void> pin) {
  const std::lock_guard lock(opening_);
  if (entry.version > version) time_us = entry.time_us;
  version = std::max(version, entry.version);
  if (!opened()) pin_.swap(pin);
}

void CollectionState::show() {
  const std::lock_guard lock(opening_);
  if (opened()) {
    handle->show(snapshot());
  } else {
    handle->expect(shared_from_this());
  }
}

std::shared_ptr<const Snapshot> CollectionState::snapshot() const {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = version;
  snapshot->spec = spec;
  snapshot->records = records->view();
  snapshot->vectors = snapshot->served = served_vectors().view();
  if (vectors.size() == 1) return snapshot;
  auto other = std::make_shared<Snapshot>(*snapshot);
  auto other_spec = std::make_shared<CollectionSpec>(*spec);
  const Generation& second = manifest.generations[1];
  other_spec->vectors = second.spec;
  other_spec->fingerprint = second.fingerprint;
  other_spec->model = second.model;
  other->spec = std::move(other_spec);
  other->vectors = vectors[1]->view();
  snapshot->other = std::move(other);
  return snapshot;
}

void CollectionState::place_copies(std::span<const std::shared_ptr<const Part>> copies, const Collections& current) {
  const auto found = current.find(id);
  if (found == current.end() || found->second.get() != this) return;  // dropped, or opened anew
  if (served_vectors().place_copies(copies)) show();
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

std::shared_ptr<CollectionState> open_empty(OpenFiles& files, const Root::Collection& entry) {
  Manifest manifest = files.manifest(entry.manifest);
  require_known(manifest, files.paths().file(entry.manifest.number, kManifestFile), entry.id, entry.version);
  auto state = std::make_shared<CollectionState>(entry.id, entry.name, *spec_of(manifest), entry.version);
  state->manifest_ref = entry.manifest;
  state->last_frame = manifest.version;
  state->next_rid = manifest.next_rid;
  state->manifest = std::move(manifest);
  state->vectors.clear();
  for (const Generation& one : state->manifest.generations) {
    state->vectors.push_back(std::make_unique<VectorSet>(one.spec));
  }
  return state;
}

std::shared_ptr<CollectionState> open_collection(OpenFiles& files, const Root::Collection& entry) {
  auto state = std::make_shared<CollectionState>(files, entry, nullptr);
  state->open();
  return state;
}

void adopt_rows(CollectionState& to, const CollectionState& from) {
  to.manifest.records = from.manifest.records;
  to.served().segments = from.served().segments;
  to.next_rid = to.manifest.next_rid = std::max(to.next_rid, from.next_rid);
  to.records = std::make_unique<RecordSet>(to.spec->id_kind.value_or(IdKind::kInt), from.records->view()->parts);
  to.vectors.front() = std::make_unique<VectorSet>(to.spec->vectors, from.served_vectors().view()->parts);
}

}  // namespace lamina
