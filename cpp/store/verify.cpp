#include "store/verify.h"

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "store/garbage.h"

namespace lamina {
namespace {

class Verifier {
 public:
  Verifier(OpenFiles& files, const RecordCodec& codec) : files_(files), codec_(codec) {}

  void count(uint64_t bytes) {
    ++report_.files;
    report_.bytes += bytes;
  }

  // Its files, each byte.
  void files_of(const CollectionState& collection) {
    count(collection.manifest_ref.size);
    for (const SegmentRef& ref : collection.manifest.records) {
      const auto sealed = files_.records(ref, *collection.manifest.id_kind);
      (*sealed)->verify(files_.hasher());
      columns_of(**sealed);
      count_segment(ref);
    }
    for (const SegmentRef& ref : collection.served().segments) {
      files_.vectors(ref, collection.served())->verify(files_.hasher());
      count_segment(ref);
    }
  }

  void log(const LoadedLog& log) {
    count(log.scan.end);
    for (const LogFrame& frame : log.scan.frames) {
      const DecodedOperations decoded(frame, log.path);
      for (const Operation& operation : decoded.operations()) {
        const auto* put = std::get_if<PutOperation>(&operation);
        if (put != nullptr) check_block(put->columns, static_cast<uint32_t>(put->ids.size()), log.path, frame.offset);
      }
    }
  }

  // Its rows, those of the log included: at most one of a rid and of an id, and no vector without a record.
  void rows_of(const CollectionState& collection) {
    const auto records = collection.records->view();
    const auto vectors = collection.vectors->view();
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

    std::vector<uint64_t> with_vector;
    vectors->for_each_live([&](View::RowRef, uint64_t rid) { with_vector.push_back(rid); });
    require_unique(with_vector, file, "vector");
    require_equal(with_vector.size(), vectors->live, file, "live vectors");
    for (const uint64_t rid : with_vector) {
      if (std::binary_search(rids.begin(), rids.end(), rid)) continue;
      throw CorruptionError(file, 0, "a record for each vector", "none with rid " + std::to_string(rid));
    }
    report_.records += rids.size();
    report_.vectors += with_vector.size();
  }

  VerifyReport report() const { return report_; }

 private:
  void count_segment(const SegmentRef& ref) {
    count(ref.file.size);
    if (ref.deleted) count(ref.deleted->size);
  }

  void columns_of(const RecordSegment& segment) {
    for (uint32_t number = 0; number < segment.block_count(); ++number) {
      const RecordSegment::Block block = segment.block(number);
      check_block(block.bytes, block.rows, segment.file().path(), 0);
    }
  }

  void check_block(Bytes block, uint32_t rows, const std::string& file, uint64_t offset) {
    try {
      codec_.check(block, rows);
    } catch (const std::invalid_argument& wrong) {
      throw CorruptionError(file, offset, "a whole block of columns", wrong.what());
    }
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
  VerifyReport report_;
};

}  // namespace

VerifyReport verify_all(OpenFiles& files, const Root& root, const LoadedLog& log, const RecordCodec& codec) {
  Verifier verifier(files, codec);
  verifier.count(files.fs().open(files.paths().root_file(root.seq))->size());
  const Collections collections = unopened_collections(files, root, nullptr);
  for (const auto& [id, collection] : collections) {
    collection->open();
    verifier.files_of(*collection);
  }
  verifier.log(log);
  require_fit(log, root);
  replay(log, root, collections);
  for (const auto& [id, collection] : collections) verifier.rows_of(*collection);
  return verifier.report();
}

void require_all_named(OpenFiles& files, const RootStore& roots) {
  Garbage garbage(files, roots);
  std::set<uint64_t> named;
  for (const uint64_t seq : roots.list()) {
    if (const auto stored = roots.read(seq)) named.merge(garbage.named_by(stored->root));
  }
  const std::vector<std::string> left = unnamed(garbage.list(), named);
  if (!left.empty()) throw CorruptionError(left.front(), 0, "files that a root names", "one that none does");
}

}  // namespace lamina
