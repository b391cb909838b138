#include "index/anchors.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/thread_pool.h"
#include "index/find_near.h"

namespace lamina {
namespace {

constexpr uint64_t kAnchoredInTurn = 16;
constexpr size_t kBreadth = 32;  // of the walks that look for anchors
constexpr size_t kMostGathered = 96;

// What a thread needs to look for them.
struct Search {
  std::vector<float> x;
  ExactQuery exact;
  CodedQuery coded;
  Walk walk;
};

void find_anchors(const HeadGraph& graph, uint32_t row, const Part& part, Search& mine) {
  const VectorSpec& spec = graph.spec();
  const std::byte* vector = graph.stored().vector(row);
  if (spec.dtype == DType::kBits) {
    mine.exact.prepare(spec, vector);
  } else {
    mine.x.resize(spec.dim);
    load_vector(spec, vector, mine.x.data());
    mine.exact.prepare(spec, mine.x.data());
  }
  const SealedRows rows(spec, part);
  with_walk_scorer(spec, part, rows, mine.exact, mine.coded,
                   [&](const auto& scorer) { find_near(part, scorer, kBreadth, mine.walk); });
}

}  // namespace

Anchors::Anchors(const std::shared_ptr<const Part>& part)
    : part_(part->original ? part->original : part), newest_(part->rows), older_(kAnchors * sizeof(uint32_t)) {}

bool Anchors::are_in(const std::shared_ptr<const Part>& part) const {
  const std::shared_ptr<const Part>& held = part->original ? part->original : part;
  return !part_.owner_before(held) && !held.owner_before(part_);
}

void Anchors::hang(const HeadGraph& graph, const Part& part, int threads) {
  const uint32_t end = std::min(graph.linked(), std::numeric_limits<uint32_t>::max() / kAnchors);
  if (hung_ >= end) return;
  if (part.guard != nullptr) part.guard->check_index();
  older_.reserve(end);
  const auto workers = threads <= 0 ? hardware_threads() : static_cast<unsigned>(threads);
  std::vector<Search> searches(workers);
  parallel_for(hung_, end, kAnchoredInTurn, workers, [&](uint64_t begin, uint64_t stop, unsigned worker) {
    for (uint64_t r = begin; r < stop; ++r) {
      const auto row = static_cast<uint32_t>(r);
      if (graph.is_twin(row)) continue;  // its double leads to it
      find_anchors(graph, row, part, searches[worker]);
      hang_row(row, searches[worker].walk.pool);
    }
  });
  hung_ = end;
}

void Anchors::hang_row(uint32_t row, const Pool& nearest) {
  auto* const older = reinterpret_cast<uint32_t*>(older_.row(row));
  for (uint32_t i = 0; i < std::min<size_t>(kAnchors, nearest.size()); ++i) {
    std::atomic<uint32_t>& newest = newest_[nearest.row(i)];
    older[i] = newest.load(std::memory_order_relaxed);
    while (!newest.compare_exchange_weak(older[i], row * kAnchors + i + 1, std::memory_order_release,
                                         std::memory_order_relaxed)) {
    }
  }
}

// Link by link of all rows at once, and not row by row: so that what each is in is asked for before it is needed.
void Anchors::gather(const Pool& nearest, std::vector<uint32_t>& rows) const {
  for (size_t i = 0; i < nearest.size(); ++i) prefetch(&newest_[nearest.row(i)], sizeof(uint32_t));
  std::array<uint32_t, kMostGathered> links;
  size_t n = 0;
  const auto follow = [&](uint32_t link) {
    if (link == 0 || n == links.size()) return;
    prefetch(older_.row((link - 1) / kAnchors), kAnchors * sizeof(uint32_t));
    links[n++] = link;
  };
  for (size_t i = 0; i < nearest.size(); ++i) follow(newest_[nearest.row(i)].load(std::memory_order_acquire));
  for (size_t i = 0; i < n; ++i) {
    const uint32_t row = (links[i] - 1) / kAnchors;
    rows.push_back(row);
    follow(reinterpret_cast<const uint32_t*>(older_.row(row))[(links[i] - 1) % kAnchors]);
  }
}

}  // namespace lamina
