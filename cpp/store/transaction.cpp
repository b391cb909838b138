#include "store/transaction.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/ascending.h"
#include "base/error.h"
#include "segment/format.h"
#include "store/generation.h"

namespace lamina {
namespace {

std::string name_of(Id id) {
  if (const auto* number = std::get_if<int64_t>(&id)) return std::to_string(*number);
  return "'" + std::string(std::get<std::string_view>(id)) + "'";
}

bool is_put(Verb verb) { return verb == Verb::kAdd || verb == Verb::kUpsert || verb == Verb::kUpdate; }

size_t count_given(const WriteOp& op) {
  return static_cast<size_t>(std::count(op.fates.begin(), op.fates.end(), VectorFate::kGiven));
}

template <class T>
void refuse_repeated(std::span<const T> ids) {
  const std::vector<T> sorted = ascending(ids).keys;
  const auto twice = std::ranges::adjacent_find(sorted);
  if (twice == sorted.end()) return;
  throw DuplicateIdError("id " + name_of(*twice) + " occurs twice in one write; an id is written once");
}

void check_origin(const Origin& origin, size_t rows, size_t given) {
  const bool whole = origin.created_us.size() == rows && origin.updated_us.size() == rows;
  if (whole && origin.provenance.size() == given) return;
  throw std::invalid_argument("a put of " + std::to_string(rows) + " ids and " + std::to_string(given) +
                              " vectors needs as many times and provenances");
}

void check_put(const WriteOp& op, const RecordCodec& codec) {
  const size_t rows = op.ids.size();
  if (rows > kMaxRows) throw std::invalid_argument("more rows than one write can hold");
  const bool hashed = op.content_hash.size() == rows || (op.content_hash.empty() && op.verb == Verb::kUpdate);
  if (!hashed || op.fates.size() != rows) {
    throw std::invalid_argument("a put of " + std::to_string(rows) + " ids needs as many content hashes and fates");
  }
  if (count_given(op) != 0 && op.vectors == nullptr)
    throw std::invalid_argument("rows are given vectors, and there are none");
  if (op.origin) check_origin(*op.origin, rows, count_given(op));
  if (rows != 0) codec.check(op.columns, static_cast<uint32_t>(rows));
}

void check_backfill(const WriteOp& op) {
  if (op.content_hash.size() == op.ids.size() && (op.vectors != nullptr || op.ids.size() == 0)) return;
  throw std::invalid_argument("a back-fill of " + std::to_string(op.ids.size()) +
                              " ids needs as many bases, and vectors");
}

void check_finite(const WriteOp& op, const VectorSpec& spec, size_t given) {
  if (spec.dtype == DType::kBits) return;
  const float* const end = op.vectors + given * spec.dim;
  const float* const wrong = std::find_if(op.vectors, end, [](float x) { return !std::isfinite(x); });
  if (wrong == end) return;
  throw InvalidVectorError("vector " + std::to_string((wrong - op.vectors) / spec.dim) +
                           " of the write holds NaN or infinity; every element must be finite");
}

[[noreturn]] void refuse_model(const WriteOp& op, const CollectionState& collection) {
  throw ModelMismatchError("collection '" + op.collection + "' holds vectors of the model with fingerprint " +
                           hex(std::as_bytes(std::span(collection.spec->fingerprint))) + ", and these are of " +
                           hex(std::as_bytes(std::span(op.fingerprint))));
}

Bytes bytes_of_vectors(const WriteOp& op, const VectorSpec& spec, size_t given) {
  return {reinterpret_cast<const std::byte*>(op.vectors), given * spec.given_bytes()};
}

GivenVectors given_vectors(const WriteOp& op, const VectorSpec& spec, std::span<const Provenance> provenance,
                           Bytes vectors) {
  return {op.fingerprint, spec.dim, spec.given_dtype(), provenance, vectors};
}

}  // namespace

void check_operations(std::span<const WriteOp> operations, const RecordCodec& codec) {
  for (const WriteOp& op : operations) {
    refuse_repeated(op.ids.ints);
    refuse_repeated(op.ids.strings);
    if (is_put(op.verb)) check_put(op, codec);
    if (op.verb == Verb::kBackfill) check_backfill(op);
  }
}

struct Transaction::Memory {
  std::vector<RecordRef> found;
  std::vector<RecordFields> fields;
  std::vector<Provenance> provenance;
  std::vector<uint64_t> rids;
  std::vector<std::byte> vectors;
};

// One collection as the transaction sees it: what was there, and what its operations did so far.
class Transaction::Rids {
 public:
  struct Known {
    uint64_t rid;
    int64_t created_us;
    std::string_view scope;
    ContentHash content_hash;
  };
  using Stored = std::optional<RecordFields>;

  explicit Rids(CollectionState& state)
      : collection(state),
        next_rid(state.next_rid),
        id_kind(state.spec->id_kind),
        settings(state.spec->settings),
        view_(state.records->view()) {}

