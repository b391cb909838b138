#include "segment/document.h"

#include <stdexcept>

#include "base/error.h"
#include "base/mutant.h"
#include "io/crc32c.h"
#include "segment/format.h"

namespace lamina {
namespace {

constexpr size_t kDocumentHeaderBytes = 40;
constexpr size_t kCrcBytes = 4;

}  // namespace

std::vector<std::byte> seal_document(DocumentKind kind, Bytes payload) {
  ByteWriter out;
  write_prefix(out, kDocumentMagic);
  out.u32(static_cast<uint32_t>(kind));
  out.u32(0);
  out.u64(payload.size());
  out.bytes(payload);
  out.u32(crc32c(0, out.view()));
  return out.take();
}

Document open_document(Bytes bytes, const std::string& file, DocumentKind kind, uint64_t base) {
  ByteReader in(bytes, file, base);
  check_magic(in, kDocumentMagic, "a document");
  if (bytes.size() < kDocumentHeaderBytes + kCrcBytes) in.corrupt("a document", "its first bytes (file truncated?)");
  const Bytes covered = bytes.first(bytes.size() - kCrcBytes);
  const auto stored = load_le<uint32_t>(bytes.data() + covered.size());
  const uint32_t computed = crc32c(0, covered);
  if (stored != computed && !is_off("document checksum")) {
    throw CorruptionError(file, base, "checksum " + hex(stored), hex(computed) + " (file truncated?)");
  }
  Document document;
  document.writable = check_version(in);
  const uint32_t found = in.u32();
  if (found > static_cast<uint32_t>(DocumentKind::kVerified)) too_new(file, "document kind " + std::to_string(found));
  if (found != static_cast<uint32_t>(kind)) {
    in.corrupt("document kind " + std::to_string(static_cast<uint32_t>(kind)), std::to_string(found));
  }
  read_zeros(in, 4);
  const uint64_t length = in.u64();
  if (length != covered.size() - kDocumentHeaderBytes) {
    in.corrupt(std::to_string(length) + " bytes of payload", std::to_string(covered.size() - kDocumentHeaderBytes));
  }
  document.payload = covered.subspan(kDocumentHeaderBytes);
  document.offset = base + kDocumentHeaderBytes;
  return document;
}

Document open_document(Bytes bytes, const std::string& file, DocumentKind kind, const FileRef& ref,
                       const Hasher& hasher, uint64_t base) {
  if (bytes.size() != ref.size) {
    throw CorruptionError(file, base + bytes.size(), std::to_string(ref.size) + " bytes",
                          std::to_string(bytes.size()) + (bytes.size() < ref.size ? " (file truncated?)" : ""));
  }
  const Document document = open_document(bytes, file, kind, base);
  const Digest digest = hasher.digest(bytes);
  if (digest != ref.digest && !is_off("document digest"))
    throw CorruptionError(file, base, "digest " + hex(ref.digest), hex(digest));
  return document;
}

void write_extensions(ByteWriter& out, const Extensions& extensions) {
  out.u32(static_cast<uint32_t>(extensions.size()));
  for (const Extension& extension : extensions) {
    out.u16(extension.tag);
    out.string(as_text(extension.bytes));
  }
}

Extensions read_extensions(ByteReader& in) {
  Extensions extensions(read_count(in, 6));
  for (size_t i = 0; i < extensions.size(); ++i) {
    Extension& extension = extensions[i];
    extension.tag = in.u16();
    if (i > 0 && extension.tag <= extensions[i - 1].tag) in.corrupt("ascending tags", std::to_string(extension.tag));
    const Bytes bytes = in.bytes(in.u32());
    extension.bytes.assign(bytes.begin(), bytes.end());
  }
  return extensions;
}

void write_ref(ByteWriter& out, const FileRef& ref) {
  out.u64(ref.number);
  out.u64(ref.size);
  write_array(out, ref.digest);
}

FileRef read_ref(ByteReader& in) {
  FileRef ref;
  ref.number = in.u64();
  ref.size = in.u64();
  ref.digest = read_array<32, std::byte>(in);
  return ref;
}

void write_spec(ByteWriter& out, const VectorSpec& spec) {
  out.u32(spec.dim);
  out.u8(static_cast<uint8_t>(spec.metric));
  out.u8(static_cast<uint8_t>(spec.dtype));
  out.u8(static_cast<uint8_t>(spec.codes));
  out.u8(static_cast<uint8_t>(spec.layout));
  out.u32(spec.m);
  out.u32(spec.ef_construction);
  out.u64(spec.seed);
}

VectorSpec read_spec(ByteReader& in) {
  const uint64_t offset = in.offset();
  VectorSpec spec;
  spec.dim = in.u32();
  const uint8_t metric = in.u8();
  const uint8_t dtype = in.u8();
  const uint8_t codes = in.u8();
  const uint8_t layout = in.u8();
  spec.m = in.u32();
  spec.ef_construction = in.u32();
  spec.seed = in.u64();
  if (metric > static_cast<uint8_t>(Metric::kHamming)) too_new(in.file(), "metric " + std::to_string(metric));
  if (dtype > static_cast<uint8_t>(DType::kBits)) too_new(in.file(), "dtype " + std::to_string(dtype));
  if (codes > static_cast<uint8_t>(CodeKind::kI8)) too_new(in.file(), "code kind " + std::to_string(codes));
  if (metric == 0 || dtype == 0) throw CorruptionError(in.file(), offset, "a metric and a dtype", "0");
  if (layout > static_cast<uint8_t>(Layout::kNeighbours)) {
    throw CorruptionError(in.file(), offset, "a layout, 0 to 2", std::to_string(layout));
  }
  spec.metric = static_cast<Metric>(metric);
  spec.dtype = static_cast<DType>(dtype);
  spec.codes = static_cast<CodeKind>(codes);
  spec.layout = static_cast<Layout>(layout);
  try {
    validate(spec);
  } catch (const std::invalid_argument& e) {
    throw CorruptionError(in.file(), offset, "a spec of vectors", e.what());
  }
  return spec;
}

uint32_t read_count(ByteReader& in, size_t element_bytes) {
  const uint32_t count = in.u32();
  if (count > in.remaining() / element_bytes) {
    in.corrupt("at most " + std::to_string(in.remaining() / element_bytes) + " elements", std::to_string(count));
  }
  return count;
}

}  // namespace lamina
