// The payload of a frame: operations to bytes and back.
#include <algorithm>

#include "base/error.h"
#include "segment/finite.h"
#include "segment/format.h"
#include "segment/log_format.h"

namespace lamina {
namespace {

// The order of Operation's alternatives.
enum class OperationKind : uint8_t { kPut = 1, kDelete = 2, kSettings = 3, kVectors = 4 };
constexpr size_t kOperationHeaderBytes = 24;
constexpr size_t kLeastRowBytes = 8 + 8 + 8 + 16 + 4 + 4 + 1;
constexpr uint32_t kMaxDim = 65536;

size_t vector_bytes(uint32_t dim, DType dtype) {
  VectorSpec spec;
  spec.dim = dim;
  spec.dtype = dtype;
  return spec.vector_bytes();
}

void write_ids(ByteWriter& out, const Ids& ids) {
  if (ids.kind == IdKind::kInt) {
    out.bytes(std::as_bytes(ids.ints));
    return;
  }
  for (const std::string_view id : ids.strings) out.u32(static_cast<uint32_t>(id.size()));
  for (const std::string_view id : ids.strings) out.bytes(as_bytes(id));
  out.align(8);
}

template <class T>
void write_each(ByteWriter& out, std::span<const RecordFields> rows, T RecordFields::*member) {
  std::vector<T> values;
  values.reserve(rows.size());
  for (const RecordFields& row : rows) values.push_back(row.*member);
  out.bytes(std::as_bytes(std::span(values)));
}

void write_scopes(ByteWriter& out, std::span<const RecordFields> fields) {
  const auto [names, numbers] = ScopeTable::of(fields);
  out.u32(static_cast<uint32_t>(names.size()));
  for (const std::string_view name : names) out.string(name);
  out.bytes(as_bytes(numbers));
  out.align(8);
}

void write_vectors(ByteWriter& out, const GivenVectors& given) {
  out.u32(static_cast<uint32_t>(given.provenance.size()));
  if (given.provenance.empty()) {
    out.u32(0);
    return;
  }
  out.u32(given.dim);
  write_array(out, given.fingerprint);
  out.u8(static_cast<uint8_t>(given.dtype));
  write_zeros(out, 7);
  out.bytes(std::as_bytes(given.provenance));
  out.bytes(given.vectors);
}

void write_body(ByteWriter& out, const PutOperation& put) {
  out.u32(static_cast<uint32_t>(put.ids.size()));
  out.u8(static_cast<uint8_t>(put.ids.kind));
  write_zeros(out, 3);
  write_each(out, put.fields, &RecordFields::rid);
  write_each(out, put.fields, &RecordFields::created_us);
  write_each(out, put.fields, &RecordFields::updated_us);
  write_each(out, put.fields, &RecordFields::content_hash);
  write_ids(out, put.ids);
  write_scopes(out, put.fields);
  out.bytes(std::as_bytes(put.fates));
  out.align(8);
  out.u64(put.columns.size());
  out.bytes(put.columns);
  out.align(8);
  write_vectors(out, put);
}

void write_body(ByteWriter& out, const DeleteOperation& erase) {
  out.u32(static_cast<uint32_t>(erase.rids.size()));
  out.u32(0);
  out.bytes(std::as_bytes(erase.rids));
}

void write_body(ByteWriter& out, const SettingsOperation& settings) {
  out.string(settings.settings);
  out.align(8);
}

void write_body(ByteWriter& out, const VectorsOperation& vectors) {
  out.u32(static_cast<uint32_t>(vectors.rids.size()));
  out.u32(0);
  out.bytes(std::as_bytes(vectors.rids));
  write_vectors(out, vectors);
}

}  // namespace

std::vector<std::byte> encode_operations(std::span<const Operation> operations) {
  ByteWriter out;
  out.u32(static_cast<uint32_t>(operations.size()));
  out.u32(0);
  for (const Operation& operation : operations) {
    out.u8(static_cast<uint8_t>(operation.index() + 1));
    write_zeros(out, 7);
    out.u64(std::visit([](const auto& o) { return o.collection; }, operation));
    const size_t length_at = out.size();
    out.u64(0);
    const size_t body_at = out.size();
    // Everything before is a multiple of 8, so the body aligns as if it stood alone.
    std::visit([&](const auto& o) { write_body(out, o); }, operation);
    out.patch<uint64_t>(length_at, out.size() - body_at);
    out.align(8);
  }
  return out.take();
}

struct DecodedOperations::Storage {
  std::vector<int64_t> int_ids;
  std::vector<std::string_view> string_ids;
  std::vector<RecordFields> fields;
  std::vector<VectorFate> fates;
  std::vector<Provenance> provenance;
  std::vector<uint64_t> rids;
};

// Reads one operation's body.
struct OperationDecoder {
  ByteReader& in;
  DecodedOperations::Storage& storage;

