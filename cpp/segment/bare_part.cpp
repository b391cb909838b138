#include "segment/bare_part.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "codes/exact.h"
#include "segment/vector_sections.h"

namespace lamina {
namespace {

struct Bare final : Part::Guard {
  explicit Bare(std::shared_ptr<const VectorSegment> from) : segment(std::move(from)) {}
  const uint32_t* check_rids() const override { return part.rid_order; }  // all was checked, or made here
  void check_index() const override {}
  void check_vectors(uint32_t, uint32_t) const override {}
  void require_whole() const override { segment->file().require_whole(); }

  const std::shared_ptr<const VectorSegment> segment;
  Part part;
  std::vector<float> norms;
  std::vector<uint32_t> order;
};

// Checks every vector, and returns those that are damaged.
std::vector<uint32_t> damaged_vectors(const Part& part, bool may_be_lost) {
  std::vector<uint32_t> damaged;
  for (uint32_t row = 0; row < part.rows; ++row) {
    try {
      part.guard->check_vectors(row, 1);
    } catch (const CorruptionError&) {
      if (!may_be_lost) throw;
      damaged.push_back(row);
    }
  }
  return damaged;
}

}  // namespace

std::shared_ptr<const Part> bare_part(std::shared_ptr<const VectorSegment> segment, std::vector<uint32_t>* lost) {
  const SegmentFile& file = segment->file();
  for (const SectionName name : {kRids, kIds, kProvenance}) {
    if (const Section* section = file.find(name)) file.check_all(*section);
  }
  const Part& whole = segment->part();
  const std::vector<uint32_t> damaged = damaged_vectors(whole, lost != nullptr);
  if (lost != nullptr) *lost = damaged;

  auto bare = std::make_shared<Bare>(std::move(segment));
  Part& part = bare->part;
  part.rows = whole.rows;
  part.name = whole.name;
  part.guard = bare.get();
  part.vectors = whole.vectors;
  part.rids = whole.rids;
  part.ids = whole.ids;
  part.provenance = whole.provenance;
  bare->order.resize(part.rows);
  std::iota(bare->order.begin(), bare->order.end(), 0U);
  std::stable_sort(bare->order.begin(), bare->order.end(),
                   [&](uint32_t a, uint32_t b) { return part.rids[a] < part.rids[b]; });
  part.rid_order = bare->order.data();
  const VectorSpec& spec = file.header().spec;
  if (spec.metric == Metric::kCosine) {
    bare->norms.resize(part.rows);
    for (uint32_t row = 0; row < part.rows; ++row) {
      if (std::binary_search(damaged.begin(), damaged.end(), row)) continue;
      bare->norms[row] = inverse_norm(spec, part.vectors + row * spec.vector_bytes());
    }
    part.inverse_norms = bare->norms.data();
  }
  file.require_whole();
  return {bare, &part};
}

}  // namespace lamina
