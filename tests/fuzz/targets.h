// What each fuzzer does with an input: make the checksums right, read all that there is to read, and use it as the
// rooms above would. True if the input was a file without fault. Damage and foreign versions are the expected answer;
// any other exception, or a report of a sanitizer, is a finding.
#pragma once

#include <cstdlib>

#include "../cpp/segment/repair.h"
#include "../cpp/segment/sample.h"
#include "base/error.h"
#include "packed.h"

namespace lamina::fuzz {

using Buffer = std::vector<std::byte>;

template <class Read>
bool reads_well(Read read) {
  try {
    read();
    return true;
  } catch (const CorruptionError&) {
  } catch (const FormatVersionError&) {
  }
  return false;
}

// A finding that no sanitizer would report.
inline void require(bool holds) {
  if (!holds) std::abort();
}

// Follows every link and reads every vector, code and column, as a search may.
inline uint64_t walk(const Part& part, size_t vector_bytes) {
  uint64_t sum = 0;
  const auto take = [&](uint32_t row) {
    sum += std::to_integer<uint64_t>(part.vectors[row * vector_bytes + vector_bytes - 1]);
    if (part.codes != nullptr) sum += static_cast<uint64_t>(part.codes[row * part.code_stride + part.code_stride - 1]);
    sum += part.rids[row] + static_cast<uint64_t>(part.provenance[row].embedded_at_us);
    if (part.ids != nullptr) sum += static_cast<uint64_t>(part.ids[row]);
  };
  const uint32_t* const order = part.checked_order();
  for (uint32_t i = 0; i < part.rows; ++i) take(order[i]);
  const GraphView& graph = part.graph;
  if (graph.entry == kNoRow) return sum;
  take(graph.entry);
  for (uint64_t i = 0; i < uint64_t{part.rows} * graph.degree; ++i) {
    if (graph.level0[i] != kNoRow) take(graph.level0[i]);
  }
  const uint32_t* list = graph.upper;
  for (const uint32_t count : graph.upper_counts) {
    for (uint64_t i = 0; i < uint64_t{count} * graph.upper_degree; ++i, ++list) {
      if (*list != kNoRow) take(graph.upper_rows[*list]);
    }
  }
  return sum;
}

// What a set opened from these parts answers: by rid, by graph and by scan.
inline void search(const VectorSpec& spec, std::vector<View::SealedPart> parts) {
  const std::vector<float> query(spec.dim, 0.5F);  // for bits, its first bytes
  const VectorSet set(spec, std::move(parts));
  const std::shared_ptr<const View> view = set.view();
  std::vector<Hit> hits(64);
  for (const bool exact : {false, true}) {
    SearchOptions options;
    options.k = static_cast<uint32_t>(exact ? hits.size() : 3);
    options.exact = exact;
    const size_t found = view->search(query.data(), options, hits.data());
    require(found == std::min<uint64_t>(options.k, view->live));
    for (size_t i = 0; i < found; ++i) require(hits[i].distance == hits[i].distance);
  }
  View::RowRef where;
  if (view->find(100, &where)) view->provenance_at(where);
}

inline bool vectors(Bytes input) {
  Buffer bytes = unpack(input);
  const FileRef ref = repair_segment(bytes);
  const auto mapping = std::make_shared<TestMapping>(bytes);
  return reads_well([&] {
    const SegmentHeader header = SegmentFile(mapping, 0, ref, kToyHasher).header();
    const auto segment = open_vector_segment(mapping, ref, {header.id, header.fingerprint, header.spec}, kToyHasher);
    const Part& part = segment->part();
    part.guard->check_index();
    part.guard->check_vectors(0, part.rows);
    require(walk(part, header.spec.vector_bytes()) !=
            1);  // 1: as good as any; keeps the walk from being optimised away
    segment->verify(kToyHasher);
    search(header.spec, {{std::shared_ptr<const Part>(segment, &part), Bitmap(part.rows)}});
  });
}

inline bool records(Bytes input) {
  Buffer bytes = unpack(input);
  const FileRef ref = repair_segment(bytes);
  const auto mapping = std::make_shared<TestMapping>(bytes);
  return reads_well([&] {
    const SegmentHeader header = SegmentFile(mapping, 0, ref, kToyHasher).header();
    const auto segment = open_record_segment(mapping, ref, header.id, kToyHasher);
    for (uint32_t row = 0; row < segment->rows(); ++row) {
      segment->find(segment->id_at(row));
      segment->find_rid(segment->fields_at(row).rid);
      const RecordSegment::Block block = segment->block(segment->block_of(row));
      require(block.first_row <= row && row - block.first_row < block.rows);
    }
    segment->find(Id{std::string_view("id")});
    segment->find(Id{int64_t{-3}});
    segment->verify(kToyHasher);
  });
}

inline bool index(Bytes input) {
  Buffer bytes = unpack(input);
  repair_bundle(bytes);
  const auto mapping = std::make_shared<TestMapping>(bytes);
  return reads_well([&] {
    const IndexFile file = open_index_file(mapping, kToyHasher);
    for (const View::SealedPart& sealed : file.parts) {
      require(sealed.deleted.size() == sealed.part->rows);
      sealed.part->guard->check_index();
      sealed.part->guard->check_vectors(0, sealed.part->rows);
      require(walk(*sealed.part, file.info.spec.vector_bytes()) != 1);
    }
    file.verify(kToyHasher, {});
    search(file.info.spec, file.parts);
  });
}

inline bool bitmap(Bytes input) {
  Buffer bytes(input.begin(), input.end());
  repair_document(bytes);
  return reads_well([&] {
    const Document document = open_document(bytes, "fuzz", DocumentKind::kBitmap);
    // Of the segment and the rows that it claims to be of.
    ByteReader in(document.payload, "fuzz");
    const auto segment = read_array<16, std::byte>(in);
    const uint64_t rows = std::min<uint64_t>(in.u64(), kMaxRows);
    const Bitmap bitmap = decode_bitmap(document, "fuzz", segment, rows);
    const Bitmap again = decode_bitmap(open_document(encode_bitmap(bitmap, segment), "fuzz", DocumentKind::kBitmap),
                                       "fuzz", segment, rows);
    require(again == bitmap);
  });
}

inline bool manifest(Bytes input) {
  Buffer bytes(input.begin(), input.end());
  repair_document(bytes);
  return reads_well([&] {
    const Document document = open_document(bytes, "fuzz", DocumentKind::kManifest);
    const Buffer again = encode_manifest(decode_manifest(document, "fuzz"));
    require(std::ranges::equal(open_document(again, "fuzz", DocumentKind::kManifest).payload, document.payload));
  });
}

inline bool root(Bytes input) {
  Buffer bytes(input.begin(), input.end());
  repair_document(bytes);
  return reads_well([&] {
    const Document document = open_document(bytes, "fuzz", DocumentKind::kRoot);
    const Buffer again = encode_root(decode_root(document, "fuzz"));
    require(std::ranges::equal(open_document(again, "fuzz", DocumentKind::kRoot).payload, document.payload));
  });
}

inline bool log(Bytes input) {
  Buffer bytes(input.begin(), input.end());
  repair_log(bytes);
  return reads_well([&] {
    const LogHeader header = decode_log_header(bytes, "fuzz", sample::kStoreId, sample::kLog.number);
    uint64_t at = kLogHeaderBytes;
    while (const auto frame = parse_frame(bytes, header, at)) {
      const DecodedOperations decoded(*frame, "fuzz");
      LogFrame again = *frame;
      const Buffer payload = encode_operations(decoded.operations());
      again.payload = payload;
      require(DecodedOperations(again, "fuzz").operations().size() == decoded.operations().size());
      require(frame->end > at);
      at = frame->end;
    }
    find_frame(bytes, header, at);
    decode_lock_note(Bytes(bytes).first(std::min<size_t>(bytes.size(), 128)));
  });
}

}  // namespace lamina::fuzz
