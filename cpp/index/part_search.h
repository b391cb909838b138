// One query in one part of a view, or in its head: how it is searched, and when it has been searched enough.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <type_traits>
#include <vector>

#include "index/find_near.h"
#include "index/neighbour_walk.h"
#include "index/passing_walk.h"
#include "index/scan.h"

namespace lamina {

// What a thread needs for a search, kept from one to the next.
struct Scratch {
  static constexpr size_t kGroup = 16;  // queries that share the rows in cache during an exact batch

  std::array<ExactQuery, kGroup> queries;
  std::array<TopK, kGroup> tops;
  TopK probe;
  CodedQuery coded;
  Walk walk;
  std::vector<uint32_t> chosen;
  Gathered gathered;
  std::vector<float> distances;
  std::vector<uint64_t> keyed;     // of the chosen: key and row
  std::vector<uint32_t> anchored;  // rows of the head that lie near what the largest part has found
  bool anchors_known = false;      // whether these are all of them
  double broader = 1;              // than measured, what is not the largest part is searched
};

// The search of the first of mine.queries for the first of mine.tops, which may hold hits of other parts. `graph` is
// null where there is none. Scans what passes where that is expected to cost less than a walk does.
template <class Rows, class Graph>
class PartSearch {
 public:
  PartSearch(const View& view, size_t part, const Rows& rows, const Live& live, const Graph* graph,
             const SearchOptions& options, Scratch& mine)
      : view_(view),
        part_(part),
        rows_(rows),
        live_(live),
        graph_(graph),
        options_(options),
        mine_(mine),
        count_(live.count()),
        wanted_(std::min<uint64_t>(options.k, count_)),
        alone_(mine.tops[0].size() == 0),
        steps_over_(count_ < live.rows / kDropped) {}

  void run() {
    if (count_ == 0) return;
    if (!options_.exact && graph_ != nullptr && (walk_nearer() || walk() || scan_codes())) return;
    step(Method::kScan, 0, [&] {
      scan(rows_, live_, {mine_.queries.data(), 1}, {mine_.tops.data(), 1}, mine_.gathered);
      return count_;
    });
  }

 private:
  using Method = SearchStep::Method;

  static constexpr uint64_t kDropped = 6;  // of so many rows one passes at least where the others are only dropped
  static constexpr size_t kTwinShare = 8;  // so many times the rows to rank may be looked at where many have one code
  static constexpr size_t kNarrowest = 8;  // the breadth that a walk begins with where hardly any of the nearest are
  static constexpr size_t kFromNear = 16;  // a walk from its anchors is so many times narrower than asked, and no more
  static constexpr size_t kRankedAtOnce = 128;  // rows, which there must be room for where they have to be read
  static constexpr uint64_t kFewRows = 64;      // are as soon measured on their vectors as on their codes

  // Where a query is far from the rows, a walk is at first so many times broader, and then so many times again; the
  // former as many times more as it is farther, but no more than that. Where many rows fail, it is always broader.
  static constexpr double kBroader = 4;
  static constexpr double kBroaderStill = 2;
  static constexpr double kFarthest = 4;
  static constexpr double kFiltered = 1.5;

  // A walk costs what scanning so many rows does, for each row of its breadth: where few rows are dropped in the end,
  // and where many are, or are stepped over, and the rows are scanned on codes. Measured: see bench/README.md.
  static constexpr uint64_t kStep = 8;
  static constexpr uint64_t kDrop = 50;
  static constexpr uint64_t kEnds = 32;  // the way down to it and its ranking cost as much as so many of its breadth
  static constexpr uint64_t kStepOver = 450;

  // Calls fn, which does one step and returns how many rows it measured.
  template <class Fn>
  void step(Method method, size_t breadth, Fn&& fn) {
    if (options_.steps == nullptr) {
      fn();
      return;
    }
    using Clock = std::chrono::steady_clock;
    const auto began = Clock::now();
    const uint64_t measured = fn();
    const std::chrono::nanoseconds took = Clock::now() - began;
    options_.steps->push_back({method, static_cast<uint32_t>(part_), live_.rows, count_, static_cast<uint32_t>(breadth),
                               measured, took.count()});
  }

  // How many of the nearest by code are measured on their stored vectors.
  size_t rank_count() const { return std::max(2 * wanted_, wanted_ + 16); }

  // How many of the nearest by coarse codes are measured on the finer ones, and how many of these on vectors. Measured:
  // see bench/README.md.
  size_t coarse_count(size_t breadth) const { return std::max({4 * wanted_, wanted_ + 30, breadth / 2}); }
  size_t fine_count() const { return wanted_ + std::max<size_t>(wanted_ / 2, 6); }
  // So much broader, a walk on them finds what one on the finer codes does; and one by neighbour codes, about.
  size_t neighbour_breadth(size_t ef) const { return ef + ef / 2; }
  size_t coarse_breadth(size_t ef) const { return std::max(ef + ef / 8 + 4, wanted_ + wanted_ / 4); }

