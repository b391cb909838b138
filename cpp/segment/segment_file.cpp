#include "segment/segment_file.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "base/error.h"
#include "base/mutant.h"
#include "base/thread_pool.h"
#include "io/crc32c.h"

namespace lamina {
namespace {

constexpr uint32_t kMaxSections = 60;
constexpr size_t kCodeAlignment = 64;  // of a row of codes

// One of `known` values, lowest first; beyond them is a later build's.
uint8_t read_enum(ByteReader& in, uint8_t least, uint8_t most, const char* what) {
  const uint8_t value = in.u8();
  if (value > most) too_new(in.file(), std::string(what) + " " + std::to_string(value));
  if (value < least) in.corrupt(std::string("a ") + what, std::to_string(value));
  return value;
}

// What is damaged, and if it can be made anew.
std::string named(const Section& section) {
  return text_of(section.name) + (section.role == SectionRole::kDerived ? " (derived: a store can repair() it)" : "");
}

Section read_section(ByteReader& in) {
  Section section;
  section.name = in.u32();
  const uint32_t flags = in.u32();
  if (flags > 2) too_new(in.file(), "section flags " + hex(flags));
  if (flags == 0) in.corrupt("a section that is primary or derived", "neither");
  section.role = static_cast<SectionRole>(flags);
  section.offset = in.u64();
  section.length = in.u64();
  section.count = in.u64();
  section.element_bytes = in.u32();
  section.block_bytes = in.u32();
  section.checks = in.u64();
  if (in.u64() != 0) too_new(in.file(), "a section in another file");
  read_zeros(in, 8);
  return section;
}

SegmentHeader parse_header(ByteReader& in) {
  SegmentHeader header;
  header.kind = static_cast<SegmentKind>(read_enum(in, 1, 2, "segment kind"));
  const bool records = header.kind == SegmentKind::kRecords;
  header.flavour = static_cast<Flavour>(read_enum(in, records ? 0 : 1, records ? 0 : 2, "segment flavour"));
  header.id_kind = read_enum(in, 0, 2, "id kind");
  read_zeros(in, 5);
  header.id = read_array<16, std::byte>(in);
  header.rows = in.u64();
  if (header.rows > kMaxRows) in.corrupt("at most " + std::to_string(kMaxRows) + " rows", std::to_string(header.rows));
  read_zeros(in, 8);
  header.fingerprint = read_array<32, uint8_t>(in);
  if (!records) {
    header.spec = read_spec(in);
    header.code_stride = in.u64();
    const bool fits =
        header.code_stride % kCodeAlignment == 0 && header.code_stride <= round_up(header.spec.dim, kCodeAlignment);
    if (!fits || (header.code_stride != 0 && header.code_stride < header.spec.dim)) {
      in.corrupt("a code stride that fits", std::to_string(header.code_stride));
    }
  }
  read_zeros(in, in.remaining() - 4);
  return header;
}

}  // namespace

void expect_whole_file(const Mapping& mapping, const FileRef& ref) {
  const uint64_t size = mapping.bytes().size();
  if (size == ref.size) return;
  throw CorruptionError(mapping.path(), std::min(size, ref.size), std::to_string(ref.size) + " bytes",
                        std::to_string(size) + (size < ref.size ? " (file truncated?)" : ""));
}

SegmentFile::SegmentFile(std::shared_ptr<const Mapping> mapping, uint64_t base, const FileRef& ref,
                         const Hasher& hasher, Budgeted budgeted)
    : mapping_(std::move(mapping)), base_(base), ref_(ref), budgeted_(std::move(budgeted)) {
  const Bytes all = mapping_->bytes();
  if (base > all.size() || ref.size > all.size() - base) {
    throw CorruptionError(path(), all.size(), std::to_string(ref.size) + " bytes from " + std::to_string(base),
                          std::to_string(all.size()) + " in the file (file truncated?)");
  }
  if (ref.size == 0 || ref.size % kSegmentUnit != 0) {
    throw CorruptionError(path(), base, "a segment of a multiple of 65536 bytes", std::to_string(ref.size));
  }
  segment_ = all.subspan(base, ref.size);
  if (reinterpret_cast<uintptr_t>(segment_.data()) % alignof(uint64_t) != 0) {
    throw std::invalid_argument("a segment is read in place, and so must begin on an 8-byte boundary");
  }
  read_header();
  read_footer(hasher);
  require_whole();
}

void SegmentFile::read_header() {
  const Bytes page = segment_.first(kPageBytes);
  ByteReader in(page, path(), base_);
  check_magic(in, kSegmentMagic, "a segment");
  const auto stored = load_le<uint32_t>(page.data() + kPageBytes - 4);
  const uint32_t computed = crc32c(0, page.first(kPageBytes - 4));
  if (stored != computed && !is_off("segment header checksum"))
    corrupt(0, "header checksum " + hex(stored), hex(computed));
  check_version(in);
  header_ = parse_header(in);
}

void SegmentFile::read_footer(const Hasher& hasher) {
  const uint64_t at = ref_.size - kPageBytes;
  const Bytes page = footer();
  const Bytes magic = page.last(kSegmentMagic.size());
  const auto inverse = [](std::byte a, std::byte b) { return a == ~b; };
  if (!std::ranges::equal(magic, kSegmentMagic, inverse)) {
    corrupt(ref_.size - magic.size(), "a segment's last bytes", hex(magic) + " (file truncated?)");
  }
  const auto stored = load_le<uint32_t>(page.data() + kFooterCrcOffset);
  const uint32_t computed = crc32c(0, page.first(kFooterCrcOffset));
  if (stored != computed && !is_off("segment footer checksum"))
    corrupt(at, "footer checksum " + hex(stored), hex(computed));
  const Digest digest = hasher.digest(page);
  if (digest != ref_.digest && !is_off("segment digest")) corrupt(at, "digest " + hex(ref_.digest), hex(digest));

  ByteReader in(page.first(kFooterCrcOffset), path(), base_ + at);
  const uint32_t count = in.u32();
  checks_crc_ = in.u32();
  const uint64_t size = in.u64();
  if (size != ref_.size) in.corrupt(std::to_string(ref_.size) + " bytes", std::to_string(size));
  const auto id = read_array<16, std::byte>(in);
  if (id != header_.id) in.corrupt("segment id " + hex(header_.id), hex(id));
  content_root_ = read_array<32, std::byte>(in);
  read_zeros(in, kFooterTableOffset - in.position());
  read_sections(in, count);
  read_zeros(in, in.remaining());
}

void SegmentFile::read_sections(ByteReader& in, uint32_t count) {
  if (count == 0 || count > kMaxSections) in.corrupt("1 to 60 sections", std::to_string(count));
  uint64_t offset = kPageBytes;
  uint64_t checks = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Section section = read_section(in);
    if (find(section.name) != nullptr) in.corrupt("each section once", text_of(section.name) + " again");
    if ((section.name == kChecks) != (i + 1 == count)) in.corrupt("BSUM as the last section", text_of(section.name));
    expect_chain(section, offset, section.name == kChecks ? 0 : checks);
    offset += section.padded();
    if (section.name != kChecks) checks += section.blocks() * sizeof(uint32_t);
    sections_.push_back(section);
  }
  const Section& last = sections_.back();
  if (last.length != checks) in.corrupt(std::to_string(checks) + " bytes of BSUM", std::to_string(last.length));
  const uint64_t size = round_up(last.offset + last.length + kPageBytes, kSegmentUnit);
  if (size != ref_.size) in.corrupt("a segment of " + std::to_string(size) + " bytes", std::to_string(ref_.size));
}

