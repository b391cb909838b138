#include "segment/manifest.h"

#include "segment/format.h"

namespace lamina {
namespace {

constexpr size_t kRefBytes = 48;
constexpr size_t kLeastSegmentBytes = kRefBytes + 16 + 8 + 8 + 1 + 4;
constexpr size_t kLeastGenerationBytes = 4 + 32 + 4 + 24 + 4 + 4;

void write_segments(ByteWriter& out, const std::vector<SegmentRef>& segments) {
  out.u32(static_cast<uint32_t>(segments.size()));
  for (const SegmentRef& segment : segments) write_segment_ref(out, segment);
}

std::vector<SegmentRef> read_segments(ByteReader& in) {
  std::vector<SegmentRef> segments(read_count(in, kLeastSegmentBytes));
  for (SegmentRef& segment : segments) segment = read_segment_ref(in);
  return segments;
}

void write_generation(ByteWriter& out, const Generation& generation) {
  out.string(generation.field);
  write_array(out, generation.fingerprint);
  out.string(generation.model);
  write_spec(out, generation.spec);
  write_segments(out, generation.segments);
  write_extensions(out, generation.extensions);
}

Generation read_generation(ByteReader& in) {
  Generation generation;
  generation.field = in.string();
  generation.fingerprint = read_array<32, uint8_t>(in);
  generation.model = in.string();
  generation.spec = read_spec(in);
  generation.segments = read_segments(in);
  generation.extensions = read_extensions(in);
  return generation;
}

constexpr uint16_t kMigrationTag = 1;

Extensions with_migration(const Manifest& manifest) {
  if (manifest.migration == Migration{}) return manifest.extensions;
  ByteWriter out;
  out.u8(static_cast<uint8_t>(manifest.migration.stage));
  write_zeros(out, 7);
  out.u64(manifest.migration.cut_overs);
  out.string(manifest.migration.note);
  Extensions all = manifest.extensions;
  all.insert(all.begin(), {kMigrationTag, out.take()});
  return all;
}

Migration read_migration(Bytes bytes, const std::string& file, uint64_t offset) {
  ByteReader in(bytes, file, offset);
  Migration migration;
  const uint8_t stage = in.u8();
  if (stage > static_cast<uint8_t>(MigrationStage::kCutOver)) too_new(file, "migration stage " + std::to_string(stage));
  migration.stage = static_cast<MigrationStage>(stage);
  read_zeros(in, 7);
  migration.cut_overs = in.u64();
  migration.note = in.string();
  in.expect_end();
  return migration;
}

}  // namespace

void write_segment_ref(ByteWriter& out, const SegmentRef& ref) {
  write_ref(out, ref.file);
  write_array(out, ref.id);
  out.u64(ref.rows);
  out.u64(ref.live);
  out.u8(ref.deleted ? 1 : 0);
  if (ref.deleted) write_ref(out, *ref.deleted);
  write_extensions(out, ref.extensions);
}

SegmentRef read_segment_ref(ByteReader& in) {
  SegmentRef ref;
  ref.file = read_ref(in);
  ref.id = read_array<16, std::byte>(in);
  ref.rows = in.u64();
  ref.live = in.u64();
  if (ref.rows > kMaxRows) in.corrupt("at most " + std::to_string(kMaxRows) + " rows", std::to_string(ref.rows));
  if (ref.live > ref.rows) in.corrupt("at most " + std::to_string(ref.rows) + " live rows", std::to_string(ref.live));
  const uint8_t has_bitmap = in.u8();
  if (has_bitmap > 1) in.corrupt("0 or 1", std::to_string(has_bitmap));
  if (has_bitmap == 1) ref.deleted = read_ref(in);
  if (has_bitmap == 0 && ref.live != ref.rows) in.corrupt("a bitmap of the dead rows", "none");
  ref.extensions = read_extensions(in);
  return ref;
}

std::vector<std::byte> encode_manifest(const Manifest& manifest) {
  ByteWriter payload;
  payload.string(manifest.name);
  payload.u64(manifest.collection);
  payload.u8(manifest.id_kind ? static_cast<uint8_t>(*manifest.id_kind) : 0);
  payload.u64(manifest.version);
  payload.u64(manifest.next_rid);
  payload.string(manifest.settings);
  write_segments(payload, manifest.records);
  payload.u32(static_cast<uint32_t>(manifest.generations.size()));
  for (const Generation& generation : manifest.generations) write_generation(payload, generation);
  write_extensions(payload, with_migration(manifest));
  return seal_document(DocumentKind::kManifest, payload.view());
}

Manifest decode_manifest(const Document& document, const std::string& file) {
  ByteReader in(document.payload, file, document.offset);
  Manifest manifest;
  manifest.name = in.string();
  manifest.collection = in.u64();
  const uint8_t id_kind = in.u8();
  if (id_kind > 2) in.corrupt("id kind 0, 1 or 2", std::to_string(id_kind));
  if (id_kind != 0) manifest.id_kind = static_cast<IdKind>(id_kind);
  manifest.version = in.u64();
  manifest.next_rid = in.u64();
  manifest.settings = in.string();
  manifest.records = read_segments(in);
  if (!manifest.id_kind && !manifest.records.empty()) in.corrupt("a kind of ids, since there are records", "none");
  manifest.generations.resize(read_count(in, kLeastGenerationBytes));
  for (Generation& generation : manifest.generations) generation = read_generation(in);
  manifest.extensions = read_extensions(in);
  in.expect_end();
  if (!manifest.extensions.empty() && manifest.extensions.front().tag == kMigrationTag) {
    manifest.migration = read_migration(manifest.extensions.front().bytes, file, document.offset);
    manifest.extensions.erase(manifest.extensions.begin());
  }
  return manifest;
}

}  // namespace lamina
