#include <algorithm>
#include <stdexcept>

#include "io/crc32c.h"
#include "segment/segment_file.h"

namespace lamina {
namespace {

std::vector<std::byte> encode_header(const SegmentHeader& header) {
  ByteWriter out;
  write_prefix(out, kSegmentMagic);
  out.u8(static_cast<uint8_t>(header.kind));
  out.u8(static_cast<uint8_t>(header.flavour));
  out.u8(header.id_kind);
  out.u8(0);
  out.u32(0);
  write_array(out, header.id);
  out.u64(header.rows);
  out.u64(0);
  write_array(out, header.fingerprint);
  if (header.kind == SegmentKind::kVectors) {
    write_spec(out, header.spec);
    out.u64(header.code_stride);
  }
  write_zeros(out, kPageBytes - 4 - out.size());
  out.u32(crc32c(0, out.view()));
  return out.take();
}

void write_section(ByteWriter& out, const Section& section) {
  out.u32(section.name);
  out.u32(static_cast<uint32_t>(section.role));
  out.u64(section.offset);
  out.u64(section.length);
  out.u64(section.count);
  out.u32(section.element_bytes);
  out.u32(section.block_bytes);
  out.u64(section.checks);
  out.u64(0);  // in this file
  out.u64(0);
}

}  // namespace

uint32_t block_seed(const SegmentId& id, SectionName name, uint64_t block) {
  std::array<std::byte, 28> place;
  std::ranges::copy(id, place.begin());
  store_le(place.data() + 16, name);
  store_le(place.data() + 20, block);
  return crc32c(0, place);
}

std::string text_of(SectionName name) {
  std::string text;
  for (int shift = 0; shift < 32; shift += 8) {
    const auto c = static_cast<char>(name >> shift & 0xff);
    text += c >= ' ' && c <= '~' ? c : '?';
  }
  return text;
}

SegmentWriter::SegmentWriter(Publication& out, const SegmentHeader& header, const Hasher& hasher)
    : out_(out), hasher_(hasher), header_(header) {
  piece_.reserve(kHashPieceBytes);
  put(encode_header(header));
}

void SegmentWriter::begin(SectionName name, SectionRole role, uint32_t element_bytes, uint64_t count,
                          uint64_t block_bytes) {
  end_section();
  Section section;
  section.name = name;
  section.role = role;
  section.offset = position_;
  section.count = count;
  section.element_bytes = element_bytes;
  section.block_bytes = static_cast<uint32_t>(block_bytes);
  section.checks = checks_.size() * sizeof(uint32_t);
  sections_.push_back(section);
  open_ = true;
  block_filled_ = 0;
  block_number_ = 0;
}

void SegmentWriter::append(Bytes bytes) {
  sections_.back().length += bytes.size();
  take_into_block(bytes);
  put(bytes);
}

void SegmentWriter::take_into_block(Bytes bytes) {
  const Section& section = sections_.back();
  while (!bytes.empty()) {
    if (block_filled_ == 0) block_crc_ = block_seed(header_.id, section.name, block_number_);
    const size_t n = std::min<uint64_t>(bytes.size(), section.block_bytes - block_filled_);
    block_crc_ = crc32c(block_crc_, bytes.first(n));
    bytes = bytes.subspan(n);
    block_filled_ += n;
    if (block_filled_ < section.block_bytes) continue;
    checks_.push_back(block_crc_);
    block_filled_ = 0;
    ++block_number_;
  }
}

void SegmentWriter::end_section() {
  if (!open_) return;
  const Section& section = sections_.back();
  if (section.element_bytes != 0 && section.length != section.count * section.element_bytes) {
    throw std::logic_error("section " + text_of(section.name) + " is not as long as was said");
  }
  const std::vector<std::byte> padding(round_up(position_, kPageBytes) - position_);
  take_into_block(padding);
  put(padding);
  if (block_filled_ > 0) checks_.push_back(block_crc_);
  open_ = false;
}

void SegmentWriter::put(Bytes bytes) {
  position_ += bytes.size();
  while (!bytes.empty()) {
    const size_t n = std::min<size_t>(bytes.size(), kHashPieceBytes - piece_.size());
    piece_.insert(piece_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    if (piece_.size() == kHashPieceBytes) flush_piece();
  }
}

void SegmentWriter::flush_piece() {
  const Digest digest = hasher_.digest(piece_);
  pieces_.insert(pieces_.end(), digest.begin(), digest.end());
  out_.append(piece_);
  piece_.clear();
}

// BSUM and the zeros up to the footer.
Section SegmentWriter::write_checks() {
  Section section;
  section.name = kChecks;
  section.role = SectionRole::kDerived;
  section.offset = position_;
  section.length = checks_.size() * sizeof(uint32_t);
  section.count = checks_.size();
  section.element_bytes = sizeof(uint32_t);
  section.block_bytes = kBlockBytes;
  const uint64_t end = position_ + section.length;
  const std::vector<std::byte> padding(round_up(end + kPageBytes, kSegmentUnit) - kPageBytes - end);
  checks_crc_ = crc32c(crc32c(block_seed(header_.id, kChecks, 0), as_bytes(checks_)), padding);
  put(as_bytes(checks_));
  put(padding);
  return section;
}

FileRef SegmentWriter::finish() {
  end_section();
  sections_.push_back(write_checks());
  if (!piece_.empty()) flush_piece();
  FileRef ref;
  ref.size = position_ + kPageBytes;

  ByteWriter footer;
  footer.u32(static_cast<uint32_t>(sections_.size()));
  footer.u32(checks_crc_);
  footer.u64(ref.size);
  write_array(footer, header_.id);
  write_array(footer, hasher_.digest(pieces_));
  write_zeros(footer, kFooterTableOffset - footer.size());
  for (const Section& section : sections_) write_section(footer, section);
  write_zeros(footer, kFooterCrcOffset - footer.size());
  footer.u32(crc32c(0, footer.view()));
  for (const std::byte b : kSegmentMagic) footer.u8(std::to_integer<uint8_t>(~b));
  out_.append(footer.view());
  ref.digest = hasher_.digest(footer.view());
  return ref;
}

}  // namespace lamina
