#include "store/verify.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <stdexcept>

#include "base/error.h"
#include "store/garbage.h"
#include "store/kept.h"
#include "store/verify_note.h"

namespace lamina {
namespace {

void check_block(const RecordCodec& codec, Bytes block, uint32_t rows, const std::string& file, uint64_t offset) {
  try {
    codec.check(block, rows);
  } catch (const std::invalid_argument& wrong) {
    throw CorruptionError(file, offset, "a whole block of columns", wrong.what());
  }
}

class Verifier {
 public:
  Verifier(OpenFiles& files, const RecordCodec& codec, const VerifyOptions& options, VerifyNote& note)
      : files_(files), codec_(codec), options_(options), note_(note), started_(std::chrono::steady_clock::now()) {}

  void count(uint64_t bytes) {
    ++report_.files;
    report_.bytes += bytes;
    report_.bytes_in_all += bytes;
  }

  // Its files that were not seen yet, each byte, as far as time allows.
  void files_of(const CollectionState& collection) {
    const Manifest& manifest = collection.manifest;
    count(collection.manifest_ref.size);
    for (const SegmentRef& ref : manifest.records) {
      segment(ref, [&] { verify_records(**files_.records(ref, *manifest.id_kind), files_.hasher(), codec_); });
    }
    for (const Generation& generation : manifest.generations) {
      for (const SegmentRef& ref : generation.segments) {
        segment(ref, [&] { files_.vectors(ref, generation)->verify(files_.hasher()); });
      }
    }
  }

  bool may_go_on() const {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started_;
    const bool out_of_time = did_something_ && options_.max_seconds && spent.count() >= *options_.max_seconds;
    return report_.complete && !out_of_time;
  }
  void leave(uint64_t bytes) {
    report_.complete = false;
    report_.bytes_in_all += bytes;
  }

  void log(const LoadedLog& log) {
    count(log.scan.end);
    for (const LogFrame& frame : log.scan.frames) {
      const DecodedOperations decoded(frame, log.path);
      for (const Operation& operation : decoded.operations()) {
        const auto* put = std::get_if<PutOperation>(&operation);
        if (put == nullptr) continue;
        check_block(codec_, put->columns, static_cast<uint32_t>(put->ids.size()), log.path, frame.offset);
      }
    }
  }

  // Its rows, those of the log included: at most one of a rid and of an id, and no vector without a record.
  void rows_of(const CollectionState& collection) {
    const auto records = collection.records->view();
    const std::string file = files_.paths().file(collection.manifest_ref.number, kManifestFile);
    std::vector<uint64_t> rids;
    std::vector<Id> ids;
    std::vector<RecordRef> found;
    std::optional<RecordRef> after;
    while (!(found = records->scan(after, 4096)).empty()) {
      for (const RecordRef where : found) {
        rids.push_back(records->fields_at(where).rid);
        ids.push_back(records->id_at(where));
      }
      after = found.back();
    }
    require_unique(rids, file, "record");
    require_unique(ids, file, "id");
    if (!rids.empty() && rids.back() >= collection.next_rid) {
      throw CorruptionError(file, 0, "rids below " + std::to_string(collection.next_rid), std::to_string(rids.back()));
    }
    require_equal(rids.size(), records->live, file, "live records");

    for (const auto& generation : collection.vectors) vectors_of(*generation->view(), rids, file);
    report_.records += rids.size();
  }

  VerifyReport report() const { return report_; }

 private:
  // REQUIRES: `rids` ascend.
  void vectors_of(const View& vectors, const std::vector<uint64_t>& rids, const std::string& file) {
    std::vector<uint64_t> with_vector;
    vectors.for_each_live([&](View::RowRef, uint64_t rid) { with_vector.push_back(rid); });
    require_unique(with_vector, file, "vector");
    require_equal(with_vector.size(), vectors.live, file, "live vectors");
    for (const uint64_t rid : with_vector) {
      if (std::binary_search(rids.begin(), rids.end(), rid)) continue;
      throw CorruptionError(file, 0, "a record for each vector", "none with rid " + std::to_string(rid));
    }
    report_.vectors += with_vector.size();
  }

