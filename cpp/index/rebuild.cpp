#include <numeric>
#include <vector>

#include "index/builder.h"
#include "index/calibration.h"
#include "index/findable.h"
#include "index/freeze.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

// Whether the view is one head with a graph and no dead row.
bool is_all_head(const View& view) {
  return view.parts.empty() && view.head && view.head->graph() != nullptr && view.head_deleted.count() == 0;
}

// The live rows of a view, copied together.
std::shared_ptr<HeadRows> gather(const View& view, int threads) {
  auto gathered = std::make_shared<HeadRows>(view.spec);
  const auto take = [&](const auto& rows, const Live& live) {
    std::vector<uint32_t> chosen;
    chosen.reserve(live.count());
    for (uint32_t row = 0; row < live.rows; ++row) {
      if (live(row)) chosen.push_back(row);
    }
    gathered->append_copies(rows, chosen, threads);
  };
  for (const View::SealedPart& sealed : view.parts) {
    if (sealed.part->guard != nullptr) sealed.part->guard->check_index();
    take(SealedRows(view.spec, *sealed.part), Live(sealed.deleted, sealed.part->rows));
  }
  if (view.head) take(view.head->rows(), Live(view.head_deleted, view.head_rows));
  view.require_whole();
  return gathered;
}

// The graph of these rows: the head's own where it holds nothing else, which saves building it again.
std::shared_ptr<HeadGraph> graph_of(const View& view, const std::shared_ptr<const HeadRows>& rows, int threads) {
  if (is_all_head(view)) return HeadGraph::copy_of(*view.head->graph(), view.head_rows, threads);
  const auto count = static_cast<uint32_t>(view.live);
  const I8Params params = has_i8(view.spec) ? train_codes(view.spec, *rows, count) : I8Params{};
  auto graph = std::make_shared<HeadGraph>(view.spec, rows, params);
  graph->encode(count, threads);
  link_rows(*graph, threads);
  return graph;
}

}  // namespace

std::shared_ptr<const Part> VectorSet::rebuild(const View& view, int threads, RowOrder row_order) {
  const VectorSpec& spec = view.spec;
  const std::shared_ptr<const HeadRows> rows = is_all_head(view) ? view.head->shared_rows() : gather(view, threads);
  std::vector<uint32_t> order(view.live);
  std::iota(order.begin(), order.end(), 0U);
  if (view.live < kFlatRows) return freeze(spec, *rows, nullptr, order, threads).part;
  const std::shared_ptr<HeadGraph> graph = graph_of(view, rows, threads);
  refine_rows(*graph, walk_order(*graph), threads);
  if (row_order == RowOrder::kByNearness) order = walk_order(*graph);
  const Frozen frozen = freeze(spec, *rows, graph.get(), order, threads);
  calibrate(spec, *frozen.part, threads);
  mend(spec, *frozen.part, suspects(*frozen.part, order, 0), frozen.level0, threads);
  return frozen.part;
}

}  // namespace lamina
