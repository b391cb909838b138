// How parts become one: the graph of the largest is carried over, and the rows of the others are joined to it.
#include <algorithm>
#include <numeric>
#include <vector>

#include "index/builder.h"
#include "index/calibration.h"
#include "index/carry.h"
#include "index/findable.h"
#include "index/freeze.h"
#include "index/head.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

// Live rows of one part, and where they go.
struct Source {
  const Part* part;
  std::vector<uint32_t> rows;
  std::vector<uint32_t> names;  // row of the part -> row of what is merged; kNoRow: dead
};

std::vector<uint32_t> live_rows(const Live& live) {
  std::vector<uint32_t> rows;
  rows.reserve(live.count());
  for (uint32_t row = 0; row < live.rows; ++row) {
    if (live(row)) rows.push_back(row);
  }
  return rows;
}

// The part whose graph is worth most; parts.size() if it is better to begin anew.
size_t largest(const View& view) {
  size_t best = view.parts.size();
  uint64_t most = view.head ? Live(view.head_deleted, view.head_rows).count() : 0;
  for (size_t i = 0; i < view.parts.size(); ++i) {
    const Part& part = *view.parts[i].part;
    const uint64_t live = Live(view.parts[i].deleted, part.rows).count();
    if (part.graph.entry == kNoRow || live * 2 < part.rows || live <= most) continue;
    best = i;
    most = live;
  }
  return best;
}

class Merging {
 public:
  Merging(const View& view, size_t base, int threads)
      : view_(view), threads_(threads), rows_(std::make_shared<HeadRows>(view.spec)) {
    take_part(base);
    for (size_t i = 0; i < view.parts.size(); ++i) {
      if (i != base) take_part(i);
    }
    if (view.head) {
      rows_->append_copies(view.head->rows(), live_rows(Live(view.head_deleted, view.head_rows)), threads);
    }
  }

  std::shared_ptr<const Part> run() {
    const VectorSpec& spec = view_.spec;
    const Part& base = *sources_[0].part;
    const auto [graph, bereaved] = carry_graph(spec, base, sources_[0].rows, rows_, params(), threads_);
    const uint32_t carried = graph->linked();
    join(*graph);
    const bool was_refined = !base.calibration.points.empty();  // else it is as its head was
    refine_rows(*graph, was_refined ? bereaved : walk_order(*graph), threads_);
    const std::vector<uint32_t> order = walk_order(*graph);
    const Frozen frozen = freeze(spec, *rows_, graph.get(), order, threads_);
    recalibrate(spec, *frozen.part, base, threads_);
    mend(spec, *frozen.part, suspects(*frozen.part, order, carried), frozen.level0, threads_);
    view_.require_whole();
    return frozen.part;
  }

 private:
  void take_part(size_t i) {
    const Part& part = *view_.parts[i].part;
    if (part.guard != nullptr) part.guard->check_index();
    Source source{&part, live_rows(Live(view_.parts[i].deleted, part.rows)), {}};
    source.names.assign(part.rows, kNoRow);
    uint32_t name = rows_->size();
    for (const uint32_t row : source.rows) source.names[row] = name++;
    rows_->append_copies(SealedRows(view_.spec, part), source.rows, threads_);
    sources_.push_back(std::move(source));
  }

  // The codes of the largest part stay as they are while they fit all rows.
  I8Params params() const {
    if (!has_i8(view_.spec)) return {};
    const I8Params& held = sources_[0].part->i8;
    const bool fit = codes_fit(view_.spec, held, *rows_, rows_->size());
    return fit ? held : train_codes(view_.spec, *rows_, rows_->size());
  }

  void join(HeadGraph& graph) const {
    graph.encode(rows_->size(), threads_);
    std::vector<uint32_t> order(graph.rows() - graph.linked());
    std::iota(order.begin(), order.end(), graph.linked());
    join_rows(graph, order, threads_, [&](uint32_t row) { return neighbours(row); });
  }

  // What a row's own part linked it to.
  std::vector<uint32_t> neighbours(uint32_t row) const {
    std::vector<uint32_t> near;
    uint32_t first = static_cast<uint32_t>(sources_[0].rows.size());
    for (size_t i = 1; i < sources_.size(); first += static_cast<uint32_t>(sources_[i++].rows.size())) {
      const Source& source = sources_[i];
      if (row - first >= source.rows.size()) continue;
      const GraphView& graph = source.part->graph;
      if (graph.entry == kNoRow) break;
      const uint32_t* list = graph.level0 + size_t{source.rows[row - first]} * graph.degree;
      for (size_t slot = 0; slot < graph.degree && list[slot] != kNoRow; ++slot) {
        if (list[slot] < source.names.size() && source.names[list[slot]] != kNoRow) {
          near.push_back(source.names[list[slot]]);
        }
      }
      break;
    }
    return near;
  }

  const View& view_;
  const int threads_;
  const std::shared_ptr<HeadRows> rows_;
  std::vector<Source> sources_;  // the largest first
};

}  // namespace

std::shared_ptr<const Part> VectorSet::merge(const View& view, int threads) {
  const size_t base = largest(view);
  if (base == view.parts.size()) return rebuild(view, threads);
  return Merging(view, base, threads).run();
}

}  // namespace lamina
