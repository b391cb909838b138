// Makes the checksums of damaged bytes right again, so that what is behind them gets tested. Does what it can with
// bytes that make no sense, and touches nothing outside of them.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "io/crc32c.h"
#include "segment/log_format.h"
#include "segment/segment_file.h"
#include "segment/toy_hasher.h"

namespace lamina {

using Edit = std::span<std::byte>;

inline void repair_document(Edit bytes) {
  if (bytes.size() < 44) return;
  store_le<uint64_t>(bytes.data() + 32, bytes.size() - 44);
  store_le(bytes.data() + bytes.size() - 4, crc32c(0, bytes.first(bytes.size() - 4)));
}

inline void repair_header(Edit page) { store_le(page.data() + 4092, crc32c(0, page.first(4092))); }

inline Digest content_root(Bytes covered) {
  std::vector<std::byte> pieces;
  for (size_t at = 0; at < covered.size(); at += kHashPieceBytes) {
    const Digest digest =
        kToyHasher.digest(covered.subspan(at, std::min<size_t>(kHashPieceBytes, covered.size() - at)));
    pieces.insert(pieces.end(), digest.begin(), digest.end());
  }
  return kToyHasher.digest(pieces);
}

// The block CRCs of one section, as far as they fit into BSUM.
inline void repair_section(Edit segment, const std::byte* entry, const std::byte* checks_entry) {
  const SegmentId id = *reinterpret_cast<const SegmentId*>(segment.data() + 32);
  const auto name = load_le<uint32_t>(entry);
  const auto offset = load_le<uint64_t>(entry + 8);
  const auto length = load_le<uint64_t>(entry + 16);
  const auto block_bytes = load_le<uint32_t>(entry + 36);
  const auto checks = load_le<uint64_t>(entry + 40);
  const auto checks_offset = load_le<uint64_t>(checks_entry + 8);
  const auto checks_length = load_le<uint64_t>(checks_entry + 16);
  const uint64_t end = segment.size() - kPageBytes;
  if (offset > end || length > end - offset || block_bytes < kPageBytes) return;
  if (checks_offset > end || checks_length > end - checks_offset) return;
  const uint64_t padded = round_up(length, kPageBytes);
  if (padded > end - offset) return;
  for (uint64_t block = 0; block * block_bytes < padded; ++block) {
    const uint64_t at = checks + 4 * block;
    if (checks > checks_length || at + 4 > checks_length) return;
    const uint64_t size = std::min<uint64_t>(block_bytes, padded - block * block_bytes);
    const uint32_t crc = crc32c(block_seed(id, name, block), segment.subspan(offset + block * block_bytes, size));
    store_le(segment.data() + checks_offset + at, crc);
  }
}

// Returns the reference that means these bytes.
inline FileRef repair_segment(Edit segment) {
  if (segment.size() < 2 * kPageBytes) return {0, segment.size(), {}};
  repair_header(segment.first(kPageBytes));
  Edit footer = segment.last(kPageBytes);
  const uint32_t count = std::min<uint32_t>(load_le<uint32_t>(footer.data()), 60);
  if (count > 0) {
    const std::byte* checks_entry = footer.data() + 128 + 64 * (count - 1);
    for (uint32_t i = 0; i + 1 < count; ++i) repair_section(segment, footer.data() + 128 + 64 * i, checks_entry);
    const auto offset = load_le<uint64_t>(checks_entry + 8);
    if (offset <= segment.size() - kPageBytes) {
      const SegmentId id = *reinterpret_cast<const SegmentId*>(segment.data() + 32);
      const Edit covered = segment.subspan(offset, segment.size() - kPageBytes - offset);
      store_le(footer.data() + 4, crc32c(block_seed(id, section_name("BSUM"), 0), covered));
    }
  }
  std::ranges::copy(content_root(segment.first(segment.size() - kPageBytes)), footer.data() + 32);
  store_le(footer.data() + 4084, crc32c(0, footer.first(4084)));
  return {0, segment.size(), kToyHasher.digest(footer)};
}

// Segments, directory and trailer of an index file, as far as the trailer and the directory still find each other.
inline void repair_bundle(Edit file) {
  if (file.size() < 2 * kPageBytes) return;
  Edit trailer = file.last(kPageBytes);
  const auto offset = load_le<uint64_t>(trailer.data() + 24);
  const auto length = load_le<uint64_t>(trailer.data() + 32);
  const uint64_t end = file.size() - kPageBytes;
  if (offset <= end && length <= end - offset && length >= 44) {
    const Edit document = file.subspan(offset, length);
    // The first segment's reference: behind spec, id kind, next rid, settings, count, offset and id; its number first.
    const auto settings = load_le<uint32_t>(document.data() + std::min<uint64_t>(40 + 33, length - 4));
    const uint64_t ref_at = 40 + 33 + 4 + uint64_t{settings} + 4 + 24;
    if (length >= ref_at + 48) {
      const auto size = load_le<uint64_t>(document.data() + ref_at + 8);
      if (size <= offset && size >= 2 * kPageBytes) {
        const FileRef ref = repair_segment(file.first(size));
        std::ranges::copy(ref.digest, document.data() + ref_at + 16);
      }
    }
    repair_document(document);
    std::ranges::copy(kToyHasher.digest(document), trailer.data() + 48);
  }
  store_le<uint64_t>(trailer.data() + 40, file.size());
  repair_header(trailer);
}

// Header and every frame that follows from it.
inline void repair_log(Edit log) {
  if (log.size() < kLogHeaderBytes) return;
  store_le(log.data() + 60, crc32c(0, log.first(60)));
  LogHeader header;
  std::ranges::copy(log.subspan(24, 16), header.store.begin());
  header.number = load_le<uint64_t>(log.data() + 40);
  uint64_t at = kLogHeaderBytes;
  while (log.size() - at >= kFrameHeaderBytes) {
    std::byte* frame = log.data() + at;
    const auto length = load_le<uint64_t>(frame + 8);
    const uint64_t room = log.size() - at - kFrameHeaderBytes;
    if (length > room || round_up(length, 8) > room) return;
    std::array<std::byte, 32> place;
    std::ranges::copy(header.store, place.begin());
    store_le(place.data() + 16, header.number);
    store_le(place.data() + 24, at);
    const uint32_t seed = crc32c(0, place);
    std::ranges::copy(as_bytes("LFRM"), frame);
    store_le(frame + 44, crc32c(seed, {frame + kFrameHeaderBytes, round_up(length, 8)}));
    store_le(frame + 4, crc32c(seed, {frame + 8, kFrameHeaderBytes - 8}));
    at += kFrameHeaderBytes + round_up(length, 8);
  }
}

}  // namespace lamina
