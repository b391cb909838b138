#include "index/carry.h"

#include <algorithm>
#include <vector>

#include "index/builder.h"
#include "index/find_near.h"

namespace lamina {
namespace {

constexpr size_t kMostCrossed = 64;  // dead rows that are gone through to live ones behind them
constexpr double kMostLost = 0.4;    // of a row's links, for a walk to find its way all the same

// A row is to be refined where one of its first links, which lead to the nearest rows, or more than such a share of all
// is lost: refining every row that lost one took half of a merge, and joining broadly makes up for the others better.
constexpr size_t kFirstLinks = 2;
constexpr double kManyLost = 0.25;

// A part's links, checked.
class Links {
 public:
  explicit Links(const Part& part) : part_(part), graph_(part.graph) {
    if (graph_.entry >= part.rows) refuse_link(part, graph_.entry, part.rows);
  }

  // Calls fn(row) for the links of an upper row (compact number) or, on level 0, of a row.
  template <class Fn>
  void for_each(uint32_t level, uint32_t node, Fn&& fn) const {
    const uint32_t limit = level == 0 ? part_.rows : graph_.upper_counts[level - 1];
    const size_t slots = level == 0 ? graph_.degree : graph_.upper_degree;
    const uint32_t* list = list_of(level, node);
    for (size_t slot = 0; slot < slots && list[slot] != kNoRow; ++slot) {
      if (list[slot] >= limit) refuse_link(part_, list[slot], limit);
      fn(list[slot]);
    }
  }

  uint32_t first(uint32_t row) const {
    const uint32_t to = *list_of(0, row);
    if (to >= part_.rows && to != kNoRow) refuse_link(part_, to, part_.rows);
    return to;
  }
  bool has_one_at_most(uint32_t row) const { return graph_.degree < 2 || list_of(0, row)[1] == kNoRow; }

  uint32_t row(uint32_t level, uint32_t node) const {
    const uint32_t row = level == 0 ? node : graph_.upper_rows[node];
    if (row >= part_.rows) refuse_link(part_, row, part_.rows);
    return row;
  }

 private:
  const uint32_t* list_of(uint32_t level, uint32_t node) const {
    if (level == 0) return graph_.level0 + size_t{node} * graph_.degree;
    size_t before = 0;
    for (uint32_t l = 1; l < level; ++l) before += graph_.upper_counts[l - 1];
    return graph_.upper + (before + node) * graph_.upper_degree;
  }

  const Part& part_;
  const GraphView& graph_;
};

bool same(const VectorSpec& spec, const Part& part, uint32_t a, uint32_t b) {
  if (part.codes != nullptr) {
    return std::memcmp(part.codes + a * part.code_stride, part.codes + b * part.code_stride, part.code_stride) == 0;
  }
  const size_t bytes = spec.vector_bytes();
  return std::memcmp(part.vectors + a * bytes, part.vectors + b * bytes, bytes) == 0;
}

class Carrying {
 public:
  Carrying(const VectorSpec& spec, const Part& part, std::span<const uint32_t> kept)
      : spec_(spec), part_(part), links_(part), kept_(kept), names_(part.rows, kNoRow), hangs_(part.rows, false) {
    for (uint32_t i = 0; i < kept.size(); ++i) names_[kept[i]] = i;
    find_chains();
    promote();
  }

  std::vector<uint32_t> levels() const {
    std::vector<uint32_t> levels(kept_.size(), 0);
    for (uint32_t level = 1; level <= part_.graph.upper_counts.size(); ++level) {
      for (uint32_t node = 0; node < part_.graph.upper_counts[level - 1]; ++node) {
        const uint32_t name = names_[links_.row(level, node)];
        if (name != kNoRow) levels[name] = level;
      }
    }
    return levels;
  }

  void copy_into(HeadGraph& graph) const {
    for (uint32_t row = 0; row < part_.rows; ++row) {
      if (hangs_[row]) continue;
      if (names_[row] != kNoRow) copy_list(graph, 0, row);
    }
    for (const Chain& chain : chains_) copy_chain(graph, chain);
    for (uint32_t level = 1; level <= part_.graph.upper_counts.size(); ++level) {
      for (uint32_t node = 0; node < part_.graph.upper_counts[level - 1]; ++node) {
        if (names_[links_.row(level, node)] != kNoRow) copy_list(graph, level, node);
      }
    }
    graph.set_entry(entry(graph));
    graph.set_linked(static_cast<uint32_t>(kept_.size()));
  }

  // Rows more than `share` of whose links on this level, or any of whose `first` ones, led to dead rows; by compact
  // number.
  std::vector<uint32_t> bereaved(uint32_t level, double share, size_t first) const {
    std::vector<uint32_t> nodes;
    const uint32_t count = level == 0 ? part_.rows : part_.graph.upper_counts[level - 1];
    for (uint32_t node = 0; node < count; ++node) {
      const uint32_t row = links_.row(level, node);
      if (names_[row] == kNoRow || hangs_[row]) continue;
      size_t all = 0;
      size_t lost = 0;
      size_t lost_first = 0;
      links_.for_each(level, node, [&](uint32_t to) {
        const bool is_dead = names_[links_.row(level, to)] == kNoRow;
        lost += is_dead;
        lost_first += is_dead && all < first;
        ++all;
      });
      if (lost_first > 0 || static_cast<double>(lost) > share * static_cast<double>(all)) nodes.push_back(node);
    }
    return nodes;
  }

  uint32_t name(uint32_t level, uint32_t node) const { return names_[links_.row(level, node)]; }