  // What was measured for queries beside which rows lie: what passes a filter may lie farther.
  double measured_breadth(const Part& part) const {
    return part.calibration.ef_for(options_.recall, options_.k) * (many_fail() ? kFiltered : 1);
  }
  double measured_breadth(const HeadGraph&) const { return Calibration{}.ef_for(options_.recall, options_.k); }

  size_t asked_breadth() const {
    if (options_.ef != 0) return std::max<size_t>(options_.ef, wanted_);
    const double measured = measured_breadth(*graph_);
    return std::max(static_cast<size_t>(alone_ ? measured : measured * mine_.broader), wanted_);
  }

  // How broad the first walk is: as asked, but where k hits of larger parts are there already, as broad as twice this
  // part's share of the rows.
  size_t first_breadth(size_t ef) const {
    if (!mine_.tops[0].full()) return ef;
    return std::min(ef, std::max(kNarrowest, static_cast<size_t>(2 * ef * count_ / view_.live)));
  }

  bool many_fail() const { return !live_.has_most(); }

  // Whether of the nearest `n` rows in the pool at least half as many pass as of all.
  bool pass_nearby(size_t n) const {
    size_t found = 0;
    n = std::min(n, mine_.walk.pool.size());
    for (size_t i = 0; i < n; ++i) found += live_(mine_.walk.pool.row(i));
    return 2 * found * live_.rows >= n * count_;
  }

  // The capacity of a pool of all rows that is to hold `breadth` that pass: with some to spare where it is by luck.
  size_t capacity(size_t breadth) const {
    if (many_fail()) breadth += breadth / 8;
    return (breadth * live_.rows + count_ - 1) / count_;
  }

  bool scan_is_as_cheap(size_t breadth) const {
    const bool dear = many_fail() && has_codes(view_.spec, *graph_);
    const uint64_t walk = steps_over_ ? breadth * kStepOver : (capacity(breadth) + kEnds) * kDrop;
    return (dear ? walk : capacity(breadth) * kStep) >= count_;
  }

  // Whether the head was searched for what is nearer than the k hits that are there already: from its rows near these,
  // or, if there are none, from the top.
  bool walk_nearer() {
    if constexpr (std::is_same_v<Graph, HeadGraph>) {
      const size_t ef = asked_breadth();
      if (!mine_.tops[0].full() || many_fail() || ef >= count_) return false;
      const size_t least = mine_.anchors_known ? std::max<size_t>(ef / kFromNear, 1) : kNarrowest;
      choose(Method::kWalk, least, rank_count(), [&](const auto& scorer) {
        if (mine_.anchored.empty()) mine_.anchored.push_back(descend_from_top(*graph_, scorer, mine_.walk.fresh));
        const Breadth nearer(capacity(ef), least, scorer.key_at(mine_.tops[0].bound()));
        const size_t measured = walk_level(bottom(*graph_), scorer, mine_.anchored, nearer, mine_.walk);
        mine_.walk.pool.keep_expanded();
        return measured;
      });
      rank();
      return true;
    }
    return false;
  }

  // Whether a walk has found what there is to find here. It grows where rows that pass lie thin, until it holds what it
  // was to hold, or a scan is as cheap; first of all it begins to step over those that do not. It grows too where it
  // was narrow, and found many of the nearest.
  bool walk() {
    const size_t ef = asked_breadth();
    size_t broad = first_breadth(ef);
    for (size_t spread = 1; !scan_is_as_cheap(broad * spread);) {
      const size_t met = steps_over_ ? walk_over(broad * spread) : walk_all(capacity(broad * spread));
      const bool has_all = !mine_.walk.pool.has_next() && mine_.walk.pool.size() < mine_.walk.pool.capacity();
      const size_t least = std::min(wanted_, broad);
      // What passes lies elsewhere; or the rest cannot be reached, from one island of several.
      if (astray_ || (has_all && met < (steps_over_ ? std::min<size_t>(broad, count_) : least))) return false;
      if (many_fail() && !steps_over_ && (met < broad * 7 / 8 || !pass_nearby(broad))) {
        steps_over_ = true;
      } else if (met < least || (met < broad * 3 / 4 && !has_all)) {
        spread *= 2;
      } else if (broad < ef && !has_all && !reaches_beyond()) {
        broad = std::min(2 * broad, ef);
      } else {
        rank();
        return look_farther(broad * spread);
      }
    }
    return false;
  }

