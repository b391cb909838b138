#include <algorithm>
#include <stdexcept>

#include "base/thread_pool.h"
#include "index/part_search.h"
#include "index/view_rows.h"

namespace lamina {
namespace {

Scratch& scratch() {
  thread_local Scratch mine;
  return mine;
}

void require(const SearchOptions& options) {
  if (options.k == 0) throw std::invalid_argument("k 0 is not positive");
}

void search_exactly(const View& view, size_t queries, Scratch& mine) {
  for_each_rows(view, [&](const auto& rows, const Live& live, const auto*) {
    scan(rows, live, {mine.queries.data(), queries}, {mine.tops.data(), queries}, mine.gathered);
  });
}

// The part, or the head, that has the most live rows.
size_t most_rows(const View& view) {
  size_t found = view.parts.size();
  uint64_t most = Live(view.head_deleted, view.head_rows).count();
  for (size_t i = 0; i < view.parts.size(); ++i) {
    const uint64_t count = Live(view.parts[i].deleted, view.parts[i].part->rows).count();
    if (count <= most) continue;
    found = i;
    most = count;
  }
  return found;
}

// Those of the head in this part; null if it has none there. Where most of the part's rows may not be returned, what a
// search of it ends on may lie far from the query.
const Anchors* anchors_of(const View& view, size_t i) {
  if (i == view.parts.size() || !view.head) return nullptr;
  const auto& [part, deleted] = view.parts[i];
  return Live(deleted, part->rows).has_most() ? view.head->anchors_in(part) : nullptr;
}

// The largest first: what it finds bounds the search of the others.
void search_parts(const View& view, const SearchOptions& options, Scratch& mine) {
  const auto search = [&](size_t i) {
    with_rows(view, i, [&](const auto& rows, const Live& live, const auto* graph) {
      PartSearch(view, i, rows, live, graph, options, mine).run();
    });
  };
  const size_t first = most_rows(view);
  mine.anchored.clear();
  mine.anchors_known = false;
  mine.broader = 1;
  mine.walk.pool.reset(0);
  search(first);
  const Anchors* const anchors = anchors_of(view, first);
  mine.anchors_known = anchors != nullptr && mine.walk.pool.size() > 0;
  if (mine.anchors_known) anchors->gather(mine.walk.pool, mine.anchored);
  for (size_t i = 0; i <= view.parts.size(); ++i) {
    if (i != first) search(i);
  }
}

}  // namespace

size_t View::search(const void* query, const SearchOptions& options, Hit* out) const {
  require(options);
  Scratch& mine = scratch();
  mine.queries[0].prepare(spec, query);
  mine.tops[0].reset(std::min<uint64_t>(options.k, live), options.ties, options.radius);
  search_parts(*this, options, mine);
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
  parallel_for(0, count, Scratch::kGroup, pool, [&](uint64_t begin, uint64_t end, unsigned) {
    Scratch& mine = scratch();
    const size_t n = end - begin;
    for (size_t i = 0; i < n; ++i) {
      mine.queries[i].prepare(spec, first + (begin + i) * stride);
      mine.tops[i].reset(std::min<uint64_t>(options.k, live), options.ties, options.radius);
    }
    search_exactly(*this, n, mine);
    require_whole();
    for (size_t i = 0; i < n; ++i) {
      counts[begin + i] = static_cast<uint32_t>(mine.tops[i].take(out + (begin + i) * options.k));
    }
  });
}

}  // namespace lamina
