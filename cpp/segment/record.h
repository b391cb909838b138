// What this core knows of a record beside its columns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

namespace lamina {

enum class IdKind : uint8_t { kInt = 1, kString = 2 };  // the numbers are written to files
using Id = std::variant<int64_t, std::string_view>;

// The ids of some rows, of one kind. A view: the caller keeps the memory.
struct Ids {
  IdKind kind = IdKind::kInt;
  std::span<const int64_t> ints;
  std::span<const std::string_view> strings;
  size_t size() const { return kind == IdKind::kInt ? ints.size() : strings.size(); }
  Id at(size_t i) const { return kind == IdKind::kInt ? Id{ints[i]} : Id{strings[i]}; }
};

using ContentHash = std::array<uint8_t, 16>;  // all zero: no content
using Fingerprint = std::array<uint8_t, 32>;  // of a model; all zero: none

struct RecordFields {
  uint64_t rid = 0;
  uint64_t version = 0;  // of the write that gave this row
  int64_t created_us = 0;
  int64_t updated_us = 0;
  ContentHash content_hash{};
  std::string_view scope;  // who wrote it: "" for plain writes
};

// The scopes of some rows, each name once.
struct ScopeTable {
  std::vector<std::string_view> names;  // in order of appearance
  std::vector<uint32_t> numbers;        // of each row, into names
  static ScopeTable of(std::span<const RecordFields> fields);
};

// What becomes of the vector of each row of a put. The numbers are written to files.
enum class VectorFate : uint8_t { kGiven = 0, kKept = 1, kNone = 2 };

}  // namespace lamina
