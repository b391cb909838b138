#include "index/linker.h"

namespace lamina {
namespace {

constexpr auto holds = [](const auto& list, uint32_t row) {
  return std::any_of(list.begin(), list.end(), [row](const auto& candidate) { return candidate.row == row; });
};

}  // namespace

// Half as broad as building is to look: refining looks again. By inner product rows of great length are near all
// others, and the few others to be linked lie behind them.
template <class Space>
typename Linker<Space>::Care Linker<Space>::first_look() const {
  const VectorSpec& spec = graph_.spec();
  if (spec.metric == Metric::kIp) return {spec.ef_construction, spec.ef_construction, spec.m, kInsertAlpha};
  return {(spec.ef_construction + 1) / 2, kWeighed, spec.m, kInsertAlpha};
}

template <class Space>
void Linker<Space>::insert(uint32_t row, std::span<const uint32_t> nearby, const Care& care) {
  const uint32_t level = graph_.level_of(row);
  HeadGraph::Entry top = graph_.entry();
  if (top.row != kNoRow && level <= top.level) return insert_below(row, top, nearby, care);
  // A new top row: one at a time.
  const std::lock_guard lock(graph_.entry_mutex());
  top = graph_.entry();
  if (top.row != kNoRow) insert_below(row, top, nearby, care);
  const bool is_top = top.row == kNoRow || level > top.level;
  if (is_top && !graph_.is_twin(row)) graph_.set_entry({row, level});
}

// All lists of the row are written before the first link to it is: whoever meets it can go on from it.
template <class Space>
void Linker<Space>::insert_below(uint32_t row, HeadGraph::Entry top, std::span<const uint32_t> nearby,
                                 const Care& care) {
  const uint32_t level = graph_.level_of(row);
  const uint32_t rows = graph_.rows();
  space_.prepare(query_, row);
  const auto scorer = space_.scorer(query_);
  uint32_t near = top.row;
  const uint32_t lowest = nearby.empty() || level > 0 ? level : top.level;
  for (uint32_t l = top.level; l > lowest; --l) near = descend(HeadLevel(graph_, l, rows), scorer, near, walk_.fresh);
  const uint32_t highest = std::min(level, top.level);
  by_level_.resize(std::max<size_t>(by_level_.size(), highest + 1));
  for (uint32_t l = highest + 1; l-- > 0;) {
    const std::span<const uint32_t> entries = l == 0 && !nearby.empty() ? nearby : std::span(&near, 1);
    walk_level(HeadLevel(graph_, l, rows), scorer, entries, care.ef, walk_);
    if (hang_on_twin(row)) return;
    near = walk_.pool.row(0);
    Candidates& candidates = by_level_[l];
    candidates.clear();
    for (size_t i = 0; i < walk_.pool.size(); ++i) {
      candidates.push_back({space_.distance(query_, walk_.pool.key(i)), walk_.pool.row(i)});
    }
    if (l == 0) candidates_ = candidates;
    candidates.resize(std::min<size_t>(candidates.size(), care.weighed));
    choose(query_, candidates, l == 0 ? care.most : graph_.spec().m, l == 0 ? care.alpha : kInsertAlpha);
  }
  old_.clear();
  for (uint32_t l = 0; l <= highest; ++l) replace_list(row, l, by_level_[l], old_);
  for (uint32_t l = 0; l <= highest; ++l) {
    for (const Candidate& to : by_level_[l]) link(to.row, l, {to.distance, row}, l == 0 ? care.alpha : kInsertAlpha);
  }
  ensure_link(row, candidates_);
}

template <class Space>
void Linker<Space>::refine(uint32_t row, const Breadth& ef, float alpha) {
  if (graph_.is_twin(row)) return;
  space_.prepare(query_, row);
  walk_level(HeadLevel(graph_, 0, graph_.rows()), space_.scorer(query_), row, ef, walk_);
  measure_list(query_, row, 0, candidates_);
  for (size_t i = 0; i < walk_.pool.size(); ++i) {
    if (walk_.pool.row(i) == row) continue;
    candidates_.push_back({space_.distance(query_, walk_.pool.key(i)), walk_.pool.row(i)});
  }
  std::sort(candidates_.begin(), candidates_.end());
  candidates_.erase(std::unique(candidates_.begin(), candidates_.end()), candidates_.end());
  choose(query_, candidates_, graph_.degree(0), alpha);
  graph_.lock(row);
  read_list(row, 0, old_);
  replace_list(row, 0, candidates_, old_);
  graph_.unlock(row);
  for (const Candidate& to : candidates_) {
    if (space_.same(query_, to.row)) continue;
    link(to.row, 0, {to.distance, row}, alpha, !settled_ || !holds(old_, to.row));
  }
}

template <class Space>
void Linker<Space>::reconsider(uint32_t row, uint32_t level, std::span<const uint32_t> others, float alpha) {
  space_.prepare(query_, row);
  graph_.lock(row);
  measure_list(query_, row, level, old_);
  candidates_.clear();
  for (const uint32_t other : others) candidates_.push_back({0, other});
  measure(query_, candidates_);
  std::sort(candidates_.begin(), candidates_.end());
  candidates_.resize(std::min<size_t>(candidates_.size(), graph_.degree(level)));
  candidates_.insert(candidates_.end(), old_.begin(), old_.end());
  std::sort(candidates_.begin(), candidates_.end());
  candidates_.erase(std::unique(candidates_.begin(), candidates_.end()), candidates_.end());
  choose(query_, candidates_, graph_.degree(level), alpha);
  replace_list(row, level, candidates_, old_);
  graph_.unlock(row);
}

template <class Space>
bool Linker<Space>::hang_on_twin(uint32_t row) {
  size_t i = 0;
  while (i < walk_.pool.size() && !space_.same(query_, walk_.pool.row(i))) ++i;
  if (i == walk_.pool.size()) return false;
  const uint32_t first = walk_.pool.row(i);
  graph_.lock(first);
  const bool hung = graph_.is_twin(first) ? false : hang(row, first);
  graph_.unlock(first);
  return hung;
}

// Under the lock of `first`. Its other links move up where there is room; else one that is not the last to its row
// goes.
template <class Space>
bool Linker<Space>::hang(uint32_t row, uint32_t first) {
  uint32_t* const list = graph_.list(first, 0);
  const size_t slots = graph_.degree(0);
  size_t used = 0;
  while (used < slots && HeadGraph::load(list + used) != kNoRow) ++used;
  const uint32_t front = used == 0 ? kNoRow : HeadGraph::load(list);
  const bool has_twin = front != kNoRow && space_.same(query_, front);
  size_t to = used;  // where the link in front goes
  if (!has_twin && used == slots) {
    while (to > 0 && !graph_.lose_link(HeadGraph::load(list + to - 1), 1)) --to;
    if (to-- == 0) return false;
  }
  graph_.make_twin(row);
  if (has_twin) {
    HeadGraph::store(graph_.list(row, 0), front);
  } else if (to > 0) {
    HeadGraph::store(list + to, front);
  }
  graph_.gain_link(row);
  HeadGraph::store(list, row);
  return true;
}

template <class Space>
void Linker<Space>::choose(const typename Space::Query& query, Candidates& candidates, size_t most, float alpha) {
  const auto twin =
      std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& c) { return space_.same(query, c.row); });
  const size_t first = twin == candidates.end() ? 0 : 1;
  if (first == 1) {
    std::rotate(candidates.begin(), twin, twin + 1);
    const auto is_another = [&](const Candidate& c) { return space_.same(query, c.row); };
    candidates.erase(std::remove_if(candidates.begin() + 1, candidates.end(), is_another), candidates.end());
  }
  size_t kept = first;
  kept_.clear();
  for (size_t i = first; i < candidates.size() && kept < most; ++i) {
    if (is_shadowed(candidates[i], alpha)) continue;
    kept_.push_back(candidates[i].row);
    candidates[kept++] = candidates[i];
  }
  candidates.resize(kept);
}

