#include "store/salvage.h"

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "segment/bare_part.h"
#include "store/ledger.h"
#include "store/replay.h"
#include "store/verify.h"

namespace lamina {
namespace {

// Calls fn; what it finds damaged, or of another format, is the answer, else "".
template <class Fn>
std::string damage_in(Fn&& fn) {
  try {
    fn();
    return {};
  } catch (const CorruptionError& e) {
    return e.what();
  } catch (const FormatVersionError& e) {
    return e.what();
  }
}

// One collection on its way, and what of it is missing.
class Salvage {
 public:
  Salvage(OpenFiles& files, const RecordCodec& codec, std::vector<Missing>& missing)
      : files_(files), codec_(codec), missing_(missing) {}

  // Null: not even its manifest can be read.
  std::shared_ptr<CollectionState> open(const Root::Collection& entry) {
    std::shared_ptr<CollectionState> state;
    const std::string manifest = files_.paths().file(entry.manifest.number, kManifestFile);
    const std::string why = damage_in([&] {
      state = open_empty(files_, entry);
      name_ = entry.name;
      state->records = records_of(state->manifest);
      for (size_t g = 0; g < state->vectors.size(); ++g) {
        state->vectors[g] = vectors_of(state->manifest.generations[g]);
      }
    });
    if (why.empty()) return state;
    missing_.push_back({entry.name, manifest, "all of the collection", 0, why});
    return nullptr;
  }

 private:
  // A segment's rows that are dead, as far as that is known.
  Bitmap deleted_of(const SegmentRef& ref, bool* known) {
    Bitmap deleted(ref.rows);
    const std::string why = damage_in([&] { deleted = files_.deleted(ref); });
    *known = why.empty();
    if (*known) return deleted;
    const std::string file = files_.paths().file(ref.deleted->number, kBitmapFile);
    missing_.push_back({name_, file, "which rows were deleted: some may be back", ref.rows - ref.live, why});
    return deleted;
  }

  void lost(const std::string& file, const char* what, uint64_t rows, const std::string& why) {
    missing_.push_back({name_, file, what, rows, why});
  }

  // Sound segments as they are; the rows of the others that check become the head, unless a newer one is there.
  std::unique_ptr<RecordSet> records_of(const Manifest& manifest) {
    std::vector<RecordView::SealedPart> sound;
    struct Damaged {
      const SegmentRef* ref;
      std::shared_ptr<const SealedRecords> segment;
      Bitmap deleted;
      std::string why;
    };
    std::vector<Damaged> damaged;
    for (const SegmentRef& ref : manifest.records) {
      const std::string file = files_.paths().file(ref.file.number, kRecordFile);
      std::shared_ptr<const SealedRecords> segment;
      const std::string unreadable = damage_in([&] { segment = files_.records(ref, *manifest.id_kind); });
      if (!segment) {
        lost(file, "records", ref.live, unreadable);
        continue;
      }
      bool known = true;
      Bitmap deleted = deleted_of(ref, &known);
      const std::string why = damage_in([&] { verify_records(**segment, files_.hasher(), codec_); });
      if (why.empty() && known) {
        sound.push_back({segment, std::move(deleted)});
      } else {
        damaged.push_back({&ref, segment, std::move(deleted), why});
      }
    }
    auto records = std::make_unique<RecordSet>(manifest.id_kind.value_or(IdKind::kInt), std::move(sound));
    for (const Damaged& one : damaged) {
      const uint64_t before = records->view()->live;
      for (uint32_t block = 0; block < (*one.segment)->block_count(); ++block) {
        damage_in([&] { put_block(*records, **one.segment, block, one.deleted); });
      }
      const uint64_t kept = records->view()->live - before;
      if (kept < one.ref->live) lost((*one.segment)->file().path(), "records", one.ref->live - kept, one.why);
    }
    return records;
  }

  void check(const RecordSegment& segment, const RecordSegment::Block& block) {
    try {
      codec_.check(block.bytes, block.rows);
    } catch (const std::invalid_argument& wrong) {
      segment.file().corrupt(0, "a whole block of columns", wrong.what());
    }
  }

  // The rows of a block that can be read, into the head.
  void put_block(RecordSet& records, const RecordSegment& segment, uint32_t number, const Bitmap& deleted) {
    const RecordSegment::Block block = segment.block(number);
    check(segment, block);
    const auto view = records.view();
    std::vector<int64_t> ints;
    std::vector<std::string_view> texts;
    std::vector<RecordFields> fields;
    std::vector<uint32_t> rows;
    for (uint32_t row = block.first_row; row < block.first_row + block.rows; ++row) {
      if (deleted.test(row)) continue;
      damage_in([&] {
        const Id id = segment.id_at(row);
        const RecordFields read = segment.fields_at(row);
        if (view->find(id).found() || view->find_rid(read.rid).found()) return;
        if (segment.id_kind() == IdKind::kInt) {
          ints.push_back(std::get<int64_t>(id));
        } else {
          texts.push_back(std::get<std::string_view>(id));
        }
        fields.push_back(read);
        rows.push_back(row - block.first_row);
      });
    }
    if (rows.empty()) return;
    const RecordCodec::Slice slice{block.bytes, rows};
    records.put({{segment.id_kind(), ints, texts}, fields, codec_.concat_take({&slice, 1})});
  }