  // Where the records of an operation were before the transaction.
  std::vector<RecordRef> find_all(const WriteOp& op) const {
    if (cleared_) return std::vector<RecordRef>(op.ids.size());
    if (op.found.view == view_ && op.found.refs.size() == op.ids.size()) {
      return {op.found.refs.begin(), op.found.refs.end()};
    }
    return view_->find_all(op.ids);
  }
  FoundRecords found(std::span<const RecordRef> refs) const { return {view_, refs}; }
  // What they were, as find() and untouched() want to know.
  std::vector<Stored> stored(std::span<const RecordRef> found) const {
    std::vector<Stored> stored(found.size());
    const std::vector<RecordFields> fields = view_->fields_of(found);
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i].found()) stored[i] = fields[i];
    }
    return stored;
  }
  std::optional<Known> find(Id id, const Stored& stored) const {
    if (!changes_.empty()) {
      if (const auto changed = changes_.find(id); changed != changes_.end()) return changed->second;
    }
    if (!stored) return {};
    return Known{stored->rid, stored->created_us, stored->scope, stored->content_hash};
  }
  // Whether a record is as it was before the transaction.
  bool is_untouched(Id id, const Stored& stored) const { return stored && !changes_.contains(id); }
  // What is noted is for the operations that follow.
  void put(Id id, Known known) {
    if (operations_left > 0) changes_[id] = known;
  }
  void erase(Id id) {
    if (operations_left > 0) changes_[id] = std::nullopt;
  }

  // Empties the collection and returns the rids that were there.
  std::vector<uint64_t> clear() {
    std::vector<uint64_t> gone;
    for (const auto& [id, known] : changes_) {
      if (known) gone.push_back(known->rid);
    }
    std::vector<RecordRef> found;
    std::optional<RecordRef> after;
    while (!cleared_ && !(found = view_->scan(after, 4096)).empty()) {
      for (const RecordRef where : found) {
        if (!changes_.contains(view_->id_at(where))) gone.push_back(view_->fields_at(where).rid);
      }
      after = found.back();
    }
    cleared_ = true;
    changes_.clear();
    return gone;
  }

  CollectionState& collection;
  size_t operations_left = 0;  // after the one at hand
  uint64_t next_rid;
  std::optional<IdKind> id_kind;
  std::string settings;

 private:
  std::shared_ptr<const RecordView> view_;
  bool cleared_ = false;
  std::unordered_map<Id, std::optional<Known>> changes_;
};

Transaction::Transaction(std::span<const WriteOp> operations, const Lookup& lookup, uint64_t version, int64_t now_us)
    : version_(version), now_us_(now_us) {
  for (const WriteOp& op : operations) ++rids_of(lookup(op.collection)).operations_left;
  for (const WriteOp& op : operations) {
    CollectionState& collection = lookup(op.collection);
    Rids& rids = rids_of(collection);
    --rids.operations_left;
    if (op.ids.size() != 0 && rids.id_kind && op.ids.kind != *rids.id_kind) {
      const bool ints = rids.id_kind == IdKind::kInt;
      throw std::invalid_argument("collection '" + op.collection + "' has " + (ints ? "integer" : "text") + " ids");
    }
    if (op.if_version && *op.if_version != collection.version) {
      throw ConflictError("collection '" + op.collection + "' is at version " + std::to_string(collection.version) +
                          ", not at " + std::to_string(*op.if_version) + "; read it again and repeat the write");
    }
    results_.push_back({});
    if (is_put(op.verb)) {
      change_settings(op, rids);
      put(op, rids);
    } else if (op.verb == Verb::kBackfill) {
      backfill(op, rids);
    } else if (op.verb == Verb::kClear) {
      clear(rids);
    } else {
      erase(op, rids);
    }
  }
  for (size_t i = 0; i < results_.size(); ++i) {
    results_[i].version = operations_.empty() ? lookup(operations[i].collection).version : version_;
  }
}

Transaction::~Transaction() = default;

Transaction::Rids& Transaction::rids_of(CollectionState& collection) {
  for (Rids& rids : rids_) {
    if (&rids.collection == &collection) return rids;
  }
  return rids_.emplace_back(collection);
}

void Transaction::change_settings(const WriteOp& op, Rids& rids) {
  if (!op.settings) return;
  if (op.settings->from != rids.settings) {
    throw ConflictError("the settings of collection '" + op.collection + "' have changed; make the write anew");
  }
  if (op.settings->to == rids.settings) return;
  rids.settings = op.settings->to;
  append(rids.collection, SettingsOperation{rids.collection.id, op.settings->to});
}

