#include "store/replay.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "base/error.h"

namespace lamina {
namespace {

// Calls fn(row, given) for each row, `given` counting those before it that were given a vector.
template <class Fn>
void for_each_row(const PutOperation& operation, Fn&& fn) {
  size_t given = 0;
  for (size_t row = 0; row < operation.fates.size(); ++row) {
    fn(row, given);
    given += operation.fates[row] == VectorFate::kGiven ? 1 : 0;
  }
}

NewRecords new_records(const PutOperation& operation, const FoundRecords& found) {
  return {operation.ids, operation.fields, {operation.columns.begin(), operation.columns.end()}, found};
}

bool has_nothing(const PutOperation& operation, size_t row) {
  return operation.fates[row] == VectorFate::kNone && operation.fields[row].content_hash == ContentHash{};
}

void put_vectors(CollectionState& collection, const PutOperation& operation, int threads) {
  VectorSet& vectors = collection.served_vectors();
  std::vector<uint64_t> rids;
  std::vector<int64_t> ids;
  std::vector<uint64_t> erased, emptied;
  for_each_row(operation, [&](size_t row, size_t) {
    if (operation.fates[row] == VectorFate::kNone) erased.push_back(operation.fields[row].rid);
    if (has_nothing(operation, row)) emptied.push_back(operation.fields[row].rid);
    if (operation.fates[row] != VectorFate::kGiven) return;
    rids.push_back(operation.fields[row].rid);
    if (operation.ids.kind == IdKind::kInt) ids.push_back(operation.ids.ints[row]);
  });
  if (!erased.empty()) vectors.erase(erased);
  if (!emptied.empty() && collection.vectors.size() > 1) collection.vectors[1]->erase(emptied);
  if (rids.empty()) return;
  vectors.add({rids.size(), operation.vectors.data(), rids.data(), ids.empty() ? nullptr : ids.data(),
               operation.provenance.data()},
              threads);
}

void fill(CollectionState& collection, const VectorsOperation& operation, int threads) {
  std::vector<int64_t> ids;
  const auto records = collection.records->view();
  for (const uint64_t rid : operation.rids) {
    if (records->id_kind == IdKind::kInt) ids.push_back(std::get<int64_t>(records->id_at(records->find_rid(rid))));
  }
  VectorSet& vectors = *collection.vectors[collection.generation_of(operation.fingerprint).value()];
  vectors.add({operation.rids.size(), operation.vectors.data(), operation.rids.data(),
               ids.empty() ? nullptr : ids.data(), operation.provenance.data()},
              threads);
}

// What becomes of the vectors of one generation: rows that are given one, and rows that lose theirs. Only what is
// newest of a rid counts.
class VectorChanges {
 public:
  void give(uint64_t rid, const GivenVectors& from, size_t at) { note({rid, &from, at}); }
  void erase(uint64_t rid) { note({rid, nullptr, 0}); }
  // Of records that are there in the end: what has died may be merged away already, and its frame still in the log.
  void apply(VectorSet& vectors, const RecordView& records) const;

 private:
  struct Row {
    uint64_t rid;
    const GivenVectors* from;  // null: it lost its own
    size_t at;                 // among those given there
  };
  void note(const Row& row) {
    newest_[row.rid] = rows_.size();
    rows_.push_back(row);
  }

  std::vector<Row> rows_;
  std::unordered_map<uint64_t, size_t> newest_;  // of each rid, in `rows_`
};

void VectorChanges::apply(VectorSet& vectors, const RecordView& records) const {
  const size_t bytes = vectors.spec().given_bytes();
  std::vector<uint64_t> rids, erased;
  std::vector<int64_t> ids;
  std::vector<Provenance> provenance;
  std::vector<std::byte> given;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    if (newest_.at(row.rid) != i) continue;
    if (row.from == nullptr) {
      erased.push_back(row.rid);
      continue;
    }
    const RecordRef record = records.find_rid(row.rid);
    if (!record.found()) continue;
    rids.push_back(row.rid);
    if (records.id_kind == IdKind::kInt) ids.push_back(std::get<int64_t>(records.id_at(record)));
    provenance.push_back(row.from->provenance[row.at]);
    const Bytes vector = row.from->vectors.subspan(row.at * bytes, bytes);
    given.insert(given.end(), vector.begin(), vector.end());
  }
  if (!erased.empty()) vectors.erase(erased);
  if (rids.empty()) return;
  vectors.add({rids.size(), given.data(), rids.data(), ids.empty() ? nullptr : ids.data(), provenance.data()}, 0);
}

class Replay {
 public:
  Replay(CollectionState& collection, const std::string& file)
      : collection_(collection), file_(file), changes_(collection.vectors.size()) {}

  void add(const LogFrame& frame);
  void finish();

 private:
  void put(const PutOperation& operation, const LogFrame& frame);
  void fill(const VectorsOperation& operation, const LogFrame& frame);
  void erase(const DeleteOperation& operation);
  void check_vectors(const GivenVectors& given, const Generation& generation, const LogFrame& frame) const;
  void check_rows(const PutOperation& operation, const LogFrame& frame) const;
  [[noreturn]] void damaged(const LogFrame& frame, std::string expected, std::string found) const;

