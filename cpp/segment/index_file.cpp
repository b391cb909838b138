#include "segment/index_file.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "io/crc32c.h"
#include "segment/bitmap_file.h"
#include "segment/manifest.h"
#include "segment/vector_segment.h"

namespace lamina {
namespace {

constexpr uint64_t kTrailerBytes = kPageBytes;
constexpr size_t kLeastEntryBytes = 8 + 16 + 48 + 8 + 8 + 1;

// One segment of the bundle, as its directory names it.
struct Entry {
  uint64_t offset = 0;
  SegmentId id{};
  FileRef ref;
  uint64_t rows = 0;
  uint64_t live = 0;
  std::optional<Bitmap> deleted;
};

struct Directory {
  IndexFileInfo info;
  std::vector<Entry> entries;
};

void write_entry(ByteWriter& out, const Entry& entry) {
  out.u64(entry.offset);
  write_array(out, entry.id);
  write_ref(out, entry.ref);
  out.u64(entry.rows);
  out.u64(entry.live);
  out.u8(entry.deleted ? 1 : 0);
  if (!entry.deleted) return;
  ByteWriter bitmap;
  write_bitmap(bitmap, *entry.deleted, entry.id);
  out.string(as_text(bitmap.view()));
}

Entry read_entry(ByteReader& in) {
  Entry entry;
  entry.offset = in.u64();
  entry.id = read_array<16, std::byte>(in);
  entry.ref = read_ref(in);
  entry.rows = in.u64();
  if (entry.rows > kMaxRows) in.corrupt("at most " + std::to_string(kMaxRows) + " rows", std::to_string(entry.rows));
  entry.live = in.u64();
  const uint8_t has_bitmap = in.u8();
  if (has_bitmap > 1) in.corrupt("0 or 1", std::to_string(has_bitmap));
  uint64_t dead = 0;
  if (has_bitmap == 1) {
    const uint32_t length = in.u32();
    const uint64_t offset = in.offset();
    ByteReader bitmap(in.bytes(length), in.file(), offset);
    entry.deleted = read_bitmap(bitmap, entry.id, entry.rows);
    bitmap.expect_end();
    dead = entry.deleted->count();
  }
  if (entry.live != entry.rows - dead) {
    in.corrupt(std::to_string(entry.rows - dead) + " live rows", std::to_string(entry.live));
  }
  return entry;
}

std::vector<std::byte> encode_directory(const Directory& directory) {
  ByteWriter payload;
  write_spec(payload, directory.info.spec);
  payload.u8(directory.info.has_ids ? 1 : 0);
  payload.u64(directory.info.next_rid);
  payload.string(directory.info.settings);
  payload.u32(static_cast<uint32_t>(directory.entries.size()));
  for (const Entry& entry : directory.entries) write_entry(payload, entry);
  write_extensions(payload, {});
  return seal_document(DocumentKind::kIndex, payload.view());
}

Directory decode_directory(const Document& document, const std::string& file) {
  ByteReader in(document.payload, file, document.offset);
  Directory directory;
  directory.info.spec = read_spec(in);
  const uint8_t id_kind = in.u8();
  if (id_kind > 1) in.corrupt("id kind 0 or 1", std::to_string(id_kind));
  directory.info.has_ids = id_kind == 1;
  directory.info.next_rid = in.u64();
  directory.info.settings = in.string();
  directory.entries.resize(read_count(in, kLeastEntryBytes));
  for (Entry& entry : directory.entries) entry = read_entry(in);
  read_extensions(in);
  in.expect_end();
  return directory;
}

std::vector<std::byte> encode_trailer(uint64_t offset, Bytes document, const Hasher& hasher) {
  ByteWriter out;
  write_prefix(out, kBundleMagic);
  out.u64(offset);
  out.u64(document.size());
  out.u64(offset + round_up(document.size(), kPageBytes) + kTrailerBytes);
  write_array(out, hasher.digest(document));
  write_zeros(out, kTrailerBytes - 4 - out.size());
  out.u32(crc32c(0, out.view()));
  return out.take();
}

struct Place {
  uint64_t offset = 0;
  uint64_t length = 0;
  Digest digest{};
};

// Where the trailer says that the directory lies.
Place read_trailer(const Mapping& mapping) {
  const Bytes all = mapping.bytes();
  if (all.size() < 2 * kPageBytes || all.size() % kPageBytes != 0) {
    throw CorruptionError(mapping.path(), all.size(), "an index file, a multiple of 4096 bytes",
                          std::to_string(all.size()) + " bytes (file truncated?)");
  }
  const uint64_t at = all.size() - kTrailerBytes;
  const Bytes trailer = all.subspan(at);
  ByteReader in(trailer.first(kTrailerBytes - 4), mapping.path(), at);
  check_magic(in, kBundleMagic, "the trailer of an index file (file truncated?)");
  const auto stored = load_le<uint32_t>(trailer.data() + kTrailerBytes - 4);
  const uint32_t computed = crc32c(0, trailer.first(kTrailerBytes - 4));
  if (stored != computed) throw CorruptionError(mapping.path(), at, "checksum " + hex(stored), hex(computed));
  check_version(in);
  Place place;
  place.offset = in.u64();
  place.length = in.u64();
  const uint64_t length = in.u64();
  place.digest = read_array<32, std::byte>(in);
  read_zeros(in, in.remaining());
  if (length != all.size()) in.corrupt(std::to_string(all.size()) + " bytes in the file", std::to_string(length));
  if (place.offset > at || place.length > at - place.offset || place.offset % kPageBytes != 0 ||
      place.offset + round_up(place.length, kPageBytes) != at) {
    in.corrupt("a directory before the trailer", std::to_string(place.offset) + " + " + std::to_string(place.length));
  }
  return place;
}

Directory read_directory(const Mapping& mapping, const Place& place, const Hasher& hasher) {
  const Bytes all = mapping.bytes();
  const Document document = open_document(all.subspan(place.offset, place.length), mapping.path(), DocumentKind::kIndex,
                                          FileRef{0, place.length, place.digest}, hasher, place.offset);
  const uint64_t end = place.offset + place.length;
  expect_zero(all.subspan(end, all.size() - kTrailerBytes - end), mapping.path(), end);
  Directory directory = decode_directory(document, mapping.path());
  uint64_t next = 0;
  for (const Entry& entry : directory.entries) {
    if (entry.offset != next || entry.ref.size > place.offset - next) {
      throw CorruptionError(mapping.path(), place.offset, "a segment at " + std::to_string(next),
                            std::to_string(entry.offset));
    }
    next += entry.ref.size;
  }
  if (next != place.offset) {
    throw CorruptionError(mapping.path(), next, "the directory", std::to_string(place.offset - next) + " other bytes");
  }
  return directory;
}

}  // namespace

void write_index_file(Publication& out, const IndexFileInfo& info, std::span<const View::SealedPart> parts,
                      std::span<const SegmentId> ids, const Hasher& hasher) {
  Directory directory;
  directory.info = info;
  uint64_t offset = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Bitmap deleted = parts[i].deleted.resized(parts[i].part->rows);
    Entry entry;
    entry.offset = offset;
    entry.id = ids[i];
    entry.ref = write_vector_segment(out, *parts[i].part, {ids[i], {}, info.spec}, hasher);
    entry.rows = parts[i].part->rows;
    entry.live = entry.rows - deleted.count();
    if (deleted.count() > 0) entry.deleted = deleted;
    offset += entry.ref.size;
    directory.entries.push_back(std::move(entry));
  }
  const std::vector<std::byte> document = encode_directory(directory);
  out.append(document);
  out.append(std::vector<std::byte>(round_up(document.size(), kPageBytes) - document.size()));
  out.append(encode_trailer(offset, document, hasher));
}

