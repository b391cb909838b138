// Links rows into a growing graph: HNSW (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search
// using Hierarchical Navigable Small World graphs", 2016), with changes. Neighbours are chosen with a slack `alpha`
// (Subramanya et al., "DiskANN", 2019). No list gives up the last link into a row, so that every row stays findable.
// And rows that are the same to the byte, twins, hang in a chain on the first of them:
//
//   first row:  [newest twin | its neighbours ...]     newest twin: [the twin before it]     oldest twin: []
//
// One link of the first row serves all of them, and a walk is not drowned in thousands of equal rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "index/head_graph.h"
#include "index/searcher.h"
#include "index/space.h"

namespace lamina {

// One a thread; any number work on one graph.
template <class Space>
class Linker {
 public:
  // `settled`: all lists were chosen before, with the slack that is to come. A row that is to enter a full one is then
  // weighed against those in it, and they not against each other.
  explicit Linker(HeadGraph& graph, bool settled = false) : graph_(graph), space_(graph), settled_(settled) {}

  // Links a row that is encoded and not linked.
  void insert(uint32_t row) { insert(row, {}, first_look()); }
  // The same for a row of which some linked rows nearby are known, none a twin: it is looked for around them, and gets
  // the neighbours that refining would give it.
  void join(uint32_t row, std::span<const uint32_t> nearby, const Breadth& ef, float alpha) {
    insert(row, nearby, {ef, static_cast<uint32_t>(ef.most), graph_.degree(0), alpha});
  }
  // Chooses a row's neighbours on a level anew, among them and these.
  void reconsider(uint32_t row, uint32_t level, std::span<const uint32_t> others, float alpha);
  // Searches a linked row's surroundings again and chooses its neighbours on level 0 anew.
  void refine(uint32_t row, const Breadth& ef, float alpha);

 private:
  struct Candidate {
    float distance;
    uint32_t row;
    bool operator==(const Candidate& other) const { return row == other.row; }
    bool operator<(const Candidate& other) const {
      return distance != other.distance ? distance < other.distance : row < other.row;
    }
  };
  using Candidates = std::vector<Candidate>;

  static constexpr float kInsertAlpha = 1.0F;
  static constexpr uint32_t kWeighed = 48;

  // How a row's place is found.
  struct Care {
    Breadth ef;
    uint32_t weighed;  // of the nearest found, to be chosen from
    uint32_t most;     // neighbours on level 0
    float alpha;
  };

  Care first_look() const;
  void insert(uint32_t row, std::span<const uint32_t> nearby, const Care& care);
  void insert_below(uint32_t row, HeadGraph::Entry top, std::span<const uint32_t> nearby, const Care& care);
  // Hangs a row on one of the pool that is the same to the byte; false if there is none.
  bool hang_on_twin(uint32_t row);
  bool hang(uint32_t row, uint32_t first);
  // Leaves at most `most` of the candidates, nearest first: those to which no one kept before is nearer than the row
  // that `query` stands for. Its twin, in front, stays and counts for nothing.
  void choose(const typename Space::Query& query, Candidates& candidates, size_t most, float alpha);
  bool is_shadowed(const Candidate& candidate, float alpha);  // by one of kept_
  // Without distances.
  void read_list(uint32_t row, uint32_t level, Candidates& out) const;
  void measure_list(const typename Space::Query& query, uint32_t row, uint32_t level, Candidates& out) const;
  void measure(const typename Space::Query& query, std::span<Candidate> rows) const;

  // Links into a full list only if `is_new`: else it was weighed against that list before.
  void link(uint32_t from, uint32_t level, const Candidate& to, float alpha, bool is_new = true);
  // Puts a row into a full list, in the place of one that it shadows, or of the farthest; or leaves it out.
  void displace(uint32_t from, uint32_t level, const Candidate& to, float alpha);
  // Makes `chosen` a row's list, but for what must give way to last links of `old`, which it is now. Under its lock.
  void replace_list(uint32_t row, uint32_t level, Candidates& chosen, const Candidates& old);
  // Gives a row that nobody links to a link from one of these, nearest first.
  void ensure_link(uint32_t row, const Candidates& nearest);
  bool force_link(uint32_t from, uint32_t to);

  HeadGraph& graph_;
  const Space space_;
  const bool settled_;
  typename Space::Query query_;  // the row being worked on
  typename Space::Query other_;  // the row whose list is being changed
  typename Space::Query pair_;   // a candidate, against those chosen before it
  Walk walk_;
  Candidates candidates_;
  Candidates listed_;
  Candidates old_;
  std::vector<uint32_t> kept_;  // by choose(), those that shadowed another last first
  std::vector<Candidates> by_level_;
};

using I8Linker = Linker<I8Space>;
using StoredLinker = Linker<StoredSpace>;

}  // namespace lamina
