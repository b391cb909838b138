#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/thread_pool.h"
#include "index/find_near.h"
#include "index/head.h"
#include "index/scan.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

constexpr size_t kGroup = 16;  // queries that share the rows in cache during an exact batch

constexpr size_t kScanShare = 8;  // a walk as broad as a part's rows / kScanShare costs what scanning them does

constexpr size_t kNarrowest = 8;  // the breadth that a walk begins with where hardly any of the nearest are expected

constexpr size_t kTwinShare = 8;  // so many times the rows to re-rank may be looked at where many have the same code

// What a thread needs for a search, kept from one to the next.
struct Scratch {
  std::array<ExactQuery, kGroup> queries;
  std::array<TopK, kGroup> tops;
  TopK probe;
  I8Query coded;
  Walk walk;
  std::vector<uint32_t> chosen;
};

Scratch& scratch() {
  thread_local Scratch mine;
  return mine;
}

void require_whole_part(const Part& part) {
  if (part.guard != nullptr) part.guard->require_whole();
}

void require(const SearchOptions& options) {
  if (options.k == 0) throw std::invalid_argument("k 0 is not positive");
}

// How many of the nearest by code are measured on their stored vectors.
size_t rerank_count(size_t k) { return std::max(2 * k, k + 16); }

// Calls fn(rows, live, graph) for part i, or for the head where i is the number of parts; `graph` is a Part or a
// HeadGraph, null if flat.
template <class Fn>
void with_rows(const View& view, size_t i, Fn&& fn) {
  if (i == view.parts.size()) {
    if (view.head) fn(view.head->rows(), Live(view.head_deleted, view.head_rows), view.head->graph());
    return;
  }
  const Part& part = *view.parts[i].part;
  if (part.guard != nullptr) part.guard->check_index();
  fn(SealedRows(view.spec, part), Live(view.parts[i].deleted, part.rows), part.graph.entry == kNoRow ? nullptr : &part);
}

// For each part and then for the head.
template <class Fn>
void for_each_rows(const View& view, Fn&& fn) {
  for (size_t i = 0; i <= view.parts.size(); ++i) with_rows(view, i, fn);
}

void search_exactly(const View& view, std::span<const ExactQuery> queries, std::span<TopK> tops) {
  for_each_rows(view, [&](const auto& rows, const Live& live, const auto*) { scan(rows, live, queries, tops); });
}

uint32_t breadth(const Part& part, const SearchOptions& options) {
  return part.calibration.ef_for(options.recall, options.k);
}
uint32_t breadth(const HeadGraph&, const SearchOptions& options) {
  return Calibration{}.ef_for(options.recall, options.k);
}

// Walks with room for `capacity` rows and puts the nearest live ones into mine.chosen: `most` at the most, and those
// that only the stored vectors tell from them. Returns how many live ones were met, those of the chosen at least.
template <class Rows, class Graph>
size_t walk_to_live(const VectorSpec& spec, const Rows& rows, const Live& live, const Graph& graph, size_t capacity,
                    size_t most, Scratch& mine) {
  size_t met = 0;
  mine.chosen.clear();
  with_scorer(spec, graph, rows, mine.queries[0], mine.coded, [&](const auto& scorer) {
    find_near(graph, scorer, capacity, mine.walk);
    const auto level = bottom(graph);
    const auto take = [&](uint32_t row, size_t limit) {
      if (!live(row)) return;
      ++met;
      if (mine.chosen.size() < limit) mine.chosen.push_back(row);
    };
    for (size_t i = 0; i < mine.walk.pool.size(); ++i) {
      const uint32_t row = mine.walk.pool.row(i);
      take(row, most);
      for_each_twin(level, scorer, row, mine.walk, [&](uint32_t twin) {
        take(twin, most * kTwinShare);
        return mine.chosen.size() < most * kTwinShare;
      });
    }
  });
  return met;
}

// Whether what lies in the middle of what a walk has chosen is farther than all of the nearest found elsewhere: then
// a broader one would hardly find more of them.
template <class Rows>
bool reaches_beyond(const Rows& rows, Scratch& mine) {
  const uint32_t middle = mine.chosen[mine.chosen.size() / 2];
  rows.check(middle, 1);
  mine.probe.reset(1, nullptr);
  measure(rows, mine.queries[0], {&middle, 1}, mine.probe);
  return mine.probe.bound() > mine.tops[0].bound();
}

// How broad the first walk is: as asked, but where k hits of larger parts are there already, as broad as twice this
// part's share of the rows.
size_t first_breadth(size_t ef, const View& view, const Live& live, const TopK& top) {
  if (!top.full()) return ef;
  return std::min(ef, std::max(kNarrowest, static_cast<size_t>(2 * ef * live.count() / view.live)));
}

// Deleted rows are walked through and not returned: the pool is as much larger as there are more rows than live ones,
// and grows where they lie thick, until it holds what it was to hold, or a scan is as cheap. It grows too where the
// walk was narrow, and found many of the nearest.
template <class Rows, class Graph>
void search_graph(const View& view, const Rows& rows, const Live& live, const Graph& graph,
                  const SearchOptions& options, Scratch& mine) {
  const uint64_t count = live.count();
  if (count == 0) return;
  const size_t wanted = std::min<uint64_t>(options.k, count);
  const size_t ef = std::max<size_t>(options.ef != 0 ? options.ef : breadth(graph, options), wanted);
  size_t broad = first_breadth(ef, view, live, mine.tops[0]);
  size_t capacity = (broad * live.rows + count - 1) / count;
  for (; capacity * kScanShare < live.rows; capacity *= 2) {
    const size_t least = std::min(wanted, broad);
    const size_t met = walk_to_live(view.spec, rows, live, graph, capacity, rerank_count(wanted), mine);
    const bool has_all = mine.walk.pool.size() < capacity;  // of what can be reached
    if (met < least && has_all) break;
    if (met < least || (met < broad * 3 / 4 && !has_all)) continue;
    if (broad < ef && !has_all && !reaches_beyond(rows, mine)) {
      broad = std::min(2 * broad, ef);
      continue;
    }
    for (const uint32_t row : mine.chosen) {
      rows.check(row, 1);
      prefetch(rows.vector(row), rows.vector_bytes());
    }
    return measure(rows, mine.queries[0], mine.chosen, mine.tops[0]);
  }
  scan(rows, live, {mine.queries.data(), 1}, {mine.tops.data(), 1});
}

