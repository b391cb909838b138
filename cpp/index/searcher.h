// The heart: how a graph is walked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "index/part.h"
#include "index/pool.h"
#include "index/visited.h"

namespace lamina {

// What a walk needs besides the graph; kept by a thread from one walk to the next.
struct Walk {
  Visited visited;
  Pool pool;
  std::vector<uint32_t> fresh;    // neighbours met for the first time
  std::vector<uint32_t> waiting;  // those of the row before
  std::vector<uint32_t> bridges;  // neighbours to be stepped over
  Pool near;                      // what was heard of, and the keys that a row's neighbours have about: see
  std::vector<uint32_t> keys;     // index/neighbour_walk.h

  // A row that was met from its double, and is not in the pool.
  struct Twin {
    uint32_t of;
    uint32_t row;
  };
  std::vector<Twin> twins;
};

// Neighbours of one row that were met for the first time.
struct Fresh {
  uint32_t from = kNoRow;
  uint32_t key = 0;  // of `from`
  uint32_t* rows = nullptr;
  size_t n = 0;
};

// Measures rows and puts them into the pool. REQUIRES: there is room for three more.
template <class Level, class Scorer>
[[gnu::always_inline]] inline void take_fresh(const Level& level, const Scorer& scorer, const Fresh& fresh,
                                              Walk& walk) {
  uint32_t keys[4];
  if (fresh.n == 0) return;
  std::fill_n(fresh.rows + fresh.n, 3, fresh.rows[fresh.n - 1]);
  for (size_t i = 0; i < fresh.n; i += 4) {
    scorer.keys4(fresh.rows + i, keys);
    const size_t four = std::min<size_t>(4, fresh.n - i);
    for (size_t j = 0; j < four; ++j) {
      const uint32_t row = fresh.rows[i + j];
      if (keys[j] == fresh.key && scorer.same(fresh.from, row)) {
        walk.twins.push_back({fresh.from, row});
      } else if (walk.pool.insert(keys[j], row)) {
        level.prefetch(row);
      }
    }
  }
}

// Measures the rows that a walk begins with; returns how many there are.
template <class Scorer>
size_t take_entries(const Scorer& scorer, std::span<const uint32_t> entries, Walk& walk) {
  uint32_t rows[4];
  uint32_t keys[4];
  size_t n = 0;
  size_t measured = 0;
  const auto measure_rows = [&] {
    if (n == 0) return;
    std::fill(rows + n, rows + 4, rows[n - 1]);
    scorer.keys4(rows, keys);
    for (size_t i = 0; i < n; ++i) walk.pool.insert(keys[i], rows[i]);
    measured += n;
    n = 0;
  };
  for (const uint32_t entry : entries) scorer.prefetch(entry);
  for (const uint32_t entry : entries) {
    if (!walk.visited.enter(entry)) continue;
    rows[n++] = entry;
    if (n == 4) measure_rows();
  }
  measure_rows();
  return measured;
}

// Expands the nearest row of the pool: asks for the codes of those of its neighbours that were never met, and writes
// them to `rows`.
template <class Level, class Scorer>
[[gnu::always_inline]] inline Fresh expand_next(const Level& level, const Scorer& scorer, uint32_t* rows, Walk& walk) {
  Fresh fresh{.key = walk.pool.next_key(), .rows = rows};
  fresh.from = walk.pool.pop();
  const uint32_t* const list = level.list(fresh.from);
  if (walk.pool.has_next()) level.prefetch(walk.pool.next());
  for (size_t slot = 0; slot < level.slots(); ++slot) {
    const uint32_t row = level.load(list + slot);
    if (row >= level.rows()) {
      if (row == kNoRow) break;
      level.beyond(row);
      continue;
    }
    if (!walk.visited.enter(row)) continue;
    scorer.prefetch(row);
    rows[fresh.n++] = row;
  }
  return fresh;
}

// Best-first search of one level from `entries` with breadth `ef`:
//
//   while the nearest row not yet expanded is among the ef nearest:
//     measure those of its neighbours that were never met, and keep the ef nearest of all
//
// It is fast because every line that it will need is asked for early: the links of the row that is next before it is,
// and the codes of a row's neighbours before those of the row before it are measured, four at a time. So a row is
// chosen without what its predecessor leads to, which costs hardly a step. The walk ends when all ef are expanded,
// which an early stop could shorten at some cost in recall.
//
// Rows that are the same to the scorer would crowd everything else out of the pool where there are many. They hang in a
// chain on the first of them, which alone is in the pool: each names the next in its first slot (see Linker).
//
// `Level` is list(row), slots(), load(slot), rows() (all in it are below) and beyond(row) (for one that is not).
// The result is walk.pool, and in walk.twins the beginnings of chains. Returns how many rows were measured.
template <class Level, class Scorer>
size_t walk_level(const Level& level, const Scorer& scorer, std::span<const uint32_t> entries, const Breadth& ef,
                  Walk& walk) {
  walk.visited.reset(level.rows());
  walk.pool.reset(ef);
  walk.twins.clear();
  walk.fresh.resize(level.slots() + 4);
  walk.waiting.resize(level.slots() + 4);

  size_t measured = take_entries(scorer, entries, walk);
  uint32_t* room = walk.fresh.data();
  Fresh waiting{.rows = walk.waiting.data()};
  while (walk.pool.has_next() || waiting.n > 0) {
    Fresh fresh{.rows = room};
    if (walk.pool.has_next()) fresh = expand_next(level, scorer, room, walk);
    take_fresh(level, scorer, waiting, walk);
    measured += waiting.n;
    room = waiting.rows;
    waiting = fresh;
  }
  return measured;
}

template <class Level, class Scorer>
size_t walk_level(const Level& level, const Scorer& scorer, uint32_t entry, const Breadth& ef, Walk& walk) {
  return walk_level(level, scorer, std::span(&entry, 1), ef, walk);
}

// Calls visit(row) for the twins that hang on `row` in a walk's result, until it returns false.
template <class Level, class Scorer, class Visit>
void for_each_twin(const Level& level, const Scorer& scorer, uint32_t row, const Walk& walk, Visit&& visit) {
  for (const Walk::Twin& first : walk.twins) {
    if (first.of != row) continue;
    uint32_t twin = first.row;
    for (uint32_t steps = 0; steps < level.rows() && visit(twin); ++steps) {
      const uint32_t next = level.load(level.list(twin));
      if (next >= level.rows() || next == row || !scorer.same(twin, next)) break;
      twin = next;
    }
  }
}

// The row that a greedy walk of one level ends on: the upper levels' search.
template <class Level, class Scorer>
uint32_t descend(const Level& level, const Scorer& scorer, uint32_t entry, std::vector<uint32_t>& fresh) {
  fresh.resize(level.slots() + 4);
  uint32_t keys[4];
  std::fill_n(fresh.data(), 4, level.row(entry));
  scorer.keys4(fresh.data(), keys);
  uint32_t nearest = keys[0];
  for (uint32_t from = kNoRow; from != entry;) {
    from = entry;
    const uint32_t* const list = level.list(from);
    size_t n = 0;
    for (size_t slot = 0; slot < level.slots(); ++slot) {
      const uint32_t node = level.load(list + slot);
      if (node >= level.rows()) {
        if (node == kNoRow) break;
        level.beyond(node);
        continue;
      }
      scorer.prefetch(level.row(node));
      fresh[n++] = node;
    }
    for (size_t i = 0; i < n; i += 4) {
      uint32_t four[4];
      for (size_t j = 0; j < 4; ++j) four[j] = level.row(fresh[std::min(i + j, n - 1)]);
      scorer.keys4(four, keys);
      for (size_t j = 0; j < std::min<size_t>(4, n - i); ++j) {
        if (keys[j] >= nearest) continue;
        nearest = keys[j];
        entry = fresh[i + j];
      }
    }
  }
  return entry;
}

}  // namespace lamina
