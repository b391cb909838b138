#include "index/findable.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/thread_pool.h"
#include "index/find_near.h"
#include "index/neighbour_codes.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

constexpr uint64_t kProbesInTurn = 64;
constexpr uint32_t kFirst = 10;
constexpr int kRounds = 6;

// The vector of a row as a query.
class RowQuery {
 public:
  RowQuery(const VectorSpec& spec, const Part& part) : spec_(spec), rows_(spec, part), x_(spec.dim) {}

  const void* operator()(uint32_t row) {
    if (spec_.dtype == DType::kBits) return rows_.vector(row);
    load_vector(spec_, rows_.vector(row), x_.data());
    return x_.data();
  }

 private:
  const VectorSpec& spec_;
  const SealedRows rows_;
  std::vector<float> x_;
};

float distance_to_itself(const VectorSpec& spec, const Part& part, uint32_t row, const void* query) {
  const SealedRows rows(spec, part);
  ExactQuery exact;
  exact.prepare(spec, query);
  const std::byte* vectors[4] = {rows.vector(row), rows.vector(row), rows.vector(row), rows.vector(row)};
  const float inverse = rows.inverse_norm(row);
  const float inverses[4] = {inverse, inverse, inverse, inverse};
  float distances[4];
  exact.distances4(vectors, inverses, distances);
  return distances[0];
}

bool finds(const View& view, uint32_t row, const void* query) {
  const Part& part = *view.parts[0].part;
  Hit hits[kFirst];
  const size_t n = view.search(query, {.k = kFirst}, hits);
  for (size_t i = 0; i < n; ++i) {
    if (hits[i].rid == part.rids[row]) return true;
  }
  return n == kFirst && hits[n - 1].distance <= distance_to_itself(view.spec, part, row, query);
}

std::vector<uint32_t> marked(std::span<const uint32_t> rows, std::span<const uint8_t> marks) {
  std::vector<uint32_t> chosen;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (marks[i] != 0) chosen.push_back(rows[i]);
  }
  return chosen;
}

// Of `asked`, the rows that the narrowest walk does not meet. What it meets, a broader one meets too: it goes the same
// way first.
std::vector<uint32_t> not_met(const VectorSpec& spec, const Part& part, std::span<const uint32_t> asked, int threads) {
  std::vector<uint8_t> missed(asked.size());
  parallel_for(0, asked.size(), kProbesInTurn, static_cast<unsigned>(std::max(threads, 0)),
               [&](uint64_t begin, uint64_t end, unsigned) {
                 const SealedRows rows(spec, part);
                 RowQuery query(spec, part);
                 ExactQuery exact;
                 CodedQuery coded;
                 Walk walk;
                 for (uint64_t i = begin; i < end; ++i) {
                   exact.prepare(spec, query(asked[i]));
                   with_walk_scorer(spec, part, rows, exact, coded,
                                    [&](const auto& scorer) { find_near(part, scorer, kFirst, walk); });
                   size_t at = 0;
                   while (at < walk.pool.size() && walk.pool.row(at) != asked[i]) ++at;
                   missed[i] = at == walk.pool.size();
                 }
               });
  return marked(asked, missed);
}

// Of `asked`, the rows that are not found.
std::vector<uint32_t> not_found(const VectorSpec& spec, const Part& part, std::span<const uint32_t> asked,
                                int threads) {
  View view;
  view.spec = spec;
  view.parts.push_back({std::shared_ptr<const Part>(std::shared_ptr<const void>(), &part), Bitmap(part.rows)});
  view.live = part.rows;
  std::vector<uint8_t> lost(asked.size());
  parallel_for(0, asked.size(), kProbesInTurn, static_cast<unsigned>(std::max(threads, 0)),
               [&](uint64_t begin, uint64_t end, unsigned) {
                 RowQuery query(spec, part);
                 for (uint64_t i = begin; i < end; ++i) lost[i] = !finds(view, asked[i], query(asked[i]));
               });
  return marked(asked, lost);
}

std::vector<uint32_t> not_reached(const Part& part) {
  std::vector<bool> seen(part.rows);
  std::vector<uint32_t> todo = {part.graph.entry};
  seen[part.graph.entry] = true;
  for (const uint32_t row : part.graph.upper_rows) {
    if (!seen[row]) todo.push_back(row);
    seen[row] = true;
  }
  while (!todo.empty()) {
    const uint32_t* list = part.graph.level0 + size_t{todo.back()} * part.graph.degree;
    todo.pop_back();
    for (size_t slot = 0; slot < part.graph.degree && list[slot] != kNoRow; ++slot) {
      if (seen[list[slot]]) continue;
      seen[list[slot]] = true;
      todo.push_back(list[slot]);
    }
  }
  std::vector<uint32_t> rows;
  for (uint32_t row = 0; row < part.rows; ++row) {
    if (!seen[row]) rows.push_back(row);
  }
  return rows;
}