// The part, or the head, that has the most rows.
size_t most_rows(const View& view) {
  size_t found = view.parts.size();
  uint32_t rows = view.head_rows;
  for (size_t i = 0; i < view.parts.size(); ++i) {
    if (view.parts[i].part->rows <= rows) continue;
    found = i;
    rows = view.parts[i].part->rows;
  }
  return found;
}

// The largest first: what it finds bounds the search of the others.
void search_one(const View& view, const SearchOptions& options, Scratch& mine) {
  const auto search = [&](const auto& rows, const Live& live, const auto* graph) {
    if (options.exact || graph == nullptr) {
      scan(rows, live, {mine.queries.data(), 1}, {mine.tops.data(), 1});
    } else {
      search_graph(view, rows, live, *graph, options, mine);
    }
  };
  const size_t first = most_rows(view);
  with_rows(view, first, search);
  for (size_t i = 0; i <= view.parts.size(); ++i) {
    if (i != first) with_rows(view, i, search);
  }
}

}  // namespace

size_t View::search(const void* query, const SearchOptions& options, Hit* out) const {
  require(options);
  Scratch& mine = scratch();
  mine.queries[0].prepare(spec, query);
  mine.tops[0].reset(std::min<uint64_t>(options.k, live), options.ties);
  search_one(*this, options, mine);
  require_whole();
  return mine.tops[0].take(out);
}

void View::search_batch(const void* queries, size_t count, const SearchOptions& options, int threads, Hit* out,
                        uint32_t* counts) const {
  require(options);
  const auto* first = static_cast<const std::byte*>(queries);
  const size_t stride = spec.given_bytes();
  const unsigned pool = threads < 0 ? 0 : static_cast<unsigned>(threads);
  if (!options.exact) {
    parallel_for(0, count, 4, pool, [&](uint64_t begin, uint64_t end, unsigned) {
      for (uint64_t i = begin; i < end; ++i) {
        counts[i] = static_cast<uint32_t>(search(first + i * stride, options, out + i * options.k));
      }
    });
    return;
  }
  parallel_for(0, count, kGroup, pool, [&](uint64_t begin, uint64_t end, unsigned) {
    Scratch& mine = scratch();
    const size_t n = end - begin;
    for (size_t i = 0; i < n; ++i) {
      mine.queries[i].prepare(spec, first + (begin + i) * stride);
      mine.tops[i].reset(std::min<uint64_t>(options.k, live), options.ties);
    }
    search_exactly(*this, {mine.queries.data(), n}, {mine.tops.data(), n});
    require_whole();
    for (size_t i = 0; i < n; ++i) {
      counts[begin + i] = static_cast<uint32_t>(mine.tops[i].take(out + (begin + i) * options.k));
    }
  });
}

void View::require_whole() const {
  for (const SealedPart& sealed : parts) require_whole_part(*sealed.part);
}

bool View::find(uint64_t rid, RowRef* where) const {
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = *parts[i].part;
    const uint32_t* order = part.checked_order();
    const uint32_t* end = order + part.rows;
    const auto rid_of = [&](uint32_t row) {
      if (row >= part.rows) refuse_link(part, row, part.rows);
      return part.rids[row];
    };
    const uint32_t* at = std::lower_bound(order, end, rid, [&](uint32_t row, uint64_t r) { return rid_of(row) < r; });
    const Live shown(parts[i].deleted, part.rows);
    bool found = false;
    for (; !found && at != end && rid_of(*at) == rid; ++at) {
      found = shown(*at);
      if (found) *where = {static_cast<uint32_t>(i), *at};
    }
    require_whole_part(part);
    if (found) return true;
  }
  if (!head) return false;
  const uint32_t row = head->rows().find(rid, Live(head_deleted, head_rows));
  if (row == kNoRow) return false;
  *where = {static_cast<uint32_t>(parts.size()), row};
  return true;
}

void View::vector_at(RowRef where, std::byte* out) const {
  if (where.part == parts.size()) {
    std::memcpy(out, head->rows().vector(where.row), spec.vector_bytes());
    return;
  }
  const Part& part = *parts[where.part].part;
  const SealedRows rows(spec, part);
  rows.check(where.row, 1);
  std::memcpy(out, rows.vector(where.row), spec.vector_bytes());
  require_whole_part(part);
}

Provenance View::provenance_at(RowRef where) const {
  if (where.part == parts.size()) return head->rows().provenance(where.row);
  const Part& part = *parts[where.part].part;
  if (part.guard != nullptr) part.guard->check_index();
  const Provenance found = SealedRows(spec, part).provenance(where.row);
  require_whole_part(part);
  return found;
}

void View::for_each_live(const std::function<void(RowRef, uint64_t rid)>& visit) const {
  uint32_t part = 0;
  for_each_rows(*this, [&](const auto& rows, const Live& shown, const auto*) {
    for (uint32_t row = 0; row < shown.rows; ++row) {
      if (shown(row)) visit({part, row}, rows.rid(row));
    }
    ++part;
  });
  require_whole();
}

}  // namespace lamina
