#include "store/purge.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "store/writer.h"

namespace lamina {
namespace {

uint64_t number_of_bitmap(const SegmentRef& ref) { return ref.deleted ? ref.deleted->number : 0; }

Bitmap with(const Bitmap& bitmap, const std::vector<uint32_t>& rows) {
  return rows.empty() ? bitmap : bitmap.with(rows);
}

}  // namespace

bool Purge::Opened::any() const {
  const auto has = [](const OfGeneration& one) { return std::ranges::count(one.has, true) > 0; };
  return std::ranges::count(has_records, true) > 0 || std::ranges::any_of(vectors, has);
}

Purge::Opened Purge::open(const Manifest& manifest) {
  Opened opened;
  std::set<uint64_t> rids;
  for (const SegmentRef& ref : manifest.records) {
    const auto segment = open_.records(ref, *manifest.id_kind);
    std::vector<uint32_t> rows;
    for (size_t i = 0; i < ids_.size(); ++i) {
      const auto row = (*segment)->find(ids_.at(i));
      if (!row) continue;
      rows.push_back(*row);
      rids.insert((*segment)->rids()[*row]);
    }
    opened.has_records.push_back(!rows.empty());
    opened.records.push_back({segment, with(open_.deleted(ref), rows)});
  }
  for (const Generation& generation : manifest.generations) {
    opened.vectors.emplace_back();
    for (const SegmentRef& ref : generation.segments) mark_vectors(opened, ref, generation, rids);
  }
  return opened;
}

// Rows of these rids, and dead ones whose record is no longer there to say whose they were.
void Purge::mark_vectors(Opened& opened, const SegmentRef& ref, const Generation& generation,
                         const std::set<uint64_t>& rids) {
  const auto segment = open_.vectors(ref, generation);
  const Part& part = segment->part();
  if (part.guard != nullptr) part.guard->check_index();
  const Bitmap dead = open_.deleted(ref);
  const auto has_record = [&](uint64_t rid) {
    return std::ranges::any_of(opened.records,
                               [&](const auto& one) { return (*one.segment)->find_rid(rid).has_value(); });
  };
  std::vector<uint32_t> rows;
  bool has = false;
  for (uint32_t row = 0; row < part.rows; ++row) {
    if (rids.contains(part.rids[row])) rows.push_back(row);
    has |= dead.test(row) && !has_record(part.rids[row]);
  }
  opened.vectors.back().has.push_back(has || !rows.empty());
  opened.vectors.back().parts.push_back({std::shared_ptr<const Part>(segment, &part), with(dead, rows)});
}

bool Purge::is_in(const Root& root) {
  const bool in_collection = std::ranges::any_of(
      root.collections, [&](const auto& one) { return concerns(one) && is_in_manifest(one.manifest); });
  const auto of_lineage = [&](const Root::Tag& tag) {
    return std::ranges::any_of(root.collections,
                               [&](const auto& one) { return one.id == tag.collection && concerns(one); });
  };
  const bool in_tag = std::ranges::any_of(
      root.tags, [&](const Root::Tag& tag) { return of_lineage(tag) && is_in_manifest(tag.manifest); });
  return in_collection || in_tag || is_in_log(root);
}

bool Purge::is_in_manifest(const FileRef& manifest) {
  const auto known = in_manifest_.find(manifest.number);
  if (known != in_manifest_.end()) return known->second;
  return in_manifest_[manifest.number] = open(open_.manifest(manifest)).any();
}

// Frames of collections that the root does not have count: nobody can say of what lineage they were. So does a
// back-fill, which names no ids: the records that it was for may be in no manifest any more.
bool Purge::is_in_log(const Root& root) {
  const auto known = in_log_.find(root.log.number);
  if (known != in_log_.end()) return known->second;
  std::unordered_set<Id> wanted;
  for (size_t i = 0; i < ids_.size(); ++i) wanted.insert(ids_.at(i));
  std::set<uint64_t> others;
  for (const Root::Collection& one : root.collections) {
    if (!concerns(one)) others.insert(one.id);
  }
  const LoadedLog log = open_log(open_, root);
  const uint64_t size = log.mapping->bytes().size();
  const LogScan scan = scan_log(log.mapping->bytes(), log.header, kLogHeaderBytes, size);
  bool& found = in_log_[root.log.number];
  found = scan.end != size;  // what does not read may be anything
  for (const LogFrame& frame : scan.frames) {
    const DecodedOperations decoded(frame, log.path);
    for (const Operation& operation : decoded.operations()) {
      if (const auto* filled = std::get_if<VectorsOperation>(&operation)) found |= !others.contains(filled->collection);
      const auto* put = std::get_if<PutOperation>(&operation);
      if (put == nullptr || others.contains(put->collection)) continue;
      for (size_t i = 0; i < put->ids.size(); ++i) found |= wanted.contains(put->ids.at(i));
    }
  }
  return found;
}

SegmentRef* Purge::rewritten_records(const SegmentRef& ref, const RecordView::SealedPart& part, IdKind id_kind) {
  const auto [at, fresh] = records_.try_emplace(Source{ref.file.number, number_of_bitmap(ref)});
  if (fresh) {
    RecordView view;
    view.id_kind = id_kind;
    view.parts = {part};
    view.live = (*part.segment)->rows() - part.deleted.count();
    const auto written = files_.write_records(view);
    if (written.opened) at->second = written.ref;
  }
  return at->second ? &*at->second : nullptr;
}

SegmentRef* Purge::rewritten_vectors(const SegmentRef& ref, const View::SealedPart& part,
                                     const Generation& generation) {
  const auto [at, fresh] = vectors_.try_emplace(Source{ref.file.number, number_of_bitmap(ref)});
  if (fresh) {
    View view;
    view.spec = generation.spec;
    view.parts = {part};
    view.live = part.part->rows - part.deleted.count();
    if (view.live > 0) at->second = files_.write_vectors(VectorSet::rebuild(view, 0), generation).ref;
  }
  return at->second ? &*at->second : nullptr;
}

std::optional<Manifest> Purge::without(const Manifest& manifest) {
  const Opened opened = open(manifest);
  if (!opened.any()) return {};
  Manifest next = manifest;
  next.records.clear();
  for (size_t i = 0; i < manifest.records.size(); ++i) {
    const SegmentRef& ref = manifest.records[i];
    if (!opened.has_records[i]) {
      next.records.push_back(ref);
    } else if (const SegmentRef* written = rewritten_records(ref, opened.records[i], *manifest.id_kind)) {
      next.records.push_back(*written);
    }
  }
  for (size_t g = 0; g < next.generations.size(); ++g) {
    Generation& generation = next.generations[g];
    const std::vector<SegmentRef> before = std::exchange(generation.segments, {});
    for (size_t i = 0; i < before.size(); ++i) {
      if (!opened.vectors[g].has[i]) {
        generation.segments.push_back(before[i]);
      } else if (const auto* written = rewritten_vectors(before[i], opened.vectors[g].parts[i], generation)) {
        generation.segments.push_back(*written);
      }
    }
  }
  return next;
}

namespace {

// No reader can take hold of a root that is locked so. LockedError if one holds it.
std::unique_ptr<FileLock> lock_root(FileSystem& fs, const std::string& path) {
  if (auto lock = fs.try_lock(path)) return lock;
  throw LockedError(path,
                    "a reader holds a version with records that are to be purged; close it, or reload() once "
                    "they are deleted and the collection is optimized");
}

uint64_t count_live(const RecordView& records, const Ids& ids) {
  uint64_t live = 0;
  for (size_t i = 0; i < ids.size(); ++i) live += records.find(ids.at(i)).found() ? 1 : 0;
  return live;
}

}  // namespace

// In this order: all files are written; the roots that have the records are locked, so that nobody reads them any more;
// the root without the records is published; those that were locked go, then what only they named. A crash before the
// publication changes nothing, one behind it leaves history for the next purge to find.
PurgeReport Writer::purge(const std::string& name, const Ids& ids) {
  require_open();
  const std::lock_guard maintenance(maintenance_);
  const std::lock_guard sealing(sealing_);
  PurgeReport report;
  {
    const Turn turn = take_turn();
    const auto collection = catalog_.state(name);
    collection->open_to_write();
    if (ids.size() != 0 && collection->spec->id_kind.value_or(ids.kind) != ids.kind) {
      throw std::invalid_argument("the ids are not of the kind that collection '" + name + "' has");
    }
    report.deleted = count_live(*collection->records->view(), ids);
    const std::exception_ptr damage = lamina::seal(*shop_);
    log_bytes_ = ledger_->log_bytes();
    if (damage) std::rethrow_exception(damage);  // what is left in the log may have them
    purge_in_turn(collection->id, ids);
    report.version = catalog_.state(name)->version;
  }
  sweep(options_.keep_versions_us);
  for (const std::string& directory : {paths_.files, paths_.logs}) files_.fs().sync_directory(directory);
  return report;
}

void Writer::purge_in_turn(uint64_t id, const Ids& ids) {
  NewFiles added(files_, numbers_);
  SegmentFiles files(files_, added, codec_);
  Root root = ledger_->next_root(true);
  const auto entry_of = [&](uint64_t wanted) {
    return std::ranges::find(root.collections, wanted, &Root::Collection::id);
  };
  Purge purge(files_, files, ids, entry_of(id)->lineage);
  std::vector<std::string> holders;
  for (const uint64_t seq : roots_.list()) {
    const auto stored = roots_.read(seq);
    if (stored && purge.is_in(stored->root)) holders.push_back(paths_.root_file(seq));
  }
  if (holders.empty()) return;

  std::vector<std::shared_ptr<CollectionState>> changed;
  for (Root::Collection& entry : root.collections) {
    auto manifest = purge.concerns(entry) ? purge.without(files_.manifest(entry.manifest)) : std::nullopt;
    if (!manifest) continue;
    manifest->version = entry.version = entry.since = root.version;
    entry.time_us = root.time_us;
    entry.manifest = files.write_manifest(*manifest);
    changed.push_back(open_collection(files_, entry));
    changed.back()->handle = collections_.at(entry.id)->handle;
  }
  for (Root::Tag& tag : root.tags) {
    const bool concerned = purge.concerns(*entry_of(tag.collection));
    const auto manifest = concerned ? purge.without(files_.manifest(tag.manifest)) : std::nullopt;
    if (manifest) tag.manifest = files.write_manifest(*manifest);
  }

  std::vector<std::unique_ptr<FileLock>> locks;
  for (const std::string& path : holders) locks.push_back(lock_root(files_.fs(), path));
  publish(std::move(root), added, changed);
  for (const std::string& path : holders) files_.fs().remove(path);
  files_.fs().sync_directory(paths_.roots);
}

}  // namespace lamina