// That a section stands right behind the one before it, within the file, and adds up.
void SegmentFile::expect_chain(const Section& section, uint64_t offset, uint64_t checks) const {
  const std::string name = text_of(section.name);
  const uint64_t table = ref_.size - kPageBytes + kFooterTableOffset;
  const auto expect = [&](const char* what, uint64_t expected, uint64_t found) {
    if (expected == found) return;
    corrupt(table, name + " with " + what + " " + std::to_string(expected), std::to_string(found));
  };
  const uint64_t end = ref_.size - kPageBytes;
  expect("offset", offset, section.offset);
  if (offset > end || section.length > end - offset) {
    corrupt(table, name + " within " + std::to_string(end) + " bytes", std::to_string(section.length));
  }
  if (section.element_bytes != 0) {
    expect("length", checked_product(section.count, section.element_bytes, path(), base_ + table), section.length);
  }
  if (section.block_bytes != kVectorBlockBytes) expect("block size", kBlockBytes, section.block_bytes);
  expect("checksums at", checks, section.checks);
}

const Section* SegmentFile::find(SectionName name) const {
  const auto found = std::ranges::find(sections_, name, &Section::name);
  return found == sections_.end() ? nullptr : &*found;
}

const Section& SegmentFile::require(SectionName name, uint32_t element_bytes, uint64_t count) const {
  const uint64_t table = ref_.size - kPageBytes + kFooterTableOffset;
  const Section* section = find(name);
  if (section == nullptr) corrupt(table, "a section " + text_of(name), "none");
  if (section->element_bytes != element_bytes || section->count != count) {
    corrupt(table, text_of(name) + " of " + std::to_string(count) + " x " + std::to_string(element_bytes) + " bytes",
            std::to_string(section->count) + " x " + std::to_string(section->element_bytes));
  }
  return *section;
}

void SegmentFile::check_checks() const {
  if (checks_good_.load(std::memory_order_acquire)) return;
  const uint64_t offset = sections_.back().offset;
  const Bytes covered = segment_.subspan(offset, ref_.size - kPageBytes - offset);
  const uint32_t computed = crc32c(block_seed(header_.id, kChecks, 0), covered);
  if (computed != checks_crc_ && !is_off("checksum of the checksums"))
    corrupt(offset, "checksum " + hex(checks_crc_), hex(computed));
  expect_zero(covered.subspan(sections_.back().length), path(), base_ + offset + sections_.back().length);
  checks_good_.store(true, std::memory_order_release);
}

