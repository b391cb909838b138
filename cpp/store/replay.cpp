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

size_t given_bytes(const VectorSpec& spec) {
  return spec.dtype == DType::kBits ? spec.vector_bytes() : size_t{spec.dim} * sizeof(float);
}

NewRecords new_records(const PutOperation& operation) {
  return {operation.ids, operation.fields, {operation.columns.begin(), operation.columns.end()}};
}

void put_vectors(VectorSet& vectors, const PutOperation& operation, int threads) {
  std::vector<uint64_t> rids;
  std::vector<int64_t> ids;
  std::vector<uint64_t> erased;
  for_each_row(operation, [&](size_t row, size_t) {
    if (operation.fates[row] == VectorFate::kNone) erased.push_back(operation.fields[row].rid);
    if (operation.fates[row] != VectorFate::kGiven) return;
    rids.push_back(operation.fields[row].rid);
    if (operation.ids.kind == IdKind::kInt) ids.push_back(operation.ids.ints[row]);
  });
  if (!erased.empty()) vectors.erase(erased);
  if (rids.empty()) return;
  vectors.add({rids.size(), operation.vectors.data(), rids.data(), ids.empty() ? nullptr : ids.data(),
               operation.provenance.data()},
              threads);
}

class Replay {
 public:
  Replay(CollectionState& collection, const std::string& file) : collection_(collection), file_(file) {}

  void add(const LogFrame& frame);
  void finish();

 private:
  // A row that was given a vector, or (operation null) lost its own.
  struct Row {
    uint64_t rid;
    const PutOperation* operation;
    size_t row;    // among all of the operation's
    size_t given;  // among those that were given a vector
  };

  void put(const PutOperation& operation, const LogFrame& frame);
  void erase(const DeleteOperation& operation);
  void check(const PutOperation& operation, const LogFrame& frame) const;
  void check_rows(const PutOperation& operation, const LogFrame& frame) const;
  void note(const Row& row);
  [[noreturn]] void damaged(const LogFrame& frame, std::string expected, std::string found) const;

  CollectionState& collection_;
  const std::string& file_;
  std::vector<DecodedOperations> decoded_;  // what `rows_` points into
  std::vector<Row> rows_;
  std::unordered_map<uint64_t, size_t> newest_;  // of each rid, in `rows_`
};

void Replay::add(const LogFrame& frame) {
  decoded_.emplace_back(frame, file_, collection_.id);
  for (const Operation& operation : decoded_.back().operations()) {
    if (const auto* rows = std::get_if<PutOperation>(&operation)) {
      put(*rows, frame);
    } else if (const auto* gone = std::get_if<DeleteOperation>(&operation)) {
      erase(*gone);
    } else {
      collection_.set_settings(std::get<SettingsOperation>(operation).settings);
    }
  }
}

void Replay::put(const PutOperation& operation, const LogFrame& frame) {
  if (operation.ids.size() != 0) collection_.decide_id_kind(operation.ids.kind);
  check(operation, frame);
  check_rows(operation, frame);
  collection_.records->put(new_records(operation));
  for_each_row(operation, [&](size_t row, size_t given) {
    const uint64_t rid = operation.fields[row].rid;
    collection_.next_rid = std::max(collection_.next_rid, rid + 1);
    if (operation.fates[row] == VectorFate::kGiven) note({rid, &operation, row, given});
    if (operation.fates[row] == VectorFate::kNone) note({rid, nullptr, 0, 0});
  });
}

void Replay::erase(const DeleteOperation& operation) {
  collection_.records->erase(operation.rids);
  for (const uint64_t rid : operation.rids) note({rid, nullptr, 0, 0});
}

void Replay::note(const Row& row) {
  newest_[row.rid] = rows_.size();
  rows_.push_back(row);
}

void Replay::check(const PutOperation& operation, const LogFrame& frame) const {
  const CollectionSpec& spec = *collection_.spec;
  if (operation.ids.kind != spec.id_kind) damaged(frame, "the collection's kind of id", "the other");
  if (operation.provenance.empty()) return;
  if (operation.fingerprint != spec.fingerprint) damaged(frame, "vectors of the collection's model", "of another");
  if (operation.dim != spec.vectors.dim) {
    damaged(frame, std::to_string(spec.vectors.dim) + " dimensions", std::to_string(operation.dim));
  }
  const DType dtype = spec.vectors.dtype == DType::kBits ? DType::kBits : DType::kF32;
  if (operation.dtype != dtype) damaged(frame, std::string(name_of(dtype)), std::string(name_of(operation.dtype)));
  if (dtype == DType::kBits) return;
  for (size_t at = 0; at + sizeof(float) <= operation.vectors.size(); at += sizeof(float)) {
    if (!std::isfinite(load_le<float>(operation.vectors.data() + at))) damaged(frame, "finite vectors", "NaN or Inf");
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
  const size_t bytes = given_bytes(collection_.spec->vectors);
  std::vector<uint64_t> rids;
  std::vector<int64_t> ids;
  std::vector<Provenance> provenance;
  std::vector<std::byte> given;
  std::vector<uint64_t> erased;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    if (newest_[row.rid] != i) continue;
    if (row.operation == nullptr) {
      erased.push_back(row.rid);
      continue;
    }
    rids.push_back(row.rid);
    if (row.operation->ids.kind == IdKind::kInt) ids.push_back(row.operation->ids.ints[row.row]);
    provenance.push_back(row.operation->provenance[row.given]);
    const Bytes vector = row.operation->vectors.subspan(row.given * bytes, bytes);
    given.insert(given.end(), vector.begin(), vector.end());
  }
  if (!erased.empty()) collection_.vectors->erase(erased);
  if (rids.empty()) return;
  collection_.vectors->add(
      {rids.size(), given.data(), rids.data(), ids.empty() ? nullptr : ids.data(), provenance.data()}, 0);
}

void Replay::damaged(const LogFrame& frame, std::string expected, std::string found) const {
  throw CorruptionError(file_, frame.offset, std::move(expected), std::move(found));
}

}  // namespace

void apply(CollectionState& collection, const Operation& operation, int threads) {
  if (const auto* gone = std::get_if<DeleteOperation>(&operation)) {
    collection.vectors->erase(gone->rids);
    collection.records->erase(gone->rids);
    return;
  }
  if (const auto* settings = std::get_if<SettingsOperation>(&operation)) {
    collection.set_settings(settings->settings);
    return;
  }
  const auto& put = std::get<PutOperation>(operation);
  collection.decide_id_kind(put.ids.kind);
  put_vectors(*collection.vectors, put, threads);
  collection.records->put(new_records(put));
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