  // The live rows behind a row's dead neighbours, by name: breadth first through dead ones.
  std::vector<uint32_t> heirs(uint32_t level, uint32_t node) const {
    std::vector<uint32_t> crossed;
    std::vector<uint32_t> found;
    const auto meet = [&](uint32_t to) {
      const uint32_t row = links_.row(level, to);
      if (hangs_[row]) return;
      if (names_[row] == kNoRow) {
        if (crossed.size() < kMostCrossed && std::find(crossed.begin(), crossed.end(), to) == crossed.end()) {
          crossed.push_back(to);
        }
      } else if (to != node) {
        found.push_back(names_[row]);
      }
    };
    links_.for_each(level, node, meet);
    found.clear();  // its own live neighbours
    for (size_t i = 0; i < crossed.size() && found.size() < kEnough; ++i) {
      const uint32_t dead = crossed[i];
      links_.for_each(level, dead, meet);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

 private:
  static constexpr size_t kEnough = 256;

  struct Chain {
    uint32_t first;
    std::vector<uint32_t> twins;  // newest first
  };

  // A twin has one link at most, to the twin before it, and its double names it in front of its list.
  void find_chains() {
    std::vector<uint32_t> firsts;
    for (uint32_t row = 0; row < part_.rows; ++row) {
      const uint32_t to = links_.first(row);
      if (to == kNoRow || to == row || !links_.has_one_at_most(to) || !same(spec_, part_, row, to)) continue;
      hangs_[to] = true;
      firsts.push_back(row);
    }
    std::erase_if(firsts, [&](uint32_t row) { return hangs_[row]; });
    std::vector<bool> met(part_.rows, false);
    for (const uint32_t first : firsts) {
      Chain chain{first, {}};
      for (uint32_t twin = links_.first(first); twin != kNoRow && hangs_[twin] && !met[twin];
           twin = links_.first(twin)) {
        met[twin] = true;
        chain.twins.push_back(twin);
      }
      chains_.push_back(std::move(chain));
    }
    for (uint32_t row = 0; row < part_.rows; ++row) hangs_[row] = hangs_[row] && met[row];
  }

  // The newest live twin of a dead first row stands for it.
  void promote() {
    for (Chain& chain : chains_) {
      std::erase_if(chain.twins, [&](uint32_t twin) { return names_[twin] == kNoRow; });
      if (names_[chain.first] != kNoRow || chain.twins.empty()) continue;
      names_[chain.first] = names_[chain.twins.front()];
      chain.twins.erase(chain.twins.begin());
    }
  }

  void copy_list(HeadGraph& graph, uint32_t level, uint32_t node) const {
    const uint32_t row = names_[links_.row(level, node)];
    uint32_t* const list = graph.list(row, level);
    size_t used = 0;
    links_.for_each(level, node, [&](uint32_t to) {
      const uint32_t old = links_.row(level, to);
      if (hangs_[old] || names_[old] == kNoRow || used == graph.degree(level)) return;
      list[used++] = names_[old];
      if (level == 0) graph.gain_link(names_[old]);
    });
  }

  void copy_chain(HeadGraph& graph, const Chain& chain) const {
    uint32_t from = names_[chain.first];
    if (from == kNoRow) return;
    for (const uint32_t twin : chain.twins) {
      const uint32_t row = names_[twin];
      graph.make_twin(row);
      uint32_t* const list = graph.list(from, 0);
      const uint32_t last = list[graph.degree(0) - 1];
      if (last != kNoRow) graph.lose_link(last, 0);
      std::copy_backward(list, list + graph.degree(0) - 1, list + graph.degree(0));
      list[0] = row;
      graph.gain_link(row);
      from = row;
    }
  }

  HeadGraph::Entry entry(const HeadGraph& graph) const {
    for (const uint32_t row : part_.graph.upper_rows) {
      if (row < part_.rows && names_[row] != kNoRow) return {names_[row], graph.level_of(names_[row])};
    }
    uint32_t row = 0;
    while (graph.is_twin(row)) ++row;
    return {row, 0};
  }

  const VectorSpec& spec_;
  const Part& part_;
  const Links links_;
  const std::span<const uint32_t> kept_;
  std::vector<uint32_t> names_;  // old row -> new one; kNoRow: dead
  std::vector<bool> hangs_;      // twins
  std::vector<Chain> chains_;
};

}  // namespace

Carried carry_graph(const VectorSpec& spec, const Part& part, std::span<const uint32_t> kept,
                    std::shared_ptr<const HeadRows> rows, const I8Params& params, int threads) {
  const Carrying carrying(spec, part, kept);
  auto graph = std::make_shared<HeadGraph>(spec, std::move(rows), params);
  graph->take(part, kept, threads, carrying.levels());
  carrying.copy_into(*graph);
  for (uint32_t level = 0; level <= part.graph.upper_counts.size(); ++level) {
    const std::vector<uint32_t> nodes = carrying.bereaved(level, kMostLost, 0);
    std::vector<uint32_t> named;
    for (const uint32_t node : nodes) named.push_back(carrying.name(level, node));
    reconsider_rows(*graph, level, named, threads, [&](size_t i) { return carrying.heirs(level, nodes[i]); });
  }
  std::vector<uint32_t> bereaved = carrying.bereaved(0, kManyLost, kFirstLinks);
  for (uint32_t& row : bereaved) row = carrying.name(0, row);
  return {std::move(graph), std::move(bereaved)};
}

}  // namespace lamina
