#include "store/repair.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "segment/bare_part.h"
#include "store/verify.h"
#include "store/writer.h"

namespace lamina {
namespace {

// The damage that `fn` finds, if any.
template <class Fn>
std::optional<CorruptionError> find_damage(Fn&& fn) {
  try {
    fn();
    return {};
  } catch (const CorruptionError& error) {
    return error;
  }
}

void verify_primary(const RecordSegment& segment, const RecordCodec& codec) {
  for (const Section& section : segment.file().sections()) {
    if (section.role == SectionRole::kPrimary) segment.file().check_all(section);
  }
  verify_columns(segment, codec);
}

}  // namespace

void Repair::look_at(const KeptManifest& kept) {
  std::optional<Manifest> manifest;
  if (const auto damage = find_damage([&] { manifest = fresh_.manifest(kept.entry.manifest); })) {
    return lost(kept.entry.name, kept.needed_by, *damage);
  }
  for (const SegmentRef& ref : manifest->records) {
    if (seen_.insert(ref.file.number).second) look_at_records(ref, *manifest, kept);
  }
  for (const Generation& generation : manifest->generations) {
    for (const SegmentRef& ref : generation.segments) {
      if (seen_.insert(ref.file.number).second) look_at_vectors(ref, generation, kept);
    }
  }
}

void Repair::lost(const std::string& collection, const std::string& needed_by, const CorruptionError& damage) {
  report_.lost.push_back({collection, damage.what() + (" (needed by " + needed_by + ")")});
}

void Repair::look_at_records(const SegmentRef& ref, const Manifest& manifest, const KeptManifest& kept) {
  std::shared_ptr<const SealedRecords> segment;
  const auto damage = find_damage([&] {
    segment = fresh_.records(ref, *manifest.id_kind);
    verify_records(**segment, fresh_.hasher(), codec_);
  });
  if (!damage) return;
  if (!segment) return lost(kept.entry.name, kept.needed_by, *damage);
  if (const auto loss = find_damage([&] { verify_primary(**segment, codec_); }))
    return lost(kept.entry.name, kept.needed_by, *loss);
  written_[ref.file.number] = write(*segment, ref);
  report_.repaired.push_back({kept.entry.name, damage->what()});
}

void Repair::look_at_vectors(const SegmentRef& ref, const Generation& generation, const KeptManifest& kept) {
  std::shared_ptr<const VectorSegment> segment;
  std::shared_ptr<const Part> bare;
  const auto damage = find_damage([&] {
    segment = fresh_.vectors(ref, generation);
    segment->verify(fresh_.hasher());
  });
  if (!damage) return;
  if (!segment) return lost(kept.entry.name, kept.needed_by, *damage);
  if (const auto loss = find_damage([&] { bare = bare_part(segment, nullptr); }))
    return lost(kept.entry.name, kept.needed_by, *loss);
  written_[ref.file.number] = write(std::move(bare), ref, generation);
  report_.repaired.push_back({kept.entry.name, damage->what()});
}

FileRef Repair::write(const SealedRecords& sealed, const SegmentRef& ref) {
  const RecordSegment& segment = *sealed;
  std::vector<int64_t> ints;
  std::vector<std::string_view> texts;
  std::vector<RecordFields> fields;
  for (uint32_t row = 0; row < segment.rows(); ++row) {
    const Id id = segment.id_at(row);
    if (segment.id_kind() == IdKind::kInt) {
      ints.push_back(std::get<int64_t>(id));
    } else {
      texts.push_back(std::get<std::string_view>(id));
    }
    fields.push_back(segment.fields_at(row));
  }
  std::vector<RecordRows::Block> blocks;
  for (uint32_t number = 0; number < segment.block_count(); ++number) {
    const RecordSegment::Block block = segment.block(number);
    blocks.push_back({block.bytes, block.rows});
  }
  const RecordRows rows{{segment.id_kind(), ints, texts}, fields, blocks};
  return added_.add(kRecordFile, [&](Publication& out) {
    const FileRef file = write_record_segment(out, rows, ref.id, fresh_.hasher());
    segment.file().require_whole();
    return file;
  });
}

FileRef Repair::write(std::shared_ptr<const Part> bare, const SegmentRef& ref, const Generation& generation) {
  View all;
  all.spec = generation.spec;
  all.live = bare->rows;
  all.parts.push_back({std::move(bare), {}});
  const auto part = VectorSet::rebuild(all, threads_, RowOrder::kAsTheyAre);
  const VectorSegmentInfo info{ref.id, generation.fingerprint, generation.spec};
  return added_.add(kVectorFile,
                    [&](Publication& out) { return write_vector_segment(out, *part, info, fresh_.hasher()); });
}

bool Repair::replaces(const Manifest& manifest) const {
  const auto is_replaced = [&](const SegmentRef& ref) { return written_.contains(ref.file.number); };
  return std::ranges::any_of(manifest.records, is_replaced) ||
         std::ranges::any_of(manifest.generations, [&](const Generation& generation) {
           return std::ranges::any_of(generation.segments, is_replaced);
         });
}

std::vector<Root::StandIn> Repair::stand_ins(const std::vector<Root::StandIn>& before) const {
  std::map<uint64_t, FileRef> now = written_;
  for (const Root::StandIn& one : before) {
    if (seen_.contains(one.damaged)) now.emplace(one.damaged, one.file);
  }
  std::vector<Root::StandIn> stand_ins;
  for (const auto& [damaged, file] : now) stand_ins.push_back({damaged, file});
  return stand_ins;
}

RepairReport Writer::repair(int threads) {
  require_open();
  const std::lock_guard maintenance(maintenance_);  // nobody takes away what older roots name
  std::optional<StoredRoot> newest;
  {
    const Turn turn = take_turn();
    newest = roots_.read(ledger_->root().seq);
    if (!newest) throw CorruptionError(paths_.root_file(ledger_->root().seq), 0, "the newest root", "no file");
  }
  OpenFiles fresh(files_.fs(), paths_, files_.hasher(), files_.budget());  // looks at every file anew
  fresh.follow(newest->root);
  NewFiles added(files_, numbers_);
  Repair repair(fresh, added, codec_, threads);
  const auto no_way_back = [&](const CorruptionError& damage) { repair.lost("", "older versions", damage); };
  const auto look_at = [&](const Root&, const std::vector<KeptManifest>& manifests) {
    for (const KeptManifest& kept : manifests) repair.look_at(kept);
  };
  for_each_kept(roots_, *newest, look_at, no_way_back);
  if (!repair.found_anything()) return repair.report();

  const std::lock_guard sealing(sealing_);
  const Turn turn = take_turn();
  Root root = ledger_->next_root(false);
  root.stand_ins = repair.stand_ins(root.stand_ins);
  ledger_->publish(std::move(root), added);
  files_.follow(ledger_->root());
  std::vector<uint64_t> changed;
  for (const auto& [id, collection] : collections_) {
    if (collection->opened() && repair.replaces(collection->manifest)) changed.push_back(id);
  }
  for (const uint64_t id : changed) open_anew(id);
  return repair.report();
}

void Writer::open_anew(uint64_t id) {
  const Root& root = ledger_->root();
  const auto entry = std::ranges::find(root.collections, id, &Root::Collection::id);
  const auto before = collections_.at(id);
  const auto fresh = std::make_shared<CollectionState>(files_, *entry, nullptr);
  fresh->handle = before->handle;
  LoadedLog log = open_log_to(files_, root, ledger_->log_bytes());
  std::erase_if(log.scan.frames,
                [&](const LogFrame& frame) { return std::ranges::count(collections_of(frame, log.path), id) == 0; });
  fresh->take({log.mapping, log.path, std::move(log.scan.frames)});
  collections_[id] = fresh;
  fresh->show();
  catalog_.set(collections_);
}

}  // namespace lamina
