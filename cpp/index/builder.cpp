#include "index/builder.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "base/thread_pool.h"
#include "index/linker.h"

namespace lamina {
namespace {

constexpr uint64_t kRowsInTurn = 16;
constexpr uint64_t kNeighboursInTurn = 256;  // apart from those of another thread
constexpr uint32_t kRefineBreadth = 64;
constexpr uint32_t kExpanded = 40;      // of them: what lies behind the others is seldom chosen
constexpr uint32_t kJoinExpanded = 64;  // the same of a joining row's
constexpr uint32_t kShuffled = 1000;    // a batch of at least so many rows goes in shuffled
constexpr size_t kSampleRows = 1000;
constexpr size_t kSampleComponents = 400'000;
constexpr size_t kFewComponents = 50'000;  // tell whether a code fits, which has room on both sides

unsigned worker_count(int threads) { return threads <= 0 ? hardware_threads() : static_cast<unsigned>(threads); }

// The slack that the last choice of neighbours has.
float slack(const VectorSpec& spec) { return spec.metric == Metric::kIp ? 1.0F : 1.1F; }

// Calls work(linker, i) for all i below `count`.
template <class L, class Work>
void share_as(HeadGraph& graph, size_t count, uint64_t in_turn, bool settled, int threads, Work&& work) {
  const unsigned workers = worker_count(threads);
  std::vector<std::unique_ptr<L>> linkers(workers);
  for (auto& linker : linkers) linker = std::make_unique<L>(graph, settled);
  parallel_for(0, count, in_turn, workers, [&](uint64_t begin, uint64_t end, unsigned worker) {
    for (uint64_t i = begin; i < end; ++i) work(*linkers[worker], i);
  });
}

template <class Work>
void share(HeadGraph& graph, size_t count, uint64_t in_turn, bool settled, int threads, Work&& work) {
  if (has_i8(graph.spec())) {
    share_as<I8Linker>(graph, count, in_turn, settled, threads, work);
  } else {
    share_as<StoredLinker>(graph, count, in_turn, settled, threads, work);
  }
}

std::vector<uint32_t> shuffled(uint32_t begin, uint32_t end, uint64_t seed) {
  std::vector<uint32_t> order(end - begin);
  std::iota(order.begin(), order.end(), begin);
  Random random(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.uniform(i)]);
  return order;
}

// Components of about `most / dim` of these rows.
std::vector<float> sample_of(const VectorSpec& spec, const HeadRows& rows, uint32_t count, size_t most) {
  const size_t wanted = std::clamp<size_t>(most / spec.dim, 16, kSampleRows);
  Random random(spec.seed);
  std::vector<float> sample;
  std::vector<float> x(spec.dim);
  for (size_t i = 0; i < std::min<size_t>(wanted, count); ++i) {
    const auto row = static_cast<uint32_t>(count <= wanted ? i : random.uniform(count));
    load_vector(spec, rows.vector(row), x.data());
    const float factor = spec.metric == Metric::kCosine ? rows.inverse_norm(row) : 1;
    for (const float component : x) sample.push_back(component * factor);
  }
  return sample;
}

}  // namespace

I8Params train_codes(const VectorSpec& spec, const HeadRows& rows, uint32_t count) {
  std::vector<float> sample = sample_of(spec, rows, count, kSampleComponents);
  return train_i8(spec, sample);
}

bool codes_fit(const VectorSpec& spec, const I8Params& params, const HeadRows& rows, uint32_t count) {
  std::vector<float> sample = sample_of(spec, rows, count, kFewComponents);
  return still_fits(params, train_i8(spec, sample));
}

void link_rows(HeadGraph& graph, int threads) {
  const uint32_t begin = graph.linked();
  const uint32_t end = graph.rows();
  std::vector<uint32_t> order(end - begin);
  std::iota(order.begin(), order.end(), begin);
  if (order.size() >= kShuffled) order = shuffled(begin, end, graph.spec().seed + begin);
  share(graph, order.size(), kRowsInTurn, false, threads, [&](auto& linker, size_t i) { linker.insert(order[i]); });
  graph.set_linked(end);
}

void refine_rows(HeadGraph& graph, std::span<const uint32_t> rows, int threads) {
  const float alpha = slack(graph.spec());
  // By inner product a narrower look, and weighing what comes against a settled list only, cost recall.
  const bool is_ip = graph.spec().metric == Metric::kIp;
  const uint32_t expanded = is_ip ? kRefineBreadth : kExpanded;
  share(graph, rows.size(), kNeighboursInTurn, !is_ip, threads, [&](auto& linker, size_t i) {
    linker.refine(rows[i], {kRefineBreadth, expanded, 0}, alpha);
  });
}

void reconsider_rows(HeadGraph& graph, uint32_t level, std::span<const uint32_t> rows, int threads,
                     const std::function<std::vector<uint32_t>(size_t)>& others) {
  const float alpha = level == 0 ? slack(graph.spec()) : 1.0F;
  share(graph, rows.size(), kRowsInTurn, true, threads,
        [&](auto& linker, size_t i) { linker.reconsider(rows[i], level, others(i), alpha); });
}

void join_rows(HeadGraph& graph, std::span<const uint32_t> order, int threads,
               const std::function<std::vector<uint32_t>(uint32_t)>& nearby) {
  const float alpha = slack(graph.spec());
  // As broad as a first look, though nobody looks again: what a joining row finds serves the rows around it too, which
  // then need not all be refined.
  const uint32_t breadth = std::max(kRefineBreadth, (graph.spec().ef_construction + 1) / 2);
  const Breadth ef(breadth, graph.spec().metric == Metric::kIp ? breadth : kJoinExpanded, 0);
  const uint32_t carried = graph.linked();
  const auto is_linked = [&](uint32_t row) {
    return row < carried || HeadGraph::load(graph.list(row, 0)) != kNoRow;  // it has its links before others have it
  };
  share(graph, order.size(), kRowsInTurn, true, threads, [&](auto& linker, size_t i) {
    std::vector<uint32_t> near = nearby(order[i]);
    std::erase_if(near, [&](uint32_t row) { return !is_linked(row) || graph.is_twin(row); });
    linker.join(order[i], near, ef, alpha);
  });
  graph.set_linked(graph.rows());
}

std::vector<uint32_t> walk_order(const HeadGraph& graph) {
  const uint32_t rows = graph.linked();
  std::vector<bool> seen(rows);
  std::vector<uint32_t> order;
  order.reserve(rows);
  const auto meet = [&](uint32_t row) {
    if (row >= rows || seen[row]) return;
    seen[row] = true;
    order.push_back(row);
  };
  meet(graph.entry().row);
  for (uint32_t unmet = 0, done = 0; unmet < rows; meet(unmet++)) {
    for (; done < order.size(); ++done) {
      const uint32_t* list = graph.list(order[done], 0);
      for (size_t slot = 0; slot < graph.degree(0); ++slot) meet(HeadGraph::load(list + slot));
    }
  }
  return order;
}

}  // namespace lamina
