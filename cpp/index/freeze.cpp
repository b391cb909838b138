#include "index/freeze.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"

namespace lamina {
namespace {

constexpr uint64_t kGrain = 1024;

struct Columns {
  AlignedBuffer vectors;
  std::vector<float> inverse_norms;
  std::vector<uint64_t> rids;
  std::vector<uint32_t> rid_order;
  std::vector<int64_t> ids;
  std::vector<Provenance> provenance;
};

}  // namespace

std::shared_ptr<Part> freeze_columns(const VectorSpec& spec, const HeadRows& rows, std::span<const uint32_t> order,
                                     int threads) {
  const auto columns = std::make_shared<Columns>();
  const size_t n = order.size();
  const size_t vector_bytes = spec.vector_bytes();
  columns->vectors = AlignedBuffer(n * vector_bytes);
  columns->inverse_norms.resize(spec.metric == Metric::kCosine ? n : 0);
  columns->rids.resize(n);
  columns->rid_order.resize(n);
  columns->ids.resize(rows.has_ids() ? n : 0);
  columns->provenance.resize(n);
  parallel_for(0, n, kGrain, static_cast<unsigned>(std::max(threads, 0)), [&](uint64_t begin, uint64_t end, unsigned) {
    for (uint64_t i = begin; i < end; ++i) {
      const uint32_t row = order[i];
      std::memcpy(columns->vectors.data() + i * vector_bytes, rows.vector(row), vector_bytes);
      if (!columns->inverse_norms.empty()) columns->inverse_norms[i] = rows.inverse_norm(row);
      columns->rids[i] = rows.rid(row);
      if (!columns->ids.empty()) columns->ids[i] = rows.id(row);
      columns->provenance[i] = rows.provenance(row);
    }
  });
  std::iota(columns->rid_order.begin(), columns->rid_order.end(), 0U);
  std::sort(columns->rid_order.begin(), columns->rid_order.end(), [&](uint32_t a, uint32_t b) {
    return columns->rids[a] != columns->rids[b] ? columns->rids[a] < columns->rids[b] : a < b;
  });

  auto part = std::make_shared<Part>();
  part->rows = static_cast<uint32_t>(n);
  part->vectors = columns->vectors.data();
  part->inverse_norms = columns->inverse_norms.empty() ? nullptr : columns->inverse_norms.data();
  part->rids = columns->rids.data();
  part->rid_order = columns->rid_order.data();
  part->ids = columns->ids.empty() ? nullptr : columns->ids.data();
  part->provenance = columns->provenance.data();
  part->owner = columns;
  part->name = "memory";
  return part;
}

std::shared_ptr<const Part> freeze(const Head& head, uint32_t rows, int threads) {
  std::vector<uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0U);
  return freeze_columns(head.spec(), head.rows(), order, threads);
}

}  // namespace lamina