std::vector<uint32_t> in_degrees(const Part& part) {
  std::vector<uint32_t> links(part.rows);
  for (size_t i = 0; i < size_t{part.rows} * part.graph.degree; ++i) {
    if (part.graph.level0[i] != kNoRow) ++links[part.graph.level0[i]];
  }
  return links;
}

// Puts `to` into the list: into a free slot, or in the place of a row that others link to, which is told in `gone`.
bool put_link(std::span<uint32_t> list, uint32_t to, std::vector<uint32_t>& links, uint32_t* gone) {
  *gone = kNoRow;
  const auto free = std::find(list.begin(), list.end(), kNoRow);
  if (std::find(list.begin(), free, to) != free) return false;
  if (free != list.end()) {
    *free = to;
  } else {
    const auto spare = std::find_if(list.rbegin(), list.rend(), [&](uint32_t row) { return links[row] > 2; });
    if (spare == list.rend()) return false;
    *gone = *spare;
    --links[*spare];
    *spare = to;
  }
  ++links[to];
  return true;
}

}  // namespace

std::vector<uint32_t> lost_rows(const VectorSpec& spec, const Part& part, int threads) {
  if (part.graph.entry == kNoRow) return {};
  if (spec.metric == Metric::kIp) return not_reached(part);
  std::vector<uint32_t> all(part.rows);
  for (uint32_t row = 0; row < part.rows; ++row) all[row] = row;
  return not_found(spec, part, all, threads);
}

std::vector<uint32_t> suspects(const Part& part, std::span<const uint32_t> order, uint32_t first) {
  const std::vector<uint32_t> links = in_degrees(part);
  std::vector<uint32_t> rows;
  for (uint32_t row = 0; row < part.rows; ++row) {
    if (order[row] >= first || links[row] <= part.graph.degree / 2) rows.push_back(row);
  }
  return rows;
}

// The rows that a default walk for a lost row ends on are where it was looked for in vain: a link from one of them is a
// link that the next such walk follows.
size_t mend(const VectorSpec& spec, const Part& part, std::span<const uint32_t> asked, std::span<uint32_t> level0,
            int threads) {
  if (part.graph.entry == kNoRow) return 0;
  std::vector<uint32_t> lost = not_reached(part);
  if (spec.metric != Metric::kIp) {
    // A narrow walk says nothing about walks by neighbour codes.
    const bool by_neighbours = part.neighbour_codes != nullptr;
    const std::vector<uint32_t> more = by_neighbours
                                           ? not_found(spec, part, asked, threads)
                                           : not_found(spec, part, not_met(spec, part, asked, threads), threads);
    lost.insert(lost.end(), more.begin(), more.end());
    std::sort(lost.begin(), lost.end());
    lost.erase(std::unique(lost.begin(), lost.end()), lost.end());
  }
  if (lost.empty()) return 0;
  const size_t breadth = part.calibration.ef_for(SearchOptions{}.recall, kFirst);
  std::vector<uint32_t> links = in_degrees(part);
  const SealedRows rows(spec, part);
  RowQuery query(spec, part);
  ExactQuery exact;
  CodedQuery coded;
  Walk walk;
  for (int round = 0; round < kRounds && !lost.empty(); ++round) {
    std::vector<uint32_t> changed = lost;
    for (const uint32_t row : lost) {
      exact.prepare(spec, query(row));
      with_walk_scorer(spec, part, rows, exact, coded,
                       [&](const auto& scorer) { find_near(part, scorer, breadth, walk); });
      bool linked = false;
      for (size_t i = 0; i < walk.pool.size() && !linked; ++i) {
        const size_t from = walk.pool.row(i);
        if (from == row) continue;
        uint32_t gone;
        linked = put_link(level0.subspan(from * part.graph.degree, part.graph.degree), row, links, &gone);
        if (gone != kNoRow) changed.push_back(gone);
        if (linked && part.neighbour_codes != nullptr) encode_again(spec, part, static_cast<uint32_t>(from));
      }
    }
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    lost = spec.metric == Metric::kIp ? not_reached(part) : not_found(spec, part, changed, threads);
  }
  return lost.size();
}

}  // namespace lamina