  template <class T>
  void expect_unique(std::vector<T> values, const char* what) const {
    if (std::ranges::adjacent_find(values, std::ranges::greater_equal{}) == values.end()) return;
    std::ranges::sort(values);
    if (std::ranges::adjacent_find(values) != values.end())
      in.corrupt(std::string("each ") + what + " once", "one twice");
  }

  template <class T>
  std::vector<T> values(size_t count) {
    const Bytes bytes = in.bytes(count * sizeof(T));
    std::vector<T> result(count);
    if (!bytes.empty()) std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }

  Ids ids(IdKind kind, size_t rows) {
    Ids result;
    result.kind = kind;
    if (kind == IdKind::kInt) {
      storage.int_ids = values<int64_t>(rows);
      expect_unique(storage.int_ids, "id");
      result.ints = storage.int_ids;
      return result;
    }
    for (const uint32_t length : values<uint32_t>(rows)) storage.string_ids.push_back(as_text(in.bytes(length)));
    in.align(8);
    expect_unique(storage.string_ids, "id");
    result.strings = storage.string_ids;
    return result;
  }

  void scopes() {
    std::vector<std::string_view> names(read_count(in, 4));
    for (std::string_view& name : names) name = as_text(in.bytes(in.u32()));
    for (RecordFields& row : storage.fields) {
      const uint32_t number = in.u32();
      if (number >= names.size()) in.corrupt("a scope below " + std::to_string(names.size()), std::to_string(number));
      row.scope = names[number];
    }
    in.align(8);
  }

  void fields(size_t rows, uint64_t version) {
    storage.fields.resize(rows);
    std::vector<uint64_t> rids = values<uint64_t>(rows);
    for (size_t i = 0; i < rows; ++i) storage.fields[i].rid = rids[i];
    expect_unique(std::move(rids), "rid");
    for (RecordFields& row : storage.fields) row.created_us = in.i64();
    for (RecordFields& row : storage.fields) row.updated_us = in.i64();
    for (RecordFields& row : storage.fields) {
      row.content_hash = read_array<16, uint8_t>(in);
      row.version = version;
    }
  }

  uint64_t fates(size_t rows) {
    uint64_t given = 0;
    for (const uint8_t fate : values<uint8_t>(rows)) {
      if (fate > static_cast<uint8_t>(VectorFate::kNone)) in.corrupt("a fate of 0, 1 or 2", std::to_string(fate));
      storage.fates.push_back(static_cast<VectorFate>(fate));
      given += storage.fates.back() == VectorFate::kGiven ? 1 : 0;
    }
    in.align(8);
    return given;
  }

  void vectors(GivenVectors& given, uint64_t expected) {
    const uint32_t count = in.u32();
    if (count != expected) in.corrupt(std::to_string(expected) + " vectors", std::to_string(count));
    given.dim = in.u32();
    if (count == 0) {
      if (given.dim != 0) in.corrupt("zero", std::to_string(given.dim));
      return;
    }
    given.fingerprint = read_array<32, uint8_t>(in);
    const uint8_t dtype = in.u8();
    if (dtype > static_cast<uint8_t>(DType::kBits)) too_new(in.file(), "dtype " + std::to_string(dtype));
    given.dtype = static_cast<DType>(dtype);
    if (dtype == 0 || given.dim == 0 || given.dim > kMaxDim || (given.dtype == DType::kBits && given.dim % 8 != 0)) {
      in.corrupt("a dim and a dtype", std::to_string(given.dim) + " and " + std::to_string(dtype));
    }
    read_zeros(in, 7);
    storage.provenance = values<Provenance>(count);
    given.provenance = storage.provenance;
    given.vectors = in.bytes(uint64_t{count} * vector_bytes(given.dim, given.dtype));
    if (first_not_finite(given.vectors, given.dtype) != kAllFinite)
      in.corrupt("numbers in the vectors", "NaN or infinity");
  }

