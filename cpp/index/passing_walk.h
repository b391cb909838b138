// How a graph is walked where only some of its rows may be returned.
#pragma once

#include "index/rows.h"
#include "index/searcher.h"

namespace lamina {

// The first row that passes in the rest of a chain of twins; kNoRow if there is none, or `row` is no twin: what has
// more than one link is none (see Linker). Goes through a chain once in a walk.
template <class Level>
uint32_t passing_twin(const Level& level, uint32_t row, const Live& passes, Visited& visited) {
  while (row < level.rows() && !passes(row)) {
    const uint32_t* const list = level.list(row);
    if (level.load(list + 1) != kNoRow || !visited.enter(row)) return kNoRow;
    row = level.load(list);
  }
  return row < level.rows() ? row : kNoRow;
}

// Adds the neighbours of `bridge` that pass and were never met to the `n` rows of walk.fresh; returns how many it
// holds.
template <class Level, class Scorer>
size_t cross(const Level& level, const Scorer& scorer, uint32_t bridge, const Live& passes, size_t n, Walk& walk) {
  const uint32_t* list = level.list(bridge);
  for (size_t slot = 0; slot < level.slots(); ++slot) {
    uint32_t row = level.load(list + slot);
    if (row >= level.rows()) {
      if (row == kNoRow) break;
      level.beyond(row);
      continue;
    }
    if (!passes(row)) {
      if (slot != 0) continue;
      row = passing_twin(level, row, passes, walk.visited);
      list = level.list(bridge);  // which may have made room for those of the twins
      if (row == kNoRow) continue;
    }
    if (!walk.visited.enter(row)) continue;
    scorer.prefetch(row);
    walk.fresh[n++] = row;
  }
  return n;
}

struct PassingWalk {
  size_t measured;  // rows
  bool astray;      // the rows that pass lie elsewhere: the walk was given up
};

// Best-first search of one level from `entry`, until the `ef` nearest rows that pass have been expanded:
//
//   while there is a row not yet expanded, and fewer than `ef` that pass are:
//     measure those of its neighbours that were never met, if they pass, or are among the first guides, which do not;
//     and step over the others, to those of their neighbours that pass
//
// A row that does not pass and is no guide costs a look at its links instead of a distance. The guides lead the way
// near the query, and tell where nothing passes there: if so many of them are expanded before the first row that passes
// as chance explains in one case of a hundred, what passes lies far from the query, on islands perhaps, which no walk
// finds for sure. (After ACORN, Patel et al., SIGMOD 2024, which knows no guides.)
//
// The result is as of walk_level; guides are in walk.pool too.
template <class Level, class Scorer>
PassingWalk walk_passing(const Level& level, const Scorer& scorer, uint32_t entry, const Live& passes, size_t ef,
                         Walk& walk) {
  const size_t enough = level.slots();  // neighbours to measure of one row
  const size_t one_in = passes.rows / passes.count();
  size_t patience = 5 * one_in;
  size_t guides = std::max(ef, 8 * one_in);
  walk.visited.reset(level.rows());
  walk.pool.reset(ef + guides);
  walk.twins.clear();
  walk.fresh.resize(2 * level.slots() + enough + 4);
  walk.bridges.resize(level.slots());
  uint32_t* const fresh = walk.fresh.data();
  uint32_t* const bridges = walk.bridges.data();

  take_entries(scorer, {&entry, 1}, walk);
  size_t measured = 1;
  for (size_t expanded = 0; expanded < ef && walk.pool.has_next();) {
    const uint32_t key = walk.pool.next_key();
    const uint32_t from = walk.pool.pop();
    const uint32_t* const list = level.list(from);
    if (passes(from)) {
      ++expanded;
    } else if (expanded == 0 && --patience == 0) {
      return {measured, true};
    }
    if (walk.pool.has_next()) level.prefetch(walk.pool.next());
    size_t n = 0;
    size_t over = 0;
    for (size_t slot = 0; slot < level.slots(); ++slot) {
      const uint32_t row = level.load(list + slot);
      if (row >= level.rows()) {
        if (row == kNoRow) break;
        level.beyond(row);
        continue;
      }
      if (!walk.visited.is_new(row)) continue;
      const bool pass = passes(row);
      if (!pass && guides == 0) {
        level.prefetch(row);
        bridges[over++] = row;
        continue;
      }
      guides -= pass ? 0 : 1;
      walk.visited.enter(row);
      scorer.prefetch(row);
      fresh[n++] = row;
    }
    for (size_t i = 0; i < over && n < enough; ++i) {
      walk.visited.enter(bridges[i]);
      n = cross(level, scorer, bridges[i], passes, n, walk);
    }
    measured += n;
    take_fresh(level, scorer, {from, key, fresh, n}, walk);
  }
  return {measured, false};
}

}  // namespace lamina