  // The breadth was measured with rows, of which a query may be farther than they are from each other: then it does
  // not do, by much, for questions from another source than the rows. So a walk that has ended far away is done again,
  // broader, until it finds nothing new; which it may, but for a tenth of the hits, the first time. What is searched
  // after this part is searched so much broader too. False where a scan is as cheap.
  bool look_farther(const size_t breadth) {
    if constexpr (std::is_same_v<Graph, Part>) {
      TopK& top = mine_.tops[0];
      if (options_.ef != 0 || !alone_ || many_fail() || !top.full()) return true;
      const double k = static_cast<double>(wanted_ * live_.rows) / static_cast<double>(count_);  // among all rows
      const float far = graph_->calibration.far_for(k);
      const float away = at_length_one(view_.spec, mine_.queries[0].given(), top.bound());
      if (away <= far) return true;
      mine_.broader = kBroader * (far > 0 ? std::min<double>(away / far, kFarthest) : 1);
      for (size_t may_be_new = wanted_ / 10;; may_be_new = 0) {
        const float before = top.distance_of_nearest(wanted_ - may_be_new, mine_.distances);
        const auto broader = static_cast<size_t>(static_cast<double>(breadth) * mine_.broader);
        top.clear();
        if (scan_is_as_cheap(broader) || walk_all(capacity(broader)) < wanted_) return false;
        rank();
        if (before <= top.bound()) return true;
        mine_.broader *= kBroaderStill;
      }
    }
    return true;
  }

  size_t walk_all(size_t capacity) {
    if constexpr (std::is_same_v<Graph, Part>) {
      if (graph_->neighbour_codes != nullptr) return walk_by_neighbours(neighbour_breadth(capacity));
      if (graph_->coarse_codes != nullptr) return walk_coarsely(coarse_breadth(capacity));
    }
    return choose(Method::kWalk, capacity, rank_count(),
                  [&](const auto& scorer) { return find_near(*graph_, scorer, capacity, mine_.walk); });
  }

  // On coarse codes; of what they choose, the finer ones choose again.
  size_t walk_coarsely(size_t capacity) {
    size_t met = 0;
    step(Method::kWalk, capacity, [&] {
      uint64_t measured = 0;
      with_walk_scorer(view_.spec, *graph_, rows_, mine_.queries[0], mine_.coded, [&](const auto& scorer) {
        measured = find_near(*graph_, scorer, capacity, mine_.walk);
        met = choose_from_pool(scorer, coarse_count(capacity));
      });
      return measured + with_codes(*graph_, [&](const auto& codes) {
               return keep_nearest(I8Scorer(mine_.coded.fine, codes, graph_->code_stride), fine_count());
             });
    });
    return met;
  }

  size_t walk_by_neighbours(size_t capacity) {
    size_t met = 0;
    step(Method::kWalk, capacity, [&] {
      const ExactQuery& query = mine_.queries[0];
      CodedQuery& coded = mine_.coded;
      coded.fine.prepare(view_.spec, graph_->i8, query.direction());
      coded.neighbours.prepare(view_.spec, graph_->i8, coded.fine, query.direction());
      return with_codes(*graph_, [&](const auto& fine) {
        const I8Scorer scorer(coded.fine, fine, graph_->code_stride);
        const uint32_t entry = descend_from_top(*graph_, scorer, mine_.walk.fresh);
        const size_t measured = with_neighbour_codes(view_.spec, *graph_, [&](const auto& codes) {
          return walk_neighbours(bottom(*graph_), scorer, codes, coded.neighbours, entry, capacity, mine_.walk);
        });
        met = choose_from_pool(scorer, fine_count());
        return measured;
      });
    });
    return met;
  }

  // A graph without most of its rows has fewer links to follow: it takes a walk that is twice as broad.
  size_t walk_over(size_t breadth) {
    breadth *= 2;
    return choose(Method::kWalkPassing, breadth, rank_count(), [&](const auto& scorer) {
      const uint32_t entry = descend_from_top(*graph_, scorer, mine_.walk.fresh);
      const PassingWalk done = walk_passing(bottom(*graph_), scorer, entry, live_, breadth, mine_.walk);
      astray_ = done.astray;
      return done.measured;
    });
  }

  // Whether the codes told the nearest rows apart. Not asked where the breadth is all there is: then the answer is
  // exact.
  bool scan_codes() {
    if (!has_codes(view_.spec, *graph_) || count_ <= kFewRows || asked_breadth() >= count_) return false;
    // Of many rows many may lie as near as the codes can tell.
    const size_t more = std::min<uint64_t>(count_ / 64, 512);
    choose(Method::kScanCodes, 0, rank_count() + more, [&](const auto& scorer) {
      mine_.walk.pool.reset(rank_count() + more);
      mine_.walk.twins.clear();
      lamina::scan_codes(live_, scorer, mine_.walk.pool);
      return count_;
    });
    const Pool& pool = mine_.walk.pool;
    if (pool.size() == pool.capacity() && pool.key(wanted_ - 1) == pool.key(pool.size() - 1)) return false;
    rank();
    return true;
  }