  template <class Verify>
  void segment(const SegmentRef& ref, Verify&& verify) {
    if (ref.deleted && seen_.insert(ref.deleted->number).second) count(ref.deleted->size);  // read when it was opened
    const FileRef file = files_.current(ref.file);
    if (!seen_.insert(file.number).second) return;
    if (note_.has(file)) return count(file.size);
    if (!may_go_on()) return leave(file.size);
    verify();
    note_.add(file);
    did_something_ = true;
    count(file.size);
  }

  template <class T>
  static void require_unique(std::vector<T>& values, const std::string& file, const std::string& what) {
    std::sort(values.begin(), values.end());
    if (std::adjacent_find(values.begin(), values.end()) == values.end()) return;
    throw CorruptionError(file, 0, "each live " + what + " once", "one twice");
  }

  static void require_equal(uint64_t found, uint64_t expected, const std::string& file, const std::string& what) {
    if (found == expected) return;
    throw CorruptionError(file, 0, std::to_string(expected) + " " + what, std::to_string(found));
  }

  OpenFiles& files_;
  const RecordCodec& codec_;
  const VerifyOptions& options_;
  VerifyNote& note_;
  const std::chrono::steady_clock::time_point started_;
  bool did_something_ = false;  // one step at least is taken, however short the time
  std::set<uint64_t> seen_;     // numbers of files
  VerifyReport report_;
};

// What `fn` finds damaged, with what needs it.
template <class Fn>
void name_the_needy(const std::string& needed_by, Fn&& fn) {
  try {
    fn();
  } catch (const CorruptionError& error) {
    throw CorruptionError(error.file, error.offset, error.expected, error.found + " (needed by " + needed_by + ")");
  }
}

}  // namespace

void verify_records(const RecordSegment& segment, const Hasher& hasher, const RecordCodec& codec) {
  segment.verify(hasher);
  verify_columns(segment, codec);
}

void verify_columns(const RecordSegment& segment, const RecordCodec& codec) {
  for (uint32_t number = 0; number < segment.block_count(); ++number) {
    const RecordSegment::Block block = segment.block(number);
    check_block(codec, block.bytes, block.rows, segment.file().path(), 0);
  }
}

VerifyReport verify_all(OpenFiles& files, const RootStore& roots, const StoredRoot& newest, const LoadedLog& log,
                        const RecordCodec& codec, const VerifyOptions& options) {
  files.follow(newest.root);
  VerifyNote note(files.fs(), files.paths(), newest.root.store);
  if (options.resume) note.load();
  Verifier verifier(files, codec, options, note);
  const Collections collections = unopened_collections(files, newest.root, nullptr);
  const auto look_at = [&](const KeptManifest& kept) {
    const auto served = collections.find(kept.entry.id);
    const bool is_newest = served != collections.end() && served->second->manifest_ref == kept.entry.manifest;
    const auto collection = is_newest ? served->second : open_collection(files, kept.entry);
    collection->open();
    verifier.files_of(*collection);
  };
  std::set<uint64_t> logs = {newest.root.log.number};
  const auto look_at_all = [&](const Root& root, const std::vector<KeptManifest>& manifests) {
    verifier.count(encode_root(root).size());
    for (const KeptManifest& kept : manifests) name_the_needy(kept.needed_by, [&] { look_at(kept); });
    if (!logs.insert(root.log.number).second) return;
    if (verifier.may_go_on()) return verifier.log(closed_log(files, roots, root));
    verifier.leave(root.log.end);
  };
  for_each_kept(roots, newest, look_at_all, [](const CorruptionError& error) { throw CorruptionError(error); });
  if (verifier.may_go_on()) {
    verifier.log(log);
    require_fit(log, newest.root);
    replay(log, newest.root, collections);
    for (const auto& [id, collection] : collections) verifier.rows_of(*collection);
    note.remove();
  } else {
    verifier.leave(log.scan.end);
    note.save();
  }
  return verifier.report();
}

void require_all_named(OpenFiles& files, const RootStore& roots) {
  Garbage garbage(files, roots);
  std::set<uint64_t> named;
  for (const uint64_t seq : roots.list()) {
    try {
      const auto stored = roots.read(seq);
      if (!stored) continue;
      named.merge(garbage.named_by(stored->root));
      add_stand_ins(stored->root, named);
    } catch (const CorruptionError&) {  // who looks at it for what it gives, says what needs it
      return;
    }
  }
  const std::vector<std::string> left = unnamed(garbage.list(), named);
  if (!left.empty()) throw CorruptionError(left.front(), 0, "files that a root names", "one that none does");
}

}  // namespace lamina
