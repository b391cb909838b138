// What a writer does with older versions: reading one, naming one, going on from one, letting go of them.
#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "segment/format.h"
#include "store/writer.h"

namespace lamina {

History Writer::history_of(const std::string& name) {
  const auto collection = catalog_.state(name);
  auto newest = roots_.read(ledger_->root().seq);
  if (!newest) throw CorruptionError(paths_.root_file(ledger_->root().seq), 0, "the newest root", "no file");
  KnownState known{std::move(*newest), ledger_->log_bytes(), catalog_.version()};
  return {files_, roots_, std::move(known), collection->id, collection->handle->snapshot()};
}

// The collection at a version, with nothing in its heads.
PastState Writer::sealed_at(const std::string& name, const VersionRef& wanted, SegmentFiles& files) {
  if (wanted.version || wanted.tag || wanted.time_us) {
    if (auto past = history_of(name).find(wanted)) {
      Seal::apart(past->collection, files);
      return std::move(*past);
    }
  }
  auto newest = catalog_.state(name);
  newest->open_to_write();
  if (newest->unsealed()) {
    lamina::seal(*shop_);
    log_bytes_ = ledger_->log_bytes();
  }
  return {std::move(newest), nullptr};
}

std::shared_ptr<const Snapshot> Writer::snapshot(const std::string& name, const VersionRef& wanted) {
  require_open();
  std::unique_lock turn(turn_);
  const History history = history_of(name);
  turn.unlock();
  return history.snapshot(wanted);
}

std::vector<VersionInfo> Writer::versions(const std::string& name) {
  require_open();
  std::unique_lock turn(turn_);
  const History history = history_of(name);
  turn.unlock();
  return history.versions();
}

uint64_t Writer::tag(const std::string& name, const std::string& tag, const VersionRef& wanted) {
  if (tag.empty()) throw std::invalid_argument("a tag needs a name");
  const std::lock_guard sealing(sealing_);
  const Turn turn = take_turn();
  const uint64_t id = catalog_.state(name)->id;
  for (const Root::Tag& other : ledger_->root().tags) {
    if (other.collection != id || other.name != tag) continue;
    throw std::invalid_argument("collection '" + name + "' has a tag '" + tag + "' already, on version " +
                                std::to_string(other.version) + "; untag it first");
  }
  NewFiles added(files_, numbers_);
  SegmentFiles files(files_, added, codec_);
  const PastState tagged = sealed_at(name, wanted, files);
  const CollectionState& state = *tagged.collection;
  Root root = ledger_->next_root(false);
  root.tags.push_back({tag, id, state.version, state.time_us, state.manifest_ref, {}});
  ledger_->publish(std::move(root), added);
  return state.version;
}

void Writer::untag(const std::string& name, const std::string& tag) {
  const Turn turn = take_turn();
  const uint64_t id = catalog_.state(name)->id;
  NewFiles none(files_, numbers_);
  Root root = ledger_->next_root(false);
  const size_t removed =
      std::erase_if(root.tags, [&](const Root::Tag& one) { return one.collection == id && one.name == tag; });
  if (removed == 0) throw NotFoundError("collection '" + name + "' has no tag '" + tag + "'");
  ledger_->publish(std::move(root), none);
}

namespace {

// Takes all records but those of `only` out of a collection that is being made, whose rows are all sealed.
void keep_only(CollectionState& made, const RecordView& only, SegmentFiles& files) {
  std::vector<uint64_t> gone;
  const auto before = made.records->view();
  for (std::optional<RecordRef> last;;) {
    const std::vector<RecordRef> rows = before->scan(last, 4096);
    if (rows.empty()) break;
    for (const RecordRef row : rows) {
      const uint64_t rid = before->fields_at(row).rid;
      if (!only.find_rid(rid).found()) gone.push_back(rid);
    }
    last = rows.back();
  }
  made.records->erase(gone);
  made.served_vectors().erase(gone);
  const auto records = made.records->view();
  const auto vectors = made.served_vectors().view();
  std::vector<SegmentRef>& segments = made.served().segments;
  for (size_t i = 0; i < records->parts.size(); ++i) {
    files.write_deleted(made.manifest.records[i], records->parts[i].deleted);
  }
  for (size_t i = 0; i < segments.size(); ++i) files.write_deleted(segments[i], vectors->parts[i].deleted);
}

}  // namespace

std::shared_ptr<Collection> Writer::branch(const std::string& name, const std::string& branch, const VersionRef& wanted,
                                           const Snapshot* only) {
  const std::lock_guard sealing(sealing_);
  const Turn turn = take_turn();
  require_free(branch);
  NewFiles added(files_, numbers_);
  SegmentFiles files(files_, added, codec_);
  const PastState from = sealed_at(name, wanted, files);
  if (only != nullptr && only->version != from.collection->version) {
    throw ConflictError("collection '" + name + "' is at version " + std::to_string(from.collection->version) +
                        ", and what is to be kept is of " + std::to_string(only->version));
  }
  Root root = ledger_->next_root(true);
  const auto trunk = std::ranges::find(root.collections, from.collection->id, &Root::Collection::id);
  const uint64_t lineage = trunk->lineage;
  CollectionSpec spec = *from.collection->spec;
  spec.migration = {.cut_overs = spec.migration.cut_overs};  // the migration stays with its collection
  const auto made = std::make_shared<CollectionState>(root.next_collection++, branch, spec, root.version);
  made->time_us = root.time_us;
  adopt_rows(*made, *from.collection);
  if (only != nullptr) keep_only(*made, *only->records, files);
  made->manifest_ref = files.write_manifest(made->manifest);
  enter(root, *made, made->manifest_ref, root.version).lineage = lineage;
  publish(std::move(root), added, {&made, 1});
  return made->handle;
}

void Writer::rename_collection(const std::string& from, const std::string& to, bool replace) {
  const Turn turn = take_turn();
  const auto moved = catalog_.state(from);
  if (from == to) return;
  const auto taken = std::ranges::find_if(collections_, [&](const auto& one) { return one.second->name() == to; });
  if (!replace || taken == collections_.end()) require_free(to);
  NewFiles added(files_, numbers_);
  Root root = ledger_->next_root(true);
  if (taken != collections_.end()) replace_in(root, taken->first, moved->id, added);
  std::ranges::find(root.collections, moved->id, &Root::Collection::id)->name = to;
  ledger_->publish(std::move(root), added);
  if (taken != collections_.end()) collections_.erase(taken);
  moved->handle->rename(to);
  catalog_.set(collections_);
  catalog_.set_version(ledger_->version());
}

// In `root` the tags of collection `gone` become those of `heir`, and `gone` goes.
void Writer::replace_in(Root& root, uint64_t gone, uint64_t heir, NewFiles& added) {
  std::erase_if(root.collections, [&](const Root::Collection& entry) { return entry.id == gone; });
  SegmentFiles files(files_, added, codec_);
  for (Root::Tag& tag : root.tags) {
    if (tag.collection != gone) continue;
    const auto same = [&](const Root::Tag& one) { return one.collection == heir && one.name == tag.name; };
    if (std::ranges::any_of(root.tags, same)) {
      throw std::invalid_argument("both collections have a tag '" + tag.name + "'; untag one of them first");
    }
    Manifest manifest = files_.manifest(tag.manifest);
    manifest.collection = heir;
    tag.manifest = files.write_manifest(manifest);
    tag.collection = heir;
  }
}

namespace {

// That of a version with the model that it had, for a collection as it is now. `model` names it; zero: the one that is
// served now.
CollectionSpec spec_across(const CollectionSpec& now, const CollectionSpec& past, const Fingerprint& model) {
  CollectionSpec spec = now;
  if (past.fingerprint != (model == Fingerprint{} ? now.fingerprint : model)) {
    throw ModelMismatchError("that version has the vectors of another model, with fingerprint " +
                             hex(std::as_bytes(std::span(past.fingerprint))) + ": name it to go back to it (model=)");
  }
  if (past.fingerprint == now.fingerprint) return spec;
  spec.vectors = past.vectors;
  spec.fingerprint = past.fingerprint;
  spec.model = past.model;
  ++spec.migration.cut_overs;
  return spec;
}

}  // namespace

uint64_t Writer::rollback(const std::string& name, const VersionRef& wanted, const Fingerprint& model) {
  const std::lock_guard sealing(sealing_);
  const Turn turn = take_turn();
  const auto before = catalog_.state(name);
  before->open_to_write();
  if (before->manifest.migration.stage != MigrationStage::kNone) {
    throw MigrationStateError("collection '" + name + "' is in a migration: finalize or abort it first");
  }
  NewFiles added(files_, numbers_);
  SegmentFiles files(files_, added, codec_);
  const PastState past = sealed_at(name, wanted, files);
  const CollectionSpec spec = spec_across(*before->spec, *past.collection->spec, model);
  if (past.collection == before) return before->version;
  Root root = ledger_->next_root(true);
  const auto after = std::make_shared<CollectionState>(before->id, name, spec, root.version);
  after->time_us = root.time_us;
  after->handle = before->handle;
  after->next_rid = before->next_rid;
  adopt_rows(*after, *past.collection);
  after->manifest_ref = files.write_manifest(after->manifest);
  enter(root, *after, after->manifest_ref, root.version);
  publish(std::move(root), added, {&after, 1});
  return after->version;
}

bool Writer::sweep_is_due() const {
  const Turn turn(turn_);
  return ledger_->root().seq != swept_root_ || now_us() >= garbage_.next_due_us(options_.keep_versions_us);
}

CleanupReport Writer::sweep(int64_t keep_us) {
  const std::vector<std::string> listed = garbage_.list();
  Root newest;
  std::set<uint64_t> unsettled;
  {
    const Turn turn(turn_);
    newest = ledger_->root();
    unsettled = numbers_.unsettled();
  }
  swept_root_ = newest.seq;
  return garbage_.sweep(listed, newest, unsettled, now_us() - keep_us);
}

void Writer::tidy() {
  try {
    sweep(options_.keep_versions_us);
  } catch (const Error&) {  // what is left goes another time
  }
}

CleanupReport Writer::cleanup(int64_t older_than_us) {
  const std::lock_guard maintenance(maintenance_);
  { const Turn turn = take_turn(); }
  return sweep(older_than_us);
}

}  // namespace lamina
