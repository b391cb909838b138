// The steps of a migration that change which generations a collection has, and which of them is served. Each is one
// published root: a crash leaves the collection before it or behind it.
#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "segment/format.h"
#include "store/generation.h"
#include "store/writer.h"

namespace lamina {
namespace {

[[noreturn]] void refuse(const std::string& collection, const std::string& why) {
  throw MigrationStateError("collection '" + collection + "' " + why);
}

void require_stage(const std::string& collection, const Manifest& manifest, MigrationStage stage) {
  const MigrationStage found = manifest.migration.stage;
  if (found == stage) return;
  if (found == MigrationStage::kNone) refuse(collection, "has no migration: begin one with migrate(to=...)");
  if (found == MigrationStage::kBackfill) refuse(collection, "is in a migration that has not been cut over");
  if (stage == MigrationStage::kNone) refuse(collection, "is in a migration: finalize() or roll it back first");
  refuse(collection, "has been cut over: finalize() ends the migration, or rollback() goes back");
}

// Rows of the second generation that are to go, if it may be served: those that are stale, and may be lacking.
std::vector<uint64_t> require_complete(const std::string& collection, const Snapshot& snapshot,
                                       const Exchange& exchange) {
  if (!snapshot.other || snapshot.other->spec->fingerprint != exchange.incoming) {
    refuse(collection, "has no second generation of the model that is to be served");
  }
  std::unordered_set<Id> exempt;
  for (size_t i = 0; i < exchange.exempt.size(); ++i) exempt.insert(exchange.exempt.at(i));
  const RecordView& records = *snapshot.records;
  std::vector<uint64_t> stale_rids;
  MissingCounts missing;
  for_each_missing(*snapshot.other, [&](RecordRef where, bool stale) {
    if (!exchange.allow_missing && !exempt.contains(records.id_at(where))) {
      ++(stale ? missing.stale : missing.owed);
    } else if (stale) {
      stale_rids.push_back(records.fields_at(where).rid);
    }
  });
  if (missing.owed + missing.stale == 0) return stale_rids;
  refuse(collection, "cannot be served by the other generation yet: there " + std::to_string(missing.owed) +
                         " records are owed a vector, and " + std::to_string(missing.stale) +
                         " have one of what they were before");
}

// Writes bitmaps for the second generation without these rows.
void drop_rows(const CollectionState& collection, std::span<const uint64_t> rids, Generation& second,
               SegmentFiles& files) {
  VectorSet without(second.spec, collection.vectors[1]->view()->parts);
  if (without.erase(rids) == 0) return;
  const auto view = without.view();
  for (size_t i = 0; i < second.segments.size(); ++i) files.write_deleted(second.segments[i], view->parts[i].deleted);
}

}  // namespace

uint64_t Writer::change_manifest(const std::string& name, const ManifestChange& change) {
  seal();  // most of it while others write
  const std::lock_guard sealing(sealing_);
  const Turn turn = take_turn();
  const auto before = catalog_.state(name);
  before->open_to_write();
  if (before->unsealed()) {
    lamina::seal(*shop_);
    log_bytes_ = ledger_->log_bytes();
  }
  NewFiles added(files_, numbers_);
  SegmentFiles files(files_, added, codec_);
  Manifest manifest = before->manifest;
  change(*before, manifest, files);
  Root root = ledger_->next_root(true);
  manifest.version = root.version;
  Root::Collection& entry = *std::ranges::find(root.collections, before->id, &Root::Collection::id);
  entry.version = entry.since = root.version;
  entry.time_us = root.time_us;
  entry.manifest = files.write_manifest(manifest);
  const auto after = open_collection(files_, entry);
  after->handle = before->handle;
  publish(std::move(root), added, {&after, 1});
  return after->version;
}

uint64_t Writer::begin_migration(const std::string& name, const CollectionSpec& to) {
  validate(to.vectors);
  return change_manifest(name, [&](const CollectionState& collection, Manifest& manifest, SegmentFiles&) {
    require_stage(name, manifest, MigrationStage::kNone);
    if (to.fingerprint == collection.spec->fingerprint) refuse(name, "is served by this very model already");
    manifest.generations.push_back({"", to.fingerprint, to.model, to.vectors, {}, {}});
    manifest.migration.stage = MigrationStage::kBackfill;
    manifest.migration.note = to.migration.note;
  });
}

uint64_t Writer::exchange(const std::string& name, const Exchange& exchange) {
  const auto known = collection(name)->snapshot();
  std::vector<uint64_t> stale_rids = require_complete(name, *known, exchange);
  return change_manifest(name, [&](const CollectionState& collection, Manifest& manifest, SegmentFiles& files) {
    const auto now = collection.snapshot();
    if (now->version != known->version) stale_rids = require_complete(name, *now, exchange);
    drop_rows(collection, stale_rids, manifest.generations[1], files);
    std::swap(manifest.generations[0], manifest.generations[1]);
    const bool over = manifest.migration.stage == MigrationStage::kBackfill;
    manifest.migration.stage = over ? MigrationStage::kCutOver : MigrationStage::kBackfill;
    ++manifest.migration.cut_overs;
    manifest.migration.note = exchange.note;
  });
}

uint64_t Writer::end_migration(const std::string& name, MigrationStage stage) {
  return change_manifest(name, [&](const CollectionState&, Manifest& manifest, SegmentFiles&) {
    require_stage(name, manifest, stage);
    manifest.generations.pop_back();
    manifest.migration.stage = MigrationStage::kNone;
  });
}

uint64_t Writer::note_migration(const std::string& name, const std::string& note) {
  return change_manifest(name, [&](const CollectionState&, Manifest& manifest, SegmentFiles&) {
    if (manifest.generations.size() == 1) require_stage(name, manifest, MigrationStage::kBackfill);
    manifest.migration.note = note;
  });
}

}  // namespace lamina