  std::unique_ptr<VectorSet> vectors_of(const Generation& generation) {
    std::vector<View::SealedPart> parts;
    std::vector<size_t> doubtful;  // parts whose dead rows are not known
    for (const SegmentRef& ref : generation.segments) {
      const std::string file = files_.paths().file(ref.file.number, kVectorFile);
      std::shared_ptr<const VectorSegment> segment;
      std::shared_ptr<const Part> part;
      std::vector<uint32_t> unreadable;
      std::string why = damage_in([&] {
        segment = files_.vectors(ref, generation);
        segment->verify(files_.hasher());
        part = {segment, &segment->part()};
      });
      if (!part && segment) damage_in([&] { part = bare_part(segment, &unreadable); });
      if (!part) {
        lost(file, "vectors", ref.live, why);
        continue;
      }
      bool known = true;
      const Bitmap before = deleted_of(ref, &known);
      const Bitmap deleted = before.with(unreadable);
      if (deleted.count() > before.count()) lost(file, "vectors", deleted.count() - before.count(), why);
      if (!known) doubtful.push_back(parts.size());
      parts.push_back({part, deleted});
    }
    leave_each_rid_once(parts, doubtful);
    return std::make_unique<VectorSet>(generation.spec, std::move(parts));
  }

  // Of a rid that is live twice, the row in a part whose dead rows are known counts, else the newest.
  static void leave_each_rid_once(std::vector<View::SealedPart>& parts, const std::vector<size_t>& doubtful) {
    for (auto at = doubtful.begin(); at != doubtful.end(); ++at) {
      std::vector<uint64_t> elsewhere;
      for (size_t i = 0; i < parts.size(); ++i) {
        if (i == *at || std::find(doubtful.begin(), at, i) != at) continue;
        for (uint32_t row = 0; row < parts[i].part->rows; ++row) {
          if (!parts[i].deleted.test(row)) elsewhere.push_back(parts[i].part->rids[row]);
        }
      }
      std::sort(elsewhere.begin(), elsewhere.end());
      std::vector<uint32_t> dead;
      const Part& part = *parts[*at].part;
      for (uint32_t place = 0; place < part.rows; ++place) {
        const uint32_t row = part.rid_order[place];
        const bool again = place + 1 < part.rows && part.rids[part.rid_order[place + 1]] == part.rids[row];
        if (again || std::binary_search(elsewhere.begin(), elsewhere.end(), part.rids[row])) dead.push_back(row);
      }
      parts[*at].deleted = parts[*at].deleted.with(dead);
    }
  }

  OpenFiles& files_;
  const RecordCodec& codec_;
  std::vector<Missing>& missing_;
  std::string name_;  // of the collection
};

StoredRoot newest_whole(const RootStore& roots, const StorePaths& paths, std::vector<Missing>& missing) {
  std::vector<uint64_t> found = roots.list();
  while (!found.empty()) {
    std::optional<StoredRoot> stored;
    const std::string why = damage_in([&] { stored = roots.read(found.back()); });
    if (stored) return std::move(*stored);
    if (!why.empty()) missing.push_back({"", paths.root_file(found.back()), "the newest versions", 0, why});
    found.pop_back();
  }
  throw CorruptionError(paths.roots, 0, "a root that is whole", "none: there is nothing to begin from");
}

// As far as the log checks.
void read_log(OpenFiles& files, Salvaged& salvaged) {
  const Root& root = salvaged.root.root;
  LoadedLog log;
  std::string why = damage_in([&] {
    log = open_log(files, root);
    const std::optional<LockNote> note = read_note(files.fs(), files.paths(), root.store);
    read_to_end(log, root, note ? &*note : nullptr);
  });
  std::vector<LogFrame>& frames = log.scan.frames;
  for (; !follows(root.version, root.timeline, frames); frames.pop_back()) {
    if (why.empty()) why = "a version is missing";
  }
  size_t taken = 0;
  for (std::string broken; taken < frames.size() && broken.empty(); taken += broken.empty() ? 1 : 0) {
    LoadedLog one;
    one.path = log.path;
    one.mapping = log.mapping;
    one.scan.frames = {frames[taken]};
    broken = damage_in([&] { replay(one, root, salvaged.collections); });
    if (why.empty()) why = broken;
  }
  frames.resize(taken);
  salvaged.position = frames.empty() ? root.log.start : frames.back().end;
  salvaged.version = log.scan.version(root.version);
  if (why.empty()) return;
  const std::string what = "the writes after version " + std::to_string(salvaged.version);
  salvaged.missing.push_back({"", files.paths().log_file(root.log.number), what, 0, why});
}

void drop_vectors_without_records(CollectionState& collection) {
  const auto records = collection.records->view();
  for (const auto& generation : collection.vectors) {
    std::vector<uint64_t> orphans;
    generation->view()->for_each_live([&](View::RowRef, uint64_t rid) {
      if (!records->find_rid(rid).found()) orphans.push_back(rid);
    });
    generation->erase(orphans);
  }
}

}  // namespace

Salvaged salvage(OpenFiles& files, const RootStore& roots, const RecordCodec& codec) {
  Salvaged salvaged;
  salvaged.root = newest_whole(roots, files.paths(), salvaged.missing);
  files.follow(salvaged.root.root);
  Salvage opener(files, codec, salvaged.missing);
  for (const Root::Collection& entry : salvaged.root.root.collections) {
    if (auto opened = opener.open(entry)) salvaged.collections[entry.id] = std::move(opened);
  }
  read_log(files, salvaged);
  for (const auto& [id, collection] : salvaged.collections) {
    drop_vectors_without_records(*collection);
    collection->show();
  }
  return salvaged;
}

}  // namespace lamina
