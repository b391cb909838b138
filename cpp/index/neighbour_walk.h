// The walk of a graph whose rows have neighbour codes beside them.
#pragma once

#include <algorithm>
#include <array>

#include "codes/neighbour.h"
#include "index/scorer.h"
#include "index/searcher.h"

namespace lamina {

// Best-first search from `entry`, as walk_level() does it, but for what is measured: a row when its turn has come, and
// its neighbours only about, from what lies beside it. So there are two pools. walk.near orders what was heard of, once
// for each row that told of it, and says what comes next; walk.pool gets the rows that were measured.
//
// It is fast because a row's neighbours lie in one piece, which is asked for while those before it are worked on: the
// next kAhead rows are chosen without what their predecessors lead to, which costs no step, since their neighbours
// would have had their turn soon. Its first lines are asked for when it is chosen, the others bit by bit while the
// codes of the row before it are summed up: all at once would have to wait.
//
// `Scorer` is on 8-bit codes: key(row), prefetch(row), same(a, b); `Codes` has row(r) and in_place(r). Returns how many
// rows were measured.
template <class Level, class Scorer, class Codes>
size_t walk_neighbours(const Level& level, const Scorer& scorer, const Codes& codes, const NeighbourQuery& query,
                       uint32_t entry, size_t ef, Walk& walk) {
  constexpr size_t kAhead = 2;
  constexpr size_t kFirst = 10 * 64;  // bytes of them
  walk.visited.reset(level.rows());
  walk.near.reset(ef);
  walk.pool.reset(ef);
  walk.twins.clear();
  walk.keys.resize((level.slots() + kNeighbourBlock - 1) / kNeighbourBlock * kNeighbourBlock);

  std::array<uint32_t, kAhead + 1> ahead;
  size_t chosen = 0;
  const auto choose = [&] {
    while (walk.near.has_next()) {
      const uint32_t row = walk.near.pop();
      if (!walk.visited.enter(row)) continue;
      scorer.prefetch(row);
      level.prefetch(row);
      prefetch_row(codes, row, kFirst);
      ahead[chosen++ % ahead.size()] = row;
      return true;
    }
    return false;
  };

  walk.near.insert(scorer.key(entry), entry);
  size_t measured = 0;
  for (;; ++measured) {
    while (chosen <= measured + kAhead && choose()) continue;
    if (chosen == measured) return measured;
    const uint32_t row = ahead[measured % ahead.size()];
    const uint32_t key = scorer.key(row);
    walk.pool.insert(key, row);
    const uint32_t* const list = level.list(row);
    size_t n = 0;
    for (; n < level.slots(); ++n) {
      const uint32_t neighbour = level.load(list + n);
      if (neighbour < level.rows()) continue;
      if (neighbour == kNoRow) break;
      level.beyond(neighbour);
    }
    const uint32_t next = ahead[std::min(measured + 1, chosen - 1) % ahead.size()];
    query.keys(codes.row(row), n, key, codes.in_place(next) + kFirst, walk.keys.data());
    for (size_t i = 0; i < n; ++i) {
      const uint32_t neighbour = list[i];
      if (walk.keys[i] == key && scorer.same(row, neighbour)) {
        walk.twins.push_back({row, neighbour});
      } else if (walk.near.takes(walk.keys[i]) && walk.visited.is_new(neighbour)) {
        walk.near.insert(walk.keys[i], neighbour);
      }
    }
  }
}

}  // namespace lamina