  CollectionState& collection_;
  const std::string& file_;
  std::vector<DecodedOperations> decoded_;  // what `changes_` points into
  std::vector<VectorChanges> changes_;      // one a generation
};

void Replay::add(const LogFrame& frame) {
  decoded_.emplace_back(frame, file_, collection_.id);
  for (const Operation& operation : decoded_.back().operations()) {
    if (const auto* rows = std::get_if<PutOperation>(&operation)) {
      put(*rows, frame);
    } else if (const auto* gone = std::get_if<DeleteOperation>(&operation)) {
      erase(*gone);
    } else if (const auto* vectors = std::get_if<VectorsOperation>(&operation)) {
      fill(*vectors, frame);
    } else {
      collection_.set_settings(std::get<SettingsOperation>(operation).settings);
    }
  }
}

void Replay::put(const PutOperation& operation, const LogFrame& frame) {
  if (operation.ids.size() != 0) collection_.decide_id_kind(operation.ids.kind);
  if (operation.ids.kind != collection_.spec->id_kind) damaged(frame, "the collection's kind of id", "the other");
  if (!operation.provenance.empty()) check_vectors(operation, collection_.served(), frame);
  check_rows(operation, frame);
  collection_.records->put(new_records(operation, {}));
  for_each_row(operation, [&](size_t row, size_t given) {
    const uint64_t rid = operation.fields[row].rid;
    collection_.next_rid = std::max(collection_.next_rid, rid + 1);
    if (operation.fates[row] == VectorFate::kGiven) changes_[0].give(rid, operation, given);
    if (operation.fates[row] == VectorFate::kNone) changes_[0].erase(rid);
    if (has_nothing(operation, row) && changes_.size() > 1) changes_[1].erase(rid);
  });
}

void Replay::fill(const VectorsOperation& operation, const LogFrame& frame) {
  const auto generation = collection_.generation_of(operation.fingerprint);
  if (!generation) damaged(frame, "vectors of a generation's model", "of another");
  check_vectors(operation, collection_.manifest.generations[*generation], frame);
  for (size_t i = 0; i < operation.rids.size(); ++i) changes_[*generation].give(operation.rids[i], operation, i);
}

void Replay::erase(const DeleteOperation& operation) {
  collection_.records->erase(operation.rids);
  for (const uint64_t rid : operation.rids) {
    for (VectorChanges& changes : changes_) changes.erase(rid);
  }
}

void Replay::check_vectors(const GivenVectors& given, const Generation& generation, const LogFrame& frame) const {
  if (given.fingerprint != generation.fingerprint) damaged(frame, "vectors of the collection's model", "of another");
  if (given.dim != generation.spec.dim) {
    damaged(frame, std::to_string(generation.spec.dim) + " dimensions", std::to_string(given.dim));
  }
  const DType dtype = generation.spec.given_dtype();
  if (given.dtype != dtype) damaged(frame, std::string(name_of(dtype)), std::string(name_of(given.dtype)));
  if (dtype == DType::kBits) return;
  for (size_t at = 0; at + sizeof(float) <= given.vectors.size(); at += sizeof(float)) {
    if (!std::isfinite(load_le<float>(given.vectors.data() + at))) damaged(frame, "finite vectors", "NaN or Inf");
  }
}

// An id has one live rid, and a live rid one id.
void Replay::check_rows(const PutOperation& operation, const LogFrame& frame) const {
  const auto view = collection_.records->view();
  for (size_t row = 0; row < operation.fields.size(); ++row) {
    const uint64_t rid = operation.fields[row].rid;
    const RecordRef by_id = view->find(operation.ids.at(row));
    if (by_id.found() ? view->fields_at(by_id).rid == rid : !view->find_rid(rid).found()) continue;
    damaged(frame, "one record of an id", "rid " + std::to_string(rid) + " beside another");
  }
}

void Replay::finish() {
  const auto records = collection_.records->view();
  for (size_t i = 0; i < changes_.size(); ++i) changes_[i].apply(*collection_.vectors[i], *records);
}

void Replay::damaged(const LogFrame& frame, std::string expected, std::string found) const {
  throw CorruptionError(file_, frame.offset, std::move(expected), std::move(found));
}

}  // namespace

void apply(CollectionState& collection, const Operation& operation, const FoundRecords& found, int threads) {
  if (const auto* gone = std::get_if<DeleteOperation>(&operation)) {
    for (const auto& generation : collection.vectors) generation->erase(gone->rids);
    collection.records->erase(gone->rids);
    return;
  }
  if (const auto* vectors = std::get_if<VectorsOperation>(&operation)) {
    fill(collection, *vectors, threads);
    return;
  }
  if (const auto* settings = std::get_if<SettingsOperation>(&operation)) {
    collection.set_settings(settings->settings);
    return;
  }
  const auto& put = std::get<PutOperation>(operation);
  collection.decide_id_kind(put.ids.kind);
  put_vectors(collection, put, threads);
  collection.records->put(new_records(put, found));
  for (const RecordFields& fields : put.fields) collection.next_rid = std::max(collection.next_rid, fields.rid + 1);
}

bool follows(uint64_t version, uint32_t timeline, std::span<const LogFrame> frames) {
  uint64_t last = 0;
  for (const LogFrame& frame : frames) {
    if (frame.version <= last || frame.timeline != timeline) return false;
    if (frame.version > version && frame.version != std::max(last, version) + 1) return false;
    last = frame.version;
  }
  return true;
}

void replay(CollectionState& collection, std::span<const LogFrame> frames, const std::string& file) {
  Replay replay(collection, file);
  for (const LogFrame& frame : frames) replay.add(frame);
  replay.finish();
}

}  // namespace lamina
