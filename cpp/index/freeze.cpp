#include "index/freeze.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"

namespace lamina {
namespace {

constexpr uint64_t kNodesInTurn = 1024;

struct Columns {
  AlignedBuffer vectors;
  std::vector<float> inverse_norms;
  std::vector<uint64_t> rids;
  std::vector<uint32_t> rid_order;
  std::vector<int64_t> ids;
  std::vector<Provenance> provenance;
  AlignedBuffer codes;
  AlignedBuffer level0;
  std::vector<uint32_t> upper;
  std::vector<uint32_t> upper_counts;
  std::vector<uint32_t> upper_rows;
  Part part;
};

template <class T>
T* data_or_null(std::vector<T>& column) {
  return column.empty() ? nullptr : column.data();
}

template <class Fn>
void for_rows(size_t n, int threads, Fn&& fn) {
  parallel_for(0, n, kNodesInTurn, static_cast<unsigned>(std::max(threads, 0)),
               [&](uint64_t begin, uint64_t end, unsigned) {
                 for (uint64_t i = begin; i < end; ++i) fn(i);
               });
}

void freeze_columns(const VectorSpec& spec, const HeadRows& rows, std::span<const uint32_t> order, int threads,
                    Columns& columns) {
  const size_t n = order.size();
  const size_t vector_bytes = spec.vector_bytes();
  columns.vectors = AlignedBuffer(n * vector_bytes, AlignedBuffer::Pages::kHuge);
  columns.inverse_norms.resize(spec.metric == Metric::kCosine ? n : 0);
  columns.rids.resize(n);
  columns.rid_order.resize(n);
  columns.ids.resize(rows.has_ids() ? n : 0);
  columns.provenance.resize(n);
  for_rows(n, threads, [&](size_t i) {
    const uint32_t row = order[i];
    std::memcpy(columns.vectors.data() + i * vector_bytes, rows.vector(row), vector_bytes);
    if (!columns.inverse_norms.empty()) columns.inverse_norms[i] = rows.inverse_norm(row);
    columns.rids[i] = rows.rid(row);
    if (!columns.ids.empty()) columns.ids[i] = rows.id(row);
    columns.provenance[i] = rows.provenance(row);
  });
  std::iota(columns.rid_order.begin(), columns.rid_order.end(), 0U);
  std::sort(columns.rid_order.begin(), columns.rid_order.end(), [&](uint32_t a, uint32_t b) {
    return columns.rids[a] != columns.rids[b] ? columns.rids[a] < columns.rids[b] : a < b;
  });
  columns.part.rows = static_cast<uint32_t>(n);
  columns.part.vectors = columns.vectors.data();
  columns.part.inverse_norms = data_or_null(columns.inverse_norms);
  columns.part.rids = columns.rids.data();
  columns.part.rid_order = columns.rid_order.data();
  columns.part.ids = data_or_null(columns.ids);
  columns.part.provenance = columns.provenance.data();
}

void freeze_codes(const HeadGraph& graph, std::span<const uint32_t> order, int threads, Columns& columns) {
  const size_t stride = i8_stride(graph.spec());
  columns.codes = AlignedBuffer(order.size() * stride, AlignedBuffer::Pages::kHuge);
  for_rows(order.size(), threads,
           [&](size_t i) { std::memcpy(columns.codes.data() + i * stride, graph.code(order[i]), stride); });
  columns.part.codes = reinterpret_cast<const int8_t*>(columns.codes.data());
  columns.part.code_stride = stride;
  columns.part.i8 = graph.params();
}

// Copies a list, its rows renamed; one that has no new name is left out.
void rename_list(const HeadGraph& graph, uint32_t row, uint32_t level, std::span<const uint32_t> names, uint32_t* out) {
  const uint32_t* list = graph.list(row, level);
  size_t n = 0;
  for (size_t slot = 0; slot < graph.degree(level); ++slot) {
    const uint32_t to = HeadGraph::load(list + slot);
    if (to < names.size() && names[to] != kNoRow) out[n++] = names[to];
  }
  std::fill(out + n, out + graph.degree(level), kNoRow);
}

// Upper rows by falling level, and within one by new name; the entry comes first.
std::vector<uint32_t> upper_order(const HeadGraph& graph, std::span<const uint32_t> order) {
  std::vector<uint32_t> upper;
  for (const uint32_t row : order) {
    if (graph.level_of(row) > 0) upper.push_back(row);
  }
  std::stable_sort(upper.begin(), upper.end(),
                   [&](uint32_t a, uint32_t b) { return graph.level_of(a) > graph.level_of(b); });
  const auto entry = std::find(upper.begin(), upper.end(), graph.entry().row);
  if (entry != upper.end()) std::rotate(upper.begin(), entry, entry + 1);
  return upper;
}

void freeze_upper(const HeadGraph& graph, std::span<const uint32_t> order, std::span<const uint32_t> names,
                  Columns& columns) {
  const std::vector<uint32_t> upper = upper_order(graph, order);
  std::vector<uint32_t> compact(names.size(), kNoRow);
  for (uint32_t i = 0; i < upper.size(); ++i) {
    compact[upper[i]] = i;
    columns.upper_rows.push_back(names[upper[i]]);
  }
  const uint32_t levels = upper.empty() ? 0 : graph.level_of(upper[0]);
  for (uint32_t level = 1; level <= levels; ++level) {
    uint32_t count = 0;
    while (count < upper.size() && graph.level_of(upper[count]) >= level) ++count;
    const size_t at = columns.upper.size();
    columns.upper.resize(at + size_t{count} * graph.degree(level));
    for (size_t i = 0; i < count; ++i) {
      rename_list(graph, upper[i], level, compact, columns.upper.data() + at + i * graph.degree(level));
    }
    columns.upper_counts.push_back(count);
  }
}

void freeze_graph(const HeadGraph& graph, std::span<const uint32_t> order, int threads, Columns& columns) {
  std::vector<uint32_t> names(graph.rows(), kNoRow);
  for (uint32_t i = 0; i < order.size(); ++i) names[order[i]] = i;
  columns.level0 = AlignedBuffer(order.size() * graph.degree(0) * sizeof(uint32_t), AlignedBuffer::Pages::kHuge);
  auto* const links = reinterpret_cast<uint32_t*>(columns.level0.data());
  for_rows(order.size(), threads,
           [&](size_t i) { rename_list(graph, order[i], 0, names, links + i * graph.degree(0)); });
  freeze_upper(graph, order, names, columns);
  GraphView& view = columns.part.graph;
  view.degree = graph.degree(0);
  view.level0 = links;
  view.upper_degree = graph.degree(1);
  view.upper_counts = columns.upper_counts;
  view.upper = data_or_null(columns.upper);
  view.upper_rows = columns.upper_rows;
  view.entry = columns.upper_rows.empty() ? 0 : columns.upper_rows[0];
}

}  // namespace

Frozen freeze(const VectorSpec& spec, const HeadRows& rows, const HeadGraph* graph, std::span<const uint32_t> order,
              int threads) {
  const auto columns = std::make_shared<Columns>();
  freeze_columns(spec, rows, order, threads, *columns);
  if (graph != nullptr && !order.empty()) {
    if (has_i8(spec)) freeze_codes(*graph, order, threads, *columns);
    freeze_graph(*graph, order, threads, *columns);
  }
  auto part = std::make_shared<Part>(columns->part);
  part->owner = columns;
  part->name = "memory";
  auto* const links = reinterpret_cast<uint32_t*>(columns->level0.data());
  return {std::move(part), {links, columns->level0.size() / sizeof(uint32_t)}};
}

}  // namespace lamina