  // One step: puts rows into the pool by fill(scorer), which returns how many it measured, and the nearest live ones of
  // these into mine.chosen: `most`, and those that only the stored vectors tell from them. Returns how many live ones
  // were met, those of the chosen at least.
  template <class Fill>
  size_t choose(Method method, size_t breadth, size_t most, Fill&& fill) {
    size_t met = 0;
    step(method, breadth, [&] {
      uint64_t measured = 0;
      with_scorer(view_.spec, *graph_, rows_, mine_.queries[0], mine_.coded, [&](const auto& scorer) {
        measured = fill(scorer);
        met = choose_from_pool(scorer, most);
      });
      return measured;
    });
    return met;
  }

  // Keeps no more of the chosen than these, the nearest to `scorer`; returns how many it measured.
  template <class Scorer>
  size_t keep_nearest(const Scorer& scorer, size_t most) {
    std::vector<uint32_t>& chosen = mine_.chosen;
    const size_t n = chosen.size();
    if (n <= most) return 0;
    for (const uint32_t row : chosen) scorer.prefetch(row);
    chosen.insert(chosen.end(), 3, chosen.back());
    mine_.keyed.clear();
    for (size_t i = 0; i < n; i += 4) {
      uint32_t keys[4];
      scorer.keys4(&chosen[i], keys);
      for (size_t j = 0; j < 4; ++j) mine_.keyed.push_back(uint64_t{keys[j]} << 32 | chosen[i + j]);
    }
    mine_.keyed.resize(n);
    std::nth_element(mine_.keyed.begin(), mine_.keyed.begin() + static_cast<ptrdiff_t>(most), mine_.keyed.end());
    chosen.resize(most);
    for (size_t i = 0; i < most; ++i) chosen[i] = static_cast<uint32_t>(mine_.keyed[i]);
    return n;
  }

  template <class Scorer>
  size_t choose_from_pool(const Scorer& scorer, size_t most) {
    const auto level = bottom(*graph_);
    size_t met = 0;
    mine_.chosen.clear();
    const bool twice = steps_over_ && !mine_.walk.twins.empty();  // a chain may have been come to at two places
    const auto take = [&](uint32_t row, size_t limit) {
      if (!live_(row)) return;
      if (twice && std::find(mine_.chosen.begin(), mine_.chosen.end(), row) != mine_.chosen.end()) return;
      ++met;
      if (mine_.chosen.size() < limit) mine_.chosen.push_back(row);
    };
    for (size_t i = 0; i < mine_.walk.pool.size(); ++i) {
      const uint32_t row = mine_.walk.pool.row(i);
      take(row, most);
      for_each_twin(level, scorer, row, mine_.walk, [&](uint32_t twin) {
        take(twin, most * kTwinShare);
        return mine_.chosen.size() < most * kTwinShare;
      });
    }
    return met;
  }

  // Whether what lies in the middle of what a walk has chosen is farther than all of the nearest found elsewhere: then
  // a broader one would hardly find more of them.
  bool reaches_beyond() {
    const uint32_t middle = mine_.chosen[mine_.chosen.size() / 2];
    mine_.probe.reset(1, nullptr);
    measure(rows_, mine_.queries[0], {&middle, 1}, rows_.gather({&middle, 1}, mine_.gathered), mine_.probe);
    return mine_.probe.bound() > mine_.tops[0].bound();
  }

  // Offers the chosen at their distances on stored vectors.
  void rank() {
    const std::span<const uint32_t> chosen = mine_.chosen;
    for (size_t at = 0; at < chosen.size(); at += kRankedAtOnce) {
      const auto some = chosen.subspan(at, std::min(kRankedAtOnce, chosen.size() - at));
      for (const uint32_t row : some) rows_.prefetch(row);
      measure(rows_, mine_.queries[0], some, rows_.gather(some, mine_.gathered), mine_.tops[0]);
    }
  }

  const View& view_;
  const size_t part_;
  const Rows& rows_;
  const Live& live_;
  const Graph* const graph_;
  const SearchOptions& options_;
  Scratch& mine_;
  const uint64_t count_;  // rows that pass
  const size_t wanted_;
  const bool alone_;  // nothing was found elsewhere before
  // Whether rows that do not pass are stepped over, rather than walked through and dropped in the end: which costs less
  // until hardly any row passes, or few of those near the query do. Measured: see bench/README.md.
  bool steps_over_;
  bool astray_ = false;  // a walk was given up
};

}  // namespace lamina
