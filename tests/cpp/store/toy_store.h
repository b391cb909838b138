// A store in memory with a small vocabulary for tests, and the toy model that it is compared with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/memory_fs.h"
#include "segment/toy_hasher.h"
#include "store/narrow.h"
#include "store/record_head.h"
#include "store/store.h"
#include "store/toy_codec.h"

namespace lamina {

inline constexpr const char* kPath = "/kb.lamina";
inline constexpr uint32_t kDim = 4;

inline CollectionSpec toy_spec(uint8_t model = 1) {
  CollectionSpec spec;
  spec.vectors.dim = kDim;
  spec.vectors.metric = Metric::kL2;
  spec.fingerprint.fill(model);
  spec.model = "toy";
  return spec;
}

inline std::shared_ptr<Store> open_store(FileSystem& fs, StoreOptions options = {}) {
  return Store::open(fs, kPath, options, kToyHasher, kToyCodec);
}
inline std::shared_ptr<Store> make_store(FileSystem& fs, StoreOptions options = {}) {
  options.create = true;
  return open_store(fs, options);
}
inline std::shared_ptr<Store> open_reader(FileSystem& fs) { return open_store(fs, {.read_only = true}); }

// A record as tests see it: its text, and the first element of its vector if it has one.
struct Row {
  std::string text;
  std::optional<float> vector;
  bool operator==(const Row&) const = default;
};
using Rows = std::map<int64_t, Row>;

inline void PrintTo(const Row& row, std::ostream* out) {
  *out << row.text << "/" << (row.vector ? std::to_string(*row.vector) : "owed");
}

// One WriteOp and the memory that it views.
class Op {
 public:
  Op(Verb verb, const Rows& rows, std::string collection = "docs") {
    op_.collection = std::move(collection);
    op_.verb = verb;
    std::vector<std::string> texts;
    for (const auto& [id, row] : rows) {
      ids_.push_back(id);
      texts.push_back(row.text);
      fates_.push_back(row.vector ? VectorFate::kGiven : VectorFate::kNone);
      ContentHash hash{};
      std::memcpy(hash.data(), row.text.data(), std::min(hash.size(), row.text.size()));
      hashes_.push_back(hash);
      if (row.vector) vectors_.insert(vectors_.end(), {*row.vector, 1, 2, static_cast<float>(id)});
    }
    if (verb != Verb::kDelete && verb != Verb::kClear) op_.columns = ToyCodec::encode(texts);
    op_.fingerprint.fill(1);
  }
  static Op erase(std::vector<int64_t> ids, std::string collection = "docs") {
    Op op(Verb::kDelete, {}, std::move(collection));
    op.ids_ = std::move(ids);
    return op;
  }
  Op& keep_vectors() {
    fates_.assign(fates_.size(), VectorFate::kKept);
    vectors_.clear();
    return *this;
  }

  Op& keep_contents() {
    hashes_.clear();
    return *this;
  }

  Op& learn(std::string from, std::string to) {
    op_.settings = SettingsChange{std::move(from), std::move(to)};
    return *this;
  }

  WriteOp get() const {
    WriteOp op = op_;
    op.ids.kind = IdKind::kInt;
    op.ids.ints = ids_;
    op.content_hash = hashes_;
    op.fates = fates_;
    op.vectors = vectors_.data();
    return op;
  }
  WriteOp& raw() { return op_; }
  std::vector<int64_t>& ids() { return ids_; }
  std::vector<float>& vectors() { return vectors_; }

