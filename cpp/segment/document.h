// Small files that are read whole: bitmaps, manifests, roots, the directory of an index.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codes/metric.h"
#include "segment/format.h"
#include "segment/hasher.h"

namespace lamina {

enum class DocumentKind : uint32_t { kBitmap = 1, kManifest = 2, kRoot = 3, kIndex = 4, kVerified = 5 };

struct Document {
  Bytes payload;         // a view into the file's bytes
  uint64_t offset = 0;   // of the payload in the file
  bool writable = true;  // false: a newer build left a mark that this one must not replace the document
};

std::vector<std::byte> seal_document(DocumentKind kind, Bytes payload);
// `bytes` are all of the document, which lies at `base` of `file`. CorruptionError, FormatVersionError.
Document open_document(Bytes bytes, const std::string& file, DocumentKind kind, uint64_t base = 0);
// The same, and that it is the one that `ref` means.
Document open_document(Bytes bytes, const std::string& file, DocumentKind kind, const FileRef& ref,
                       const Hasher& hasher, uint64_t base = 0);

// Parts of payloads.

using SegmentId = std::array<std::byte, 16>;

// What a later build hung on something. Kept and written again, never read.
struct Extension {
  uint16_t tag = 0;
  std::vector<std::byte> bytes;
  bool operator==(const Extension&) const = default;
};
using Extensions = std::vector<Extension>;

void write_extensions(ByteWriter& out, const Extensions& extensions);
Extensions read_extensions(ByteReader& in);
void write_ref(ByteWriter& out, const FileRef& ref);
FileRef read_ref(ByteReader& in);
void write_spec(ByteWriter& out, const VectorSpec& spec);
VectorSpec read_spec(ByteReader& in);  // every field in its range
// A list's count, refused when so many elements of at least `element_bytes` cannot follow.
uint32_t read_count(ByteReader& in, size_t element_bytes);

}  // namespace lamina