// Who shadows one shadows others near it, and is asked first from then on.
template <class Space>
bool Linker<Space>::is_shadowed(const Candidate& candidate, float alpha) {
  space_.prepare(pair_, candidate.row);
  const auto scorer = space_.scorer(pair_);
  for (size_t i = 0; i < kept_.size(); i += 4) {
    uint32_t rows[4];
    uint32_t keys[4];
    for (size_t j = 0; j < 4; ++j) rows[j] = kept_[std::min(i + j, kept_.size() - 1)];
    scorer.keys4(rows, keys);
    for (size_t j = 0; j < std::min<size_t>(4, kept_.size() - i); ++j) {
      if (space_.distance(pair_, keys[j]) * alpha > candidate.distance) continue;
      std::rotate(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(i + j),
                  kept_.begin() + static_cast<ptrdiff_t>(i + j + 1));
      return true;
    }
  }
  return false;
}

template <class Space>
void Linker<Space>::read_list(uint32_t row, uint32_t level, Candidates& out) const {
  out.clear();
  const uint32_t* list = graph_.list(row, level);
  for (size_t slot = 0; slot < graph_.degree(level); ++slot) {
    const uint32_t to = HeadGraph::load(list + slot);
    if (to == kNoRow) break;
    out.push_back({0, to});
  }
}

template <class Space>
void Linker<Space>::measure_list(const typename Space::Query& query, uint32_t row, uint32_t level,
                                 Candidates& out) const {
  read_list(row, level, out);
  measure(query, out);
}

template <class Space>
void Linker<Space>::measure(const typename Space::Query& query, std::span<Candidate> out) const {
  const auto scorer = space_.scorer(query);
  for (size_t i = 0; i < out.size(); i += 4) {
    uint32_t rows[4];
    uint32_t keys[4];
    for (size_t j = 0; j < 4; ++j) rows[j] = out[std::min(i + j, out.size() - 1)].row;
    scorer.keys4(rows, keys);
    for (size_t j = 0; j < std::min<size_t>(4, out.size() - i); ++j)
      out[i + j].distance = space_.distance(query, keys[j]);
  }
}