void SegmentFile::read(uint64_t offset, std::span<std::byte> out) const {
  size_t got = 0;
  try {
    got = budgeted_.file->read_at(base_ + offset, out);
  } catch (const StorageError& error) {  // as where a mapping cannot be read
    throw CorruptionError(path(), base_ + offset, "bytes that can be read", error.what());
  }
  if (got == out.size()) return;
  throw CorruptionError(path(), base_ + offset + got, std::to_string(out.size() - got) + " more bytes",
                        "the end of the file (file truncated?)");
}

Bytes SegmentFile::in_place_or_read(uint64_t offset, uint64_t size, std::vector<std::byte>& buffer) const {
  if (budgeted_.file == nullptr) return segment_.subspan(offset, size);
  buffer.resize(size);
  read(offset, buffer);
  return buffer;
}

Bytes SegmentFile::check_block(const Section& section, uint64_t block) const {
  check_checks();
  const uint64_t begin = block * section.block_bytes;
  const uint64_t size = std::min<uint64_t>(section.block_bytes, section.padded() - begin);
  thread_local std::vector<std::byte> buffer;
  const Bytes bytes = in_place_or_read(section.offset + begin, size, buffer);
  const std::byte* entry = segment_.data() + sections_.back().offset + section.checks + block * sizeof(uint32_t);
  const auto stored = load_le<uint32_t>(entry);
  const uint32_t computed = crc32c(block_seed(header_.id, section.name, block), bytes);
  if (stored != computed && !is_off("block checksum")) {
    corrupt(section.offset + begin, named(section) + " checksum " + hex(stored), hex(computed));
  }
  const uint64_t used = std::min(size, section.length - std::min(begin, section.length));
  expect_zero(bytes.subspan(used), path(), base_ + section.offset + begin + used);
  return bytes.first(used);
}

void SegmentFile::check_all(const Section& section, const BlockFn& extra) const {
  check_checks();
  if (budgeted_.file == nullptr) mapping_->expect_all(base_ + section.offset, section.padded());
  const uint64_t grain = std::max<uint64_t>(1, (uint64_t{1} << 20) / section.block_bytes);
  parallel_for(0, section.blocks(), grain, 0, [&](uint64_t begin, uint64_t end, unsigned) {
    for (uint64_t block = begin; block < end; ++block) {
      const Bytes bytes = check_block(section, block);
      if (extra) extra(block * section.block_bytes, bytes);
    }
  });
}

void SegmentFile::verify(const Hasher& hasher, const VerifyProgress& progress) const {
  checks_good_.store(false, std::memory_order_release);  // what was good before may have been damaged since
  for (const Section& section : sections_) {
    if (section.name != kChecks) check_all(section);
  }
  check_checks();
  const Digest digest = hasher.digest(footer());
  if (digest != ref_.digest) corrupt(ref_.size - kPageBytes, "digest " + hex(ref_.digest), hex(digest));

  std::vector<std::byte> pieces;
  std::vector<std::byte> buffer;
  const uint64_t covered = ref_.size - kPageBytes;
  for (uint64_t at = 0; at < covered; at += kHashPieceBytes) {
    const Bytes piece = in_place_or_read(at, std::min(kHashPieceBytes, covered - at), buffer);
    const Digest of_piece = hasher.digest(piece);
    pieces.insert(pieces.end(), of_piece.begin(), of_piece.end());
    if (progress) progress(piece.size());
  }
  const Digest root = hasher.digest(pieces);
  if (root != content_root_ && !is_off("content root")) corrupt(0, "content root " + hex(content_root_), hex(root));
  if (progress) progress(kPageBytes);
}

void SegmentFile::corrupt(uint64_t offset, std::string expected, std::string found) const {
  require_whole();  // the better reason
  throw CorruptionError(path(), base_ + offset, std::move(expected), std::move(found));
}

void SegmentFile::corrupt(const Section& section, uint64_t element, std::string expected, std::string found) const {
  corrupt(section.offset + element * std::max<uint64_t>(section.element_bytes, 1),
          named(section) + ": " + std::move(expected), std::move(found));
}

CheckedSection::CheckedSection(const SegmentFile& file, const Section& section, BlockCheck extra)
    : file_(&file),
      section_(&section),
      extra_(extra),
      shift_(static_cast<unsigned>(std::countr_zero(section.block_bytes))),
      good_(section.blocks() / 64 + 1) {}

void CheckedSection::check_block(uint64_t block) const {
  const Bytes bytes = file_->check_block(*section_, block);
  if (extra_ != nullptr) extra_(*file_, *section_, block << shift_, bytes);
  good_[block / 64].fetch_or(uint64_t{1} << block % 64, std::memory_order_release);
}

}  // namespace lamina