 private:
  WriteOp op_;
  std::vector<int64_t> ids_;
  std::vector<VectorFate> fates_;
  std::vector<ContentHash> hashes_;
  std::vector<float> vectors_;
};

inline std::vector<WriteResult> write(Store& store, const std::vector<Op>& ops) {
  std::vector<WriteOp> raw;
  for (const Op& op : ops) raw.push_back(op.get());
  return store.write(raw);
}
inline WriteResult write(Store& store, const Op& op) { return write(store, std::vector<Op>{op})[0]; }
inline WriteResult upsert(Store& store, const Rows& rows) { return write(store, Op(Verb::kUpsert, rows)); }

// Rows [first, first + count) as the write number `batch` gives them.
inline Rows batch_of(int batch, int64_t first, int64_t count) {
  Rows rows;
  for (int64_t id = first; id < first + count; ++id) {
    rows[id] = {"text " + std::to_string(id) + " of " + std::to_string(batch), static_cast<float>(batch)};
  }
  return rows;
}

// All live rows, by way of scan, find, blocks and vectors.
inline Rows rows_of(const Snapshot& snapshot) {
  Rows rows;
  const RecordView& records = *snapshot.records;
  std::vector<RecordRef> all;
  std::vector<int64_t> ids;
  std::optional<RecordRef> after;
  std::vector<RecordRef> found;
  while (!(found = records.scan(after, 100)).empty()) {
    for (const RecordRef where : found) {
      const auto id = std::get<int64_t>(records.id_at(where));
      EXPECT_TRUE(records.find(id).found());
      all.push_back(where);
      ids.push_back(id);
      const BlockRef block = records.block_at(where, kToyCodec);
      Row row{ToyCodec::decode(block.bytes, block.block_rows).at(block.row), std::nullopt};
      View::RowRef at;
      if (snapshot.vectors->find(records.fields_at(where).rid, &at)) {
        std::vector<std::byte> vector(snapshot.vectors->spec.vector_bytes());
        snapshot.vectors->vector_at(at, vector.data());
        row.vector = load_le<float>(vector.data());
      }
      EXPECT_TRUE(rows.emplace(id, row).second) << "id " << id << " twice";
    }
    after = found.back();
  }
  EXPECT_EQ(rows.size(), records.live);
  const std::vector<RecordRef> again = records.find_all({IdKind::kInt, ids, {}});
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(std::pair(again[i].part, again[i].row), std::pair(all[i].part, all[i].row)) << "id " << ids[i];
  }
  return rows;
}
inline Rows rows_in(const Store& store, const std::string& name = "docs") {
  return rows_of(*store.collection(name)->snapshot());
}

using Passes = std::function<bool(int64_t id)>;

// What a filter would find: of every row, dead ones too.
inline std::vector<Bitmap> failing_rows(const RecordView& records, const Passes& passes) {
  std::vector<Bitmap> failing;
  for (uint32_t part = 0; part <= records.parts.size(); ++part) {
    const uint32_t rows = part < records.parts.size() ? (*records.parts[part].segment)->rows() : records.head_rows;
    std::vector<uint32_t> found;
    for (uint32_t row = 0; row < rows; ++row) {
      if (!passes(std::get<int64_t>(records.id_at({part, row})))) found.push_back(row);
    }
    failing.push_back(Bitmap(rows).with(found));
  }
  return failing;
}

inline std::shared_ptr<const Snapshot> narrowed(const Snapshot& snapshot, const Passes& passes) {
  return narrow(snapshot, failing_rows(*snapshot.records, passes));
}

// Names of the store's files that hold any of these bytes.
inline std::vector<std::string> files_with(FileSystem& fs, std::initializer_list<Bytes> wanted) {
  std::vector<std::string> found;
  for (const std::string folder : {"/roots", "/log", "/files", "/scratch"}) {
    for (const std::string& name : fs.list(kPath + folder)) {
      const auto file = fs.open(join(kPath + folder, name));
      std::vector<std::byte> bytes(file->size());
      file->read_at(0, bytes);
      const bool holds = std::ranges::any_of(wanted, [&](Bytes one) {
        return std::search(bytes.begin(), bytes.end(), one.begin(), one.end()) != bytes.end();
      });
      if (holds) found.push_back(name);
    }
  }
  return found;
}

}  // namespace lamina
