#include "codes/neighbour.h"
#include "segment/vector_sections.h"
#include "segment/vector_segment.h"

namespace lamina {
namespace {

template <class T>
Bytes bytes_of(const T* data, uint64_t bytes) {
  return {reinterpret_cast<const std::byte*>(data), static_cast<size_t>(bytes)};
}

template <class T>
void write_column(SegmentWriter& out, SectionName name, SectionRole role, const T* data, uint64_t element_bytes,
                  uint64_t count, uint64_t block_bytes = kBlockBytes) {
  out.begin(name, role, static_cast<uint32_t>(element_bytes), count, block_bytes);
  out.append(bytes_of(data, element_bytes * count));
}

void write_parameters(SegmentWriter& out, const Part& part) {
  ByteWriter parameters;
  parameters.f32(part.i8.offset);
  parameters.f32(part.i8.scale);
  parameters.u32(part.i4.step);
  parameters.u32(part.i4.low);
  const GraphView& graph = part.graph;
  const bool flat = graph.entry == kNoRow;
  parameters.u32(flat ? 0 : graph.degree);
  parameters.u32(flat || graph.upper_counts.empty() ? 0 : graph.upper_degree);
  parameters.u32(graph.entry);
  parameters.u32(flat ? 0 : static_cast<uint32_t>(graph.upper_counts.size()));
  if (!flat) parameters.bytes(std::as_bytes(graph.upper_counts));
  out.begin(kParameters, SectionRole::kDerived, 0, 1);
  out.append(parameters.view());

  ByteWriter calibration;
  for (const Calibration::Point& point : part.calibration.points) {
    calibration.u32(point.k);
    calibration.u32(point.ef);
    calibration.f32(point.recall);
    calibration.f32(point.far);
  }
  out.begin(kCalibration, SectionRole::kDerived, 16, part.calibration.points.size());
  out.append(calibration.view());
}

void write_graph(SegmentWriter& out, const GraphView& graph, uint64_t rows) {
  uint64_t lists = 0;
  for (const uint32_t count : graph.upper_counts) lists += count;
  const uint64_t upper = graph.upper_counts.empty() ? 0 : graph.upper_counts.front();
  const uint64_t upper_degree = graph.upper_counts.empty() ? 0 : graph.upper_degree;
  write_column(out, kLevel0, SectionRole::kDerived, graph.level0, 4 * uint64_t{graph.degree}, rows);
  write_column(out, kUpperRows, SectionRole::kDerived, graph.upper_rows.data(), 4, upper);
  write_column(out, kUpper, SectionRole::kDerived, graph.upper, 4 * upper_degree, lists);
}

}  // namespace

FileRef write_vector_segment(Publication& out, const Part& part, const VectorSegmentInfo& info, const Hasher& hasher) {
  SegmentHeader header;
  header.kind = SegmentKind::kVectors;
  header.flavour = part.graph.entry == kNoRow ? Flavour::kFlat : Flavour::kHnsw;
  header.id_kind = part.ids != nullptr ? 1 : 0;
  header.id = info.id;
  header.rows = part.rows;
  header.fingerprint = info.fingerprint;
  header.spec = info.spec;
  header.code_stride = part.codes != nullptr ? part.code_stride : 0;

  if (part.guard != nullptr) {  // a part of another file: damage is not to be given fresh checksums
    part.guard->check_index();
    part.guard->check_vectors(0, part.rows);
  }
  SegmentWriter writer(out, header, hasher);
  constexpr auto kPrimary = SectionRole::kPrimary;
  constexpr auto kDerived = SectionRole::kDerived;
  write_parameters(writer, part);
  write_column(writer, kRids, kPrimary, part.rids, 8, part.rows);
  if (part.ids != nullptr) write_column(writer, kIds, kPrimary, part.ids, 8, part.rows);
  write_column(writer, kProvenance, kPrimary, part.provenance, sizeof(Provenance), part.rows);
  write_column(writer, kRidOrder, kDerived, part.checked_order(), 4, part.rows);
  if (info.spec.metric == Metric::kCosine) write_column(writer, kNorms, kDerived, part.inverse_norms, 4, part.rows);
  if (part.codes != nullptr) write_column(writer, kCodes, kDerived, part.codes, part.code_stride, part.rows);
  if (part.coarse_codes != nullptr) {
    write_column(writer, kCoarseCodes, kDerived, part.coarse_codes, i4_stride(info.spec), part.rows);
  }
  if (part.neighbour_codes != nullptr) {
    const size_t stride = neighbour_stride(info.spec, part.graph.degree);
    write_column(writer, kNeighbourCodes, kDerived, part.neighbour_codes, stride, part.rows);
  }
  if (part.graph.entry != kNoRow) write_graph(writer, part.graph, part.rows);
  write_column(writer, kVectors, kPrimary, part.vectors, info.spec.vector_bytes(), part.rows, kVectorBlockBytes);
  if (part.guard != nullptr) part.guard->require_whole();
  return writer.finish();
}

}  // namespace lamina