template <class Space>
void Linker<Space>::link(uint32_t from, uint32_t level, const Candidate& to, float alpha, bool is_new) {
  graph_.lock(from);
  uint32_t* const list = graph_.list(from, level);
  const size_t slots = graph_.degree(level);
  size_t used = 0;
  while (used < slots && HeadGraph::load(list + used) != kNoRow && HeadGraph::load(list + used) != to.row) ++used;
  if (used == slots && is_new) {
    space_.prepare(other_, from);
    if (settled_) {
      displace(from, level, to, alpha);
    } else {
      measure_list(other_, from, level, old_);
      listed_ = old_;
      listed_.push_back(to);
      std::sort(listed_.begin(), listed_.end());
      choose(other_, listed_, slots, alpha);
      replace_list(from, level, listed_, old_);
    }
  } else if (used < slots && HeadGraph::load(list + used) == kNoRow) {
    if (level == 0) graph_.gain_link(to.row);
    HeadGraph::store(list + used, to.row);
  }
  graph_.unlock(from);
}

// Under the lock of `from`, which `other_` stands for and whose list is full.
template <class Space>
void Linker<Space>::displace(uint32_t from, uint32_t level, const Candidate& to, float alpha) {
  space_.prepare(pair_, to.row);
  const uint32_t* const list = graph_.list(from, level);
  const size_t slots = graph_.degree(level);
  size_t worst = slots;
  Candidate farthest{0, 0};
  bool shadows_worst = false;
  for (size_t i = 0; i < slots; i += 4) {
    const size_t n = std::min<size_t>(4, slots - i);
    Candidate there[4];
    Candidate apart[4];
    for (size_t j = 0; j < n; ++j) there[j] = apart[j] = {0, HeadGraph::load(list + i + j)};
    measure(other_, {there, n});
    measure(pair_, {apart, n});
    for (size_t j = 0; j < n; ++j) {
      if (space_.same(other_, there[j].row)) continue;  // its twin stays
      const float away = apart[j].distance * alpha;
      const bool nearer = there[j] < to;
      if (nearer && away <= to.distance) return;
      const bool shadowed = !nearer && away <= there[j].distance;
      if (nearer || (shadows_worst && !shadowed)) continue;
      if (worst == slots || shadowed != shadows_worst || farthest < there[j]) {
        worst = i + j;
        farthest = there[j];
      }
      shadows_worst = shadowed;
    }
  }
  if (worst == slots || (level == 0 && !graph_.lose_link(farthest.row, 1))) return;
  if (level == 0) graph_.gain_link(to.row);
  HeadGraph::store(graph_.list(from, level) + worst, to.row);
}

template <class Space>
void Linker<Space>::replace_list(uint32_t row, uint32_t level, Candidates& chosen, const Candidates& old) {
  const size_t slots = graph_.degree(level);
  if (level == 0) {
    Candidates held;
    for (const Candidate& gone : old) {
      if (!holds(chosen, gone.row) && !graph_.lose_link(gone.row, 1)) held.push_back(gone);
    }
    while (chosen.size() + held.size() > slots) {
      const Candidate last = chosen.back();
      chosen.pop_back();
      if (holds(old, last.row) && !graph_.lose_link(last.row, 1)) held.push_back(last);
    }
    for (const Candidate& to : chosen) {
      if (!holds(old, to.row)) graph_.gain_link(to.row);
    }
    chosen.insert(chosen.end(), held.begin(), held.end());
  }
  uint32_t* const list = graph_.list(row, level);
  for (size_t i = 0; i < slots; ++i) HeadGraph::store(list + i, i < chosen.size() ? chosen[i].row : kNoRow);
}

template <class Space>
void Linker<Space>::ensure_link(uint32_t row, const Candidates& nearest) {
  for (size_t i = 0; i < nearest.size() && graph_.in_degree(row) == 0; ++i) force_link(nearest[i].row, row);
}

template <class Space>
bool Linker<Space>::force_link(uint32_t from, uint32_t to) {
  graph_.lock(from);
  uint32_t* const list = graph_.list(from, 0);
  bool linked = false;
  for (size_t slot = graph_.degree(0); slot-- > 0 && !linked;) {
    const bool free =
        HeadGraph::load(list + slot) == kNoRow && (slot == 0 || HeadGraph::load(list + slot - 1) != kNoRow);
    const uint32_t there = HeadGraph::load(list + slot);
    if (!free && (there == kNoRow || !graph_.lose_link(there, 1))) continue;
    graph_.gain_link(to);
    HeadGraph::store(list + slot, to);
    linked = true;
  }
  graph_.unlock(from);
  return linked;
}

template class Linker<I8Space>;
template class Linker<StoredSpace>;

}  // namespace lamina
