// Small files of every kind, for tests and fuzzers.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codes/neighbour.h"
#include "io/file.h"
#include "segment/bitmap_file.h"
#include "segment/index_file.h"
#include "segment/log_format.h"
#include "segment/manifest.h"
#include "segment/record_segment.h"
#include "segment/root.h"
#include "segment/test_mapping.h"
#include "segment/toy_hasher.h"
#include "segment/vector_segment.h"

namespace lamina::sample {

using Buffer = std::vector<std::byte>;

template <size_t n = 16>
std::array<std::byte, n> bytes_from(int first) {
  std::array<std::byte, n> bytes;
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return bytes;
}

inline Fingerprint fingerprint() {
  Fingerprint result;
  for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<uint8_t>(0xf0 - i);
  return result;
}

// What `write` puts into a file of `fs`, whose directory `scratch` is there.
inline Buffer written(FileSystem& fs, const std::string& scratch, const std::function<void(Publication&)>& write) {
  Publication out(fs, scratch, "sample");
  write(out);
  out.commit(scratch, "sample.done");
  const auto mapping = fs.map(join(scratch, "sample.done"));
  Buffer bytes(mapping->bytes().begin(), mapping->bytes().end());
  fs.remove(join(scratch, "sample.done"));
  return bytes;
}

// A part and its memory: `rows` cosine vectors of `dim` on a ring, linked to their neighbours on it; two levels.
struct OwnedPart {
  VectorSpec spec;
  std::vector<float> vectors;
  std::vector<float> norms;
  std::vector<uint64_t> rids;
  std::vector<uint32_t> order;
  std::vector<int64_t> ids;
  std::vector<Provenance> provenance;
  std::vector<int8_t> codes;
  std::vector<uint8_t> coarse_codes;
  std::vector<std::byte> neighbour_codes;
  std::vector<uint32_t> level0, upper, upper_rows, upper_counts;
  Part part;
};

inline void add_coarse_codes(OwnedPart& owned, uint32_t rows) {
  const size_t stride = i4_stride(owned.spec);
  owned.coarse_codes.resize(rows * stride);
  owned.part.i4 = {.step = 1, .low = 126};
  for (uint32_t row = 0; row < rows; ++row) {
    encode_i4(owned.spec, owned.part.i4, owned.part.codes + row * owned.part.code_stride,
              owned.coarse_codes.data() + row * stride);
  }
  owned.part.coarse_codes = owned.coarse_codes.data();
}

// REQUIRES: codes and a graph.
inline void add_neighbour_codes(OwnedPart& owned) {
  Part& part = owned.part;
  const size_t dim = rotated_dim(owned.spec);
  const size_t stride = neighbour_stride(owned.spec, part.graph.degree);
  const Rotation rotation(dim);
  std::vector<float> rotated(part.rows * dim);
  for (uint32_t row = 0; row < part.rows; ++row) {
    std::copy_n(part.codes + row * part.code_stride, owned.spec.dim, &rotated[row * dim]);
    rotation.apply(&rotated[row * dim]);
  }
  owned.neighbour_codes.resize(part.rows * stride);
  for (uint32_t row = 0; row < part.rows; ++row) {
    std::vector<const float*> neighbours;
    const uint32_t* const links = part.graph.level0 + row * part.graph.degree;
    for (uint32_t i = 0; i < part.graph.degree && links[i] != kNoRow; ++i) {
      neighbours.push_back(&rotated[links[i] * dim]);
    }
    encode_neighbours(owned.spec, part.graph.degree, &rotated[row * dim], neighbours,
                      &owned.neighbour_codes[row * stride]);
  }
  part.neighbour_codes = owned.neighbour_codes.data();
}

inline void link_ring(OwnedPart& owned, uint32_t rows) {
  constexpr uint32_t kDegree = 4;
  constexpr uint32_t kUpperDegree = 2;
  for (uint32_t row = 0; row < rows; ++row) {
    owned.level0.insert(owned.level0.end(), {(row + 1) % rows, (row + rows - 1) % rows, kNoRow, kNoRow});
  }
  owned.upper_counts = {3, 1};
  owned.upper_rows = {rows / 2, 0, rows - 1};
  owned.upper = {1, 2, 0, 2, 0, 1, kNoRow, kNoRow};
  GraphView& graph = owned.part.graph;
  graph.degree = kDegree;
  graph.level0 = owned.level0.data();
  graph.upper_degree = kUpperDegree;
  graph.upper_counts = owned.upper_counts;
  graph.upper = owned.upper.data();
  graph.upper_rows = owned.upper_rows;
  graph.entry = rows / 2;
}

inline std::unique_ptr<OwnedPart> part(uint32_t rows = 8, uint32_t dim = 4, bool flat = false) {
  auto owned = std::make_unique<OwnedPart>();
  owned->spec.dim = dim;
  owned->spec.m = 2;
  owned->spec.seed = 7;
  Part& part = owned->part;
  part.rows = rows;
  part.code_stride = round_up(dim, 64);
  owned->codes.resize(rows * part.code_stride);
  for (uint32_t row = 0; row < rows; ++row) {
    for (uint32_t i = 0; i < dim; ++i) {
      owned->vectors.push_back(i == 0 ? 1.0F : static_cast<float>(row + i) * 0.25F);
      owned->codes[row * part.code_stride + i] = static_cast<int8_t>(row + i);
    }
    owned->norms.push_back(1.0F / static_cast<float>(row + 1));
    owned->rids.push_back(100 + (row * 5) % rows);
    owned->ids.push_back(-2 - static_cast<int64_t>(row));
    owned->provenance.push_back({{static_cast<uint8_t>(row + 1)}, 1'700'000'000'000'000 + row});
    owned->order.push_back(row);
  }
  std::ranges::stable_sort(owned->order, {}, [&](uint32_t row) { return owned->rids[row]; });
  part.vectors = reinterpret_cast<const std::byte*>(owned->vectors.data());
  part.inverse_norms = owned->norms.data();
  part.rids = owned->rids.data();
  part.rid_order = owned->order.data();
  part.ids = owned->ids.data();
  part.provenance = owned->provenance.data();
  part.codes = owned->codes.data();
  part.i8 = {0.0F, 127.0F};
  part.calibration.points = {{1, 10, 0.5F, 0.25F}, {10, 20, 0.875F, 0.75F}, {10, 40, 1.0F, 0.75F}};
  if (flat) return owned;
  link_ring(*owned, rows);
  add_coarse_codes(*owned, rows);
  return owned;
}

inline const SegmentId kVectorId = bytes_from(0xa0);
inline const SegmentId kRecordId = bytes_from(0xb0);
inline const StoreId kStoreId = bytes_from(0xc0);

inline VectorSegmentInfo vector_info(const OwnedPart& owned) { return {kVectorId, fingerprint(), owned.spec}; }

struct File {
  Buffer bytes;
  FileRef ref;
};

inline File vector_segment(FileSystem& fs, const std::string& scratch, const OwnedPart& owned) {
  File file;
  file.bytes = written(fs, scratch, [&](Publication& out) {
    file.ref = write_vector_segment(out, owned.part, vector_info(owned), kToyHasher);
  });
  return file;
}

// Records and their memory: row r has id "id<r>" or -r, blocks of three rows.
struct OwnedRecords {
  std::vector<int64_t> ints;
  std::vector<std::string> texts;
  std::vector<std::string_view> views;
  std::vector<RecordFields> fields;
  std::vector<std::string> blocks;
  RecordRows rows;
};

inline std::unique_ptr<OwnedRecords> records(uint32_t count, IdKind kind) {
  auto owned = std::make_unique<OwnedRecords>();
  for (uint32_t row = 0; row < count; ++row) {
    owned->ints.push_back(-static_cast<int64_t>(row) * 3);
    owned->texts.push_back("id" + std::to_string(count - row));
    owned->fields.push_back({.rid = 10 + 2 * uint64_t{row},
                             .version = 5 + row / 2,
                             .created_us = 1000 + row,
                             .updated_us = 2000 + row,
                             .content_hash = {static_cast<uint8_t>(row + 1)},
                             .scope = row % 2 == 0 ? "" : "web"});
  }
  for (const std::string& text : owned->texts) owned->views.push_back(text);
  for (uint32_t row = 0; row < count; row += 3) {
    owned->blocks.push_back("block of row " + std::to_string(row) + std::string(row * 7, '.'));
  }
  owned->rows.ids.kind = kind;
  if (kind == IdKind::kInt) owned->rows.ids.ints = owned->ints;
  if (kind == IdKind::kString) owned->rows.ids.strings = owned->views;
  owned->rows.fields = owned->fields;
  for (uint32_t i = 0; i < owned->blocks.size(); ++i) {
    owned->rows.blocks.push_back({as_bytes(owned->blocks[i]), std::min<uint32_t>(3, count - 3 * i)});
  }
  return owned;
}

inline File record_segment(FileSystem& fs, const std::string& scratch, const OwnedRecords& owned) {
  File file;
  file.bytes = written(
      fs, scratch, [&](Publication& out) { file.ref = write_record_segment(out, owned.rows, kRecordId, kToyHasher); });
  return file;
}

inline Bitmap bitmap() { return Bitmap(8).with(std::vector<uint32_t>{1, 6}); }

inline Buffer index_file(FileSystem& fs, const std::string& scratch, int parts = 1) {
  std::vector<std::unique_ptr<OwnedPart>> owned;
  std::vector<View::SealedPart> sealed;
  std::vector<SegmentId> ids;
  for (int i = 0; i < parts; ++i) {
    owned.push_back(part());
    sealed.push_back(
        {std::shared_ptr<const Part>(std::shared_ptr<void>(), &owned.back()->part), i == 0 ? bitmap() : Bitmap(8)});
    ids.push_back(bytes_from(0xa0 + i));
  }
  IndexFileInfo info;
  info.spec = part()->spec;
  info.next_rid = 108;
  info.settings = R"({"kind": "sample"})";
  return written(fs, scratch, [&](Publication& out) { write_index_file(out, info, sealed, ids, kToyHasher); });
}

inline Manifest manifest() {
  Manifest manifest;
  manifest.name = "docs";
  manifest.collection = 3;
  manifest.id_kind = IdKind::kString;
  manifest.version = 41;
  manifest.next_rid = 1000;
  manifest.settings = "{}";
  SegmentRef records{{17, 65536, bytes_from<32>(0x10)}, kRecordId, 8, 8, {}, {}};
  SegmentRef vectors{{18, 131072, bytes_from<32>(0x30)}, kVectorId, 8, 6, FileRef{19, 8260, bytes_from<32>(0x50)}, {}};
  manifest.records = {records};
  manifest.generations = {{"", fingerprint(), R"({"name": "m"})", part()->spec, {vectors}, {}}};
  return manifest;
}

constexpr int64_t kTime = 1'700'000'000'000'000;

inline Root root() {
  Root root;
  root.store = kStoreId;
  root.seq = 9;
  root.version = 42;
  root.timeline = 1;
  root.time_us = kTime;
  root.parent = bytes_from<32>(0x70);
  root.next_file = 21;
  root.next_collection = 4;
  root.settings = "{}";
  root.log = {20, 64, 4096, 0x12345678, true, 15, 2048};
  const FileRef manifest{16, 400, bytes_from<32>(0x11)};
  root.collections = {{3, "docs", 41, kTime, 40, 2, manifest, {}}};
  root.tags = {{"v1", 3, 41, kTime, manifest, {}}};
  root.stand_ins = {{12, {19, 65536, bytes_from<32>(0x33)}}};
  return root;
}

// Operations and their memory: two rows, one with a vector, a delete, and settings.
struct OwnedOperations {
  std::vector<int64_t> ids = {7, 5};
  std::vector<RecordFields> fields = {{11, 43, 1, 2, {9}, "web"}, {12, 43, 3, 4, {}, ""}};
  std::vector<VectorFate> fates = {VectorFate::kGiven, VectorFate::kNone};
  std::string columns = "two rows";
  std::vector<Provenance> provenance = {{{9}, 77}};
  std::vector<float> vectors = {1, 2, 3, -4};
  std::vector<uint64_t> dead = {2, 1};
  std::string settings = R"({"a": 1})";
  std::vector<Operation> operations;
};

inline std::unique_ptr<OwnedOperations> operations() {
  auto owned = std::make_unique<OwnedOperations>();
  PutOperation put;
  put.collection = 3;
  put.ids.ints = owned->ids;
  put.fields = owned->fields;
  put.fates = owned->fates;
  put.columns = as_bytes(owned->columns);
  put.fingerprint = fingerprint();
  put.dim = 4;
  put.provenance = owned->provenance;
  put.vectors = as_bytes(owned->vectors);
  owned->operations = {put, DeleteOperation{3, owned->dead}, SettingsOperation{3, owned->settings}};
  return owned;
}

inline const LogHeader kLog = {kStoreId, 20, 1};

// A log of `frames` frames; `ends`, if not null, takes where each ends.
inline Buffer log(int frames = 1, std::vector<uint64_t>* ends = nullptr) {
  const EncodedLogHeader header = encode_log_header(kLog);
  Buffer bytes(header.bytes.begin(), header.bytes.end());
  const auto owned = operations();
  const Buffer payload = encode_operations(owned->operations);
  for (int i = 0; i < frames; ++i) {
    LogFrame frame;
    frame.offset = bytes.size();
    frame.version = 43 + static_cast<uint64_t>(i);
    frame.time_us = 1'700'000'000'000'000 + i;
    frame.durable = bytes.size();
    frame.timeline = 1;
    frame.payload = payload;
    const Buffer encoded = encode_frame(kLog, frame);
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
    if (ends != nullptr) ends->push_back(frame.end);
  }
  return bytes;
}

}  // namespace lamina::sample
