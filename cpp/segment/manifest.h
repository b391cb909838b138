// The manifest: what one collection consists of. A value and its bytes; what it means is the store's affair.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codes/metric.h"
#include "segment/document.h"
#include "segment/migration.h"
#include "segment/record.h"

namespace lamina {

struct SegmentRef {
  FileRef file;
  SegmentId id{};
  uint64_t rows = 0;
  uint64_t live = 0;               // rows not in the bitmap
  std::optional<FileRef> deleted;  // none: no row is dead
  Extensions extensions;
  bool operator==(const SegmentRef&) const = default;
};

struct Generation {
  std::string field;
  Fingerprint fingerprint{};
  std::string model;  // the caller's own bytes
  VectorSpec spec;
  std::vector<SegmentRef> segments;
  Extensions extensions;
};

struct Manifest {
  std::string name;  // when it was written; the root's counts
  uint64_t collection = 0;
  std::optional<IdKind> id_kind;  // none: no record was ever put
  uint64_t version = 0;
  uint64_t next_rid = 0;
  std::string settings;  // the caller's own bytes
  std::vector<SegmentRef> records;
  std::vector<Generation> generations;  // the first is served
  Migration migration;                  // written as an extension, if it is not the default
  Extensions extensions;
};

// A whole document, ready to be published.
std::vector<std::byte> encode_manifest(const Manifest& manifest);
Manifest decode_manifest(const Document& document, const std::string& file);

void write_segment_ref(ByteWriter& out, const SegmentRef& ref);
SegmentRef read_segment_ref(ByteReader& in);

}  // namespace lamina
