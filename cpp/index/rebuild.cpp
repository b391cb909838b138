#include <numeric>
#include <vector>

#include "index/builder.h"
#include "index/freeze.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

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
  return gathered;
}

}  // namespace

std::shared_ptr<const Part> VectorSet::rebuild(const View& view, int threads) {
  const std::shared_ptr<HeadRows> rows = gather(view, threads);
  std::vector<uint32_t> order(rows->size());
  std::iota(order.begin(), order.end(), 0U);
  const uint32_t count = rows->size();
  if (count < kFlatRows) return freeze(view.spec, *rows, nullptr, order, threads);
  const I8Params params = has_i8(view.spec) ? train_codes(view.spec, *rows, count) : I8Params{};
  HeadGraph graph(view.spec, rows, params);
  graph.encode(count, threads);
  link_rows(graph, threads);
  refine_rows(graph, threads);
  return freeze(view.spec, *rows, &graph, order, threads);
}

}  // namespace lamina