IndexFile open_index_file(std::shared_ptr<const Mapping> mapping, const Hasher& hasher) {
  const Directory directory = read_directory(*mapping, read_trailer(*mapping), hasher);
  IndexFile file;
  file.info = directory.info;
  std::vector<std::shared_ptr<const VectorSegment>> segments;
  for (const Entry& entry : directory.entries) {
    const VectorSegmentInfo info = {entry.id, {}, directory.info.spec};
    auto segment = open_vector_segment_at(entry.offset, mapping, entry.ref, info, hasher);
    const Part& part = segment->part();
    if (part.rows != entry.rows || (part.ids != nullptr) != directory.info.has_ids) {
      segment->file().corrupt(48, std::to_string(entry.rows) + " rows, with ids as the directory says",
                              std::to_string(part.rows));
    }
    file.parts.push_back({std::shared_ptr<const Part>(segment, &part), entry.deleted.value_or(Bitmap(entry.rows))});
    segments.push_back(std::move(segment));
  }
  file.verify = [mapping = std::move(mapping), segments = std::move(segments)](const Hasher& with,
                                                                               const VerifyProgress& progress) {
    for (const auto& segment : segments) segment->verify(with, progress);
    read_directory(*mapping, read_trailer(*mapping), with);
  };
  return file;
}

}  // namespace lamina