  PutOperation put(uint64_t collection, uint64_t version) {
    PutOperation put;
    put.collection = collection;
    const uint32_t rows = read_count(in, kLeastRowBytes);
    const uint8_t id_kind = in.u8();
    if (id_kind < 1 || id_kind > 2) in.corrupt("id kind 1 or 2", std::to_string(id_kind));
    read_zeros(in, 3);
    fields(rows, version);
    put.ids = ids(static_cast<IdKind>(id_kind), rows);
    scopes();
    const uint64_t given = fates(rows);
    put.columns = in.bytes(in.u64());
    in.align(8);
    vectors(put, given);
    put.fields = storage.fields;
    put.fates = storage.fates;
    return put;
  }

  std::span<const uint64_t> rids() {
    const uint32_t count = read_count(in, sizeof(uint64_t));
    read_zeros(in, 4);
    storage.rids = values<uint64_t>(count);
    expect_unique(storage.rids, "rid");
    return storage.rids;
  }

  VectorsOperation backfill(uint64_t collection) {
    VectorsOperation operation;
    operation.collection = collection;
    operation.rids = rids();
    vectors(operation, operation.rids.size());
    return operation;
  }

  SettingsOperation settings(uint64_t collection) {
    const Bytes settings = in.bytes(in.u32());
    in.align(8);
    return {collection, as_text(settings)};
  }

  Operation read(OperationKind kind, uint64_t collection, uint64_t version) {
    if (kind == OperationKind::kPut) return put(collection, version);
    if (kind == OperationKind::kDelete) return DeleteOperation{collection, rids()};
    if (kind == OperationKind::kSettings) return settings(collection);
    return backfill(collection);
  }
};

namespace {

// Calls fn(kind, collection, body) for each operation.
template <class Fn>
void for_each_operation(const LogFrame& frame, const std::string& file, Fn&& fn) {
  ByteReader in(frame.payload, file, frame.offset + kFrameHeaderBytes);
  const uint32_t count = read_count(in, kOperationHeaderBytes);
  read_zeros(in, 4);
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t kind = in.u8();
    if (kind == 0) in.corrupt("a kind of operation", "0");
    if (kind > static_cast<uint8_t>(OperationKind::kVectors)) too_new(file, "log operation " + std::to_string(kind));
    read_zeros(in, 7);
    const uint64_t collection = in.u64();
    const uint64_t length = in.u64();
    const uint64_t body_at = in.offset();
    fn(static_cast<OperationKind>(kind), collection, ByteReader(in.bytes(length), file, body_at));
    in.align(8);
  }
  in.expect_end();
}

}  // namespace

DecodedOperations::DecodedOperations(const LogFrame& frame, const std::string& file, std::optional<uint64_t> wanted) {
  for_each_operation(frame, file, [&](OperationKind kind, uint64_t collection, ByteReader body) {
    if (wanted && collection != *wanted) return;
    storage_.push_back(std::make_shared<Storage>());
    OperationDecoder decoder{body, *storage_.back()};
    operations_.push_back(decoder.read(kind, collection, frame.version));
    body.expect_end();
  });
}

std::vector<uint64_t> collections_of(const LogFrame& frame, const std::string& file) {
  std::vector<uint64_t> found;
  for_each_operation(frame, file, [&](OperationKind, uint64_t collection, const ByteReader&) {
    if (std::ranges::find(found, collection) == found.end()) found.push_back(collection);
  });
  return found;
}

}  // namespace lamina