void Transaction::put(const WriteOp& op, Rids& rids) {
  const size_t given = count_given(op);
  if (given != 0 && op.fingerprint != rids.collection.spec->fingerprint) refuse_model(op, rids.collection);
  if (given != 0) check_finite(op, rids.collection.spec->vectors, given);
  Memory& memory = memory_.emplace_back();
  WriteResult& result = results_.back();
  memory.found = rids.find_all(op);
  const std::vector<Rids::Stored> stored = rids.stored(memory.found);
  memory.fields.reserve(op.ids.size());
  for (size_t row = 0; row < op.ids.size(); ++row) {
    const Id id = op.ids.at(row);
    std::optional<Rids::Known> known = rids.find(id, stored[row]);
    if (known && op.verb == Verb::kAdd) {
      throw DuplicateIdError("id " + name_of(id) + " is in collection '" + op.collection +
                             "' already; upsert or update replaces it");
    }
    if (!known && op.verb == Verb::kUpdate) {
      throw NotFoundError("id " + name_of(id) + " is not in collection '" + op.collection +
                          "'; add or upsert makes it");
    }
    ++(known ? result.updated : result.added);
    if (!known) known = Rids::Known{rids.next_rid++, now_us_, {}, {}};
    if (op.verb != Verb::kUpdate) known->scope = op.scope;
    if (!op.content_hash.empty()) known->content_hash = op.content_hash[row];
    if (op.origin) known->created_us = op.origin->created_us[row];
    rids.put(id, *known);
    const ContentHash& hash = known->content_hash;
    const int64_t updated_us = op.origin ? op.origin->updated_us[row] : now_us_;
    memory.fields.push_back({known->rid, version_, known->created_us, updated_us, hash, known->scope});
    if (op.fates[row] != VectorFate::kGiven) continue;
    Provenance made{hash, now_us_};
    if (op.origin) made = op.origin->provenance[memory.provenance.size()];
    if (made.content_hash == ContentHash{}) made.content_hash = version_stamp(version_);
    memory.provenance.push_back(made);
  }
  if (op.ids.size() == 0) return;
  rids.id_kind = op.ids.kind;
  const VectorSpec& spec = rids.collection.spec->vectors;
  PutOperation put{given_vectors(op, spec, memory.provenance, bytes_of_vectors(op, spec, memory.provenance.size()))};
  put.collection = rids.collection.id;
  put.ids = op.ids;
  put.fields = memory.fields;
  put.fates = op.fates;
  put.columns = op.columns;
  append(rids.collection, put, rids.found(memory.found));
}

// Only what is still to be had: a record that went, or wants another vector by now, is left out.
void Transaction::backfill(const WriteOp& op, Rids& rids) {
  const CollectionState& collection = rids.collection;
  const auto at = collection.generation_of(op.fingerprint);
  if (!at) refuse_model(op, collection);
  const VectorSpec& spec = collection.manifest.generations[*at].spec;
  check_finite(op, spec, op.ids.size());
  Memory& memory = memory_.emplace_back();
  const auto served = collection.served_vectors().view();
  const size_t row_bytes = spec.given_bytes();
  const std::vector<Rids::Stored> stored = rids.stored(rids.find_all(op));
  for (size_t row = 0; row < op.ids.size(); ++row) {
    const Rids::Stored& record = stored[row];
    if (!rids.is_untouched(op.ids.at(row), record) || basis_of(*record, *served) != op.content_hash[row]) continue;
    memory.rids.push_back(record->rid);
    memory.provenance.push_back({op.content_hash[row], now_us_});
    const Bytes vector = bytes_of_vectors(op, spec, op.ids.size()).subspan(row * row_bytes, row_bytes);
    memory.vectors.insert(memory.vectors.end(), vector.begin(), vector.end());
  }
  results_.back().updated = memory.rids.size();
  if (memory.rids.empty()) return;
  append(rids.collection,
         VectorsOperation{given_vectors(op, spec, memory.provenance, memory.vectors), collection.id, memory.rids});
}

void Transaction::erase(const WriteOp& op, Rids& rids) {
  Memory& memory = memory_.emplace_back();
  const std::vector<Rids::Stored> stored = rids.stored(rids.find_all(op));
  for (size_t row = 0; row < op.ids.size(); ++row) {
    const auto known = rids.find(op.ids.at(row), stored[row]);
    if (!known) continue;
    memory.rids.push_back(known->rid);
    rids.erase(op.ids.at(row));
  }
  append_delete(rids.collection, memory);
}

void Transaction::clear(Rids& rids) {
  Memory& memory = memory_.emplace_back();
  memory.rids = rids.clear();
  append_delete(rids.collection, memory);
}

void Transaction::append_delete(CollectionState& collection, Memory& memory) {
  results_.back().deleted = memory.rids.size();
  if (!memory.rids.empty()) append(collection, DeleteOperation{collection.id, memory.rids});
}

void Transaction::append(CollectionState& collection, Operation operation, FoundRecords found) {
  operations_.push_back(std::move(operation));
  found_.push_back(std::move(found));
  collections_.push_back(&collection);
}

}  // namespace lamina
