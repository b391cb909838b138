#include "index/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "base/thread_pool.h"
#include "codes/exact.h"
#include "codes/neighbour.h"
#include "index/coarse_codes.h"
#include "index/neighbour_codes.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

constexpr uint64_t kQueriesInTurn = 4;
constexpr uint32_t kMostSamples = 1000;
constexpr uint32_t kFewSamples = 500;
constexpr float kLuck = 0.015F;        // two standard deviations between the recalls that so few and the most find
constexpr uint32_t kFewest = 64;       // tell how many bytes a walk fetches
constexpr uint32_t kSampleShare = 20;  // one row in so many: the graph must not feel the gaps
constexpr float kEnough = 0.995F;
constexpr uint32_t kMostBreadth = 600;
constexpr double kMostExtrapolated = 16;
constexpr uint32_t kUsualK = 10;
constexpr uint32_t kMostK = 100;
constexpr double kNear = 0.9;      // the share of the sample whose breadth is measured
constexpr double kFarLuck = 0.05;  // three standard deviations between those shares
constexpr uint32_t kAround = 8;  // so many times broader than usual, a walk from a row finds nearly all of its nearest
constexpr float kUsual = 0.95F;
constexpr uint64_t kCached = uint64_t{64} << 20;  // bytes of codes that may stay in a processor's caches
constexpr double kFewerBytes = 0.6;    // neighbour codes take as much memory as the vectors: they have to pay
constexpr float kCoarseLoss = 0.004F;  // of recall, at the breadth that has the usual one: what coarse codes may cost

// The least breadth for `recall` in points of one k, ascending in ef; interpolated between two of them. Recall bends
// down as ef grows, so that a straight line stays on the safe side.
double ef_in(const std::vector<Calibration::Point>& points, double recall) {
  double ef_before = 0;
  double recall_before = 0;
  for (const Calibration::Point& point : points) {
    if (point.recall >= recall) {
      if (ef_before == 0) return point.ef;
      return ef_before + (point.ef - ef_before) * (recall - recall_before) / (point.recall - recall_before);
    }
    ef_before = point.ef;
    recall_before = point.recall;
  }
  const double more = (1 - recall_before) / std::max(1 - recall, 1e-9);
  return ef_before * std::min(std::max(more, 1.0), kMostExtrapolated);
}

// A point's recall is never above that of a broader search: a sample's luck is not passed on.
std::vector<Calibration::Point> envelope(const std::vector<Calibration::Point>& points, uint32_t k) {
  std::vector<Calibration::Point> mine;
  for (const Calibration::Point& point : points) {
    if (point.k == k) mine.push_back(point);
  }
  for (size_t i = mine.size(); i > 1; --i) mine[i - 2].recall = std::min(mine[i - 2].recall, mine[i - 1].recall);
  return mine;
}

// Rows drawn without repetition among those of level 0 alone: the way down from the entry stays whole.
std::vector<uint32_t> draw_sample(const VectorSpec& spec, const Part& part, uint32_t most) {
  std::vector<bool> taken(part.rows);
  for (const uint32_t row : part.graph.upper_rows) taken[row] = true;
  taken[part.graph.entry] = true;
  const uint32_t wanted = std::min(most, part.rows / kSampleShare);
  std::vector<uint32_t> sample;
  Random random(spec.seed + part.rows);
  for (uint32_t tries = 0; sample.size() < wanted && tries < 4 * wanted; ++tries) {
    const auto row = static_cast<uint32_t>(random.uniform(part.rows));
    if (taken[row]) continue;
    taken[row] = true;
    sample.push_back(row);
  }
  return sample;
}

// Level 0 as if these rows had never been there: what linked to one of them links to the first of its neighbours
// instead that it had no link to, as one that it would have had.
AlignedBuffer thin_links(const Part& part, const Bitmap& without) {
  const size_t degree = part.graph.degree;
  AlignedBuffer links(size_t{part.rows} * degree * sizeof(uint32_t));
  auto* out = reinterpret_cast<uint32_t*>(links.data());
  for (uint32_t row = 0; row < part.rows; ++row, out += degree) {
    const uint32_t* const list = part.graph.level0 + row * degree;
    uint32_t* end = out;
    const auto add_first_of = [&](const uint32_t* from, size_t n) {
      for (size_t i = 0; i < n && from[i] != kNoRow; ++i) {
        if (from[i] == row || without.test(from[i]) || std::find(out, end, from[i]) != end) continue;
        *end++ = from[i];
        return;
      }
    };
    for (size_t i = 0; i < degree && list[i] != kNoRow; ++i) add_first_of(list + i, 1);
    for (size_t i = 0; i < degree && list[i] != kNoRow; ++i) {
      if (without.test(list[i])) add_first_of(part.graph.level0 + size_t{list[i]} * degree, degree);
    }
    std::fill(end, out + degree, kNoRow);
  }
  return links;
}

class Trial {
 public:
  // Of `most` rows and for `most_k` neighbours, or as many as there are. The true ones are found by scans; or, where
  // `around` is not 0, by walks of that breadth from the rows themselves, in the graph that still has them.
  Trial(const VectorSpec& spec, const Part& part, uint32_t most, uint32_t most_k, uint32_t around, int threads)
      : spec_(spec), threads_(threads), sample_(draw_sample(spec, part, most)) {
    const Bitmap held_out = Bitmap(part.rows).with(sample_);
    thinned_ = std::make_shared<Part>(part);
    view_.spec = spec;
    view_.parts.push_back({thinned_, held_out});
    view_.live = part.rows - sample_.size();
    query_bytes_ = spec.given_bytes();
    queries_.resize(sample_.size() * query_bytes_);
    for (size_t i = 0; i < sample_.size(); ++i) {
      const std::byte* vector = part.vectors + size_t{sample_[i]} * spec.vector_bytes();
      std::byte* query = queries_.data() + i * query_bytes_;
      if (spec.dtype == DType::kBits) {
        std::copy_n(vector, query_bytes_, query);
      } else {
        load_vector(spec, vector, reinterpret_cast<float*>(query));
      }
    }
    most_k_ = static_cast<uint32_t>(std::min<uint64_t>(most_k, view_.live));
    truth_ = around == 0 ? search({.k = most_k_, .exact = true}, sample_.size()) : look_around(around);
    links_ = thin_links(part, held_out);
    thinned_->graph.level0 = reinterpret_cast<const uint32_t*>(links_.data());
    view_.parts[0].deleted = Bitmap(part.rows);  // they cannot be reached any more
  }

  uint32_t most_k() const { return most_k_; }
  void walk_on(const uint8_t* coarse_codes) { thinned_->coarse_codes = coarse_codes; }  // null: the finer ones
  void walk_by_neighbours() { add_neighbour_codes(spec_, *thinned_, threads_); }
  void walk_on_nodes() { thinned_->neighbour_codes = nullptr; }

  // Bytes that a walk fetches, of some queries together.
  uint64_t fetched(uint32_t k, uint32_t ef) const {
    const size_t asked = std::min<size_t>(queries(k), kFewest);
    std::vector<SearchStep> steps;
    std::vector<Hit> hits(k);
    uint64_t measured = 0;
    for (size_t q = 0; q < asked; ++q) {
      steps.clear();
      view_.search(queries_.data() + q * query_bytes_, {.k = k, .ef = ef, .steps = &steps}, hits.data());
      for (const SearchStep& step : steps) measured += step.measured;
    }
    return measured * row_bytes();
  }

  bool empty() const { return sample_.empty(); }

  // See Calibration::Point.
  float far(uint32_t k) const {
    std::vector<float> distances(queries(k));
    for (size_t q = 0; q < distances.size(); ++q) distances[q] = away(q, k);
    const auto nth = distances.begin() + static_cast<ptrdiff_t>(kNear * static_cast<double>(distances.size() - 1));
    std::nth_element(distances.begin(), nth, distances.end());
    return *nth;
  }

  // The share of the queries that are not beyond `far`.
  double near(uint32_t k, float far) const {
    size_t found = 0;
    for (size_t q = 0; q < queries(k); ++q) found += away(q, k) <= far;
    return static_cast<double>(found) / static_cast<double>(queries(k));
  }

  // Of these.
  float recall(uint32_t k, uint32_t ef, float far) const {
    const std::vector<Hit> hits = search({.k = k, .ef = ef}, queries(k));
    size_t found = 0;
    size_t wanted = 0;
    for (size_t q = 0; q < queries(k); ++q) {
      if (away(q, k) > far) continue;
      wanted += k;
      for (size_t i = 0; i < k; ++i) found += hits[q * k + i].distance <= farthest(q, k);
    }
    return wanted == 0 ? 0 : static_cast<float>(found) / static_cast<float>(wanted);
  }

 private:
  // What one measured row has fetched.
  size_t row_bytes() const {
    const size_t links = thinned_->graph.degree * sizeof(uint32_t);
    if (thinned_->neighbour_codes != nullptr) {
      return neighbour_stride(spec_, thinned_->graph.degree) + thinned_->code_stride + links;
    }
    return thinned_->coarse_codes != nullptr ? i4_stride(spec_) : thinned_->code_stride;
  }
  // Where each has many neighbours, fewer do.
  size_t queries(uint32_t k) const { return k >= kMostK ? (sample_.size() + 3) / 4 : sample_.size(); }
  float farthest(size_t query, uint32_t k) const { return truth_[query * most_k_ + k - 1].distance; }
  float away(size_t query, uint32_t k) const {
    return at_length_one(spec_, queries_.data() + query * query_bytes_, farthest(query, k));
  }

  std::vector<Hit> search(const SearchOptions& options, size_t queries) const {
    std::vector<Hit> hits(queries * options.k);
    std::vector<uint32_t> counts(queries);
    view_.search_batch(queries_.data(), queries, options, threads_, hits.data(), counts.data());
    for (size_t q = 0; q < queries; ++q) fill_up(std::span(hits).subspan(q * options.k, options.k), counts[q]);
    return hits;
  }

  // REQUIRES: the graph is not thinned yet.
  std::vector<Hit> look_around(uint32_t ef) const {
    std::vector<Hit> hits(sample_.size() * most_k_);
    const auto workers = static_cast<unsigned>(std::max(threads_, 0));
    parallel_for(0, sample_.size(), kQueriesInTurn, workers, [&](uint64_t begin, uint64_t end, unsigned) {
      const auto entered = std::make_shared<Part>(*thinned_);
      entered->graph.upper_counts = {};  // its search begins at a row of level 0
      View view = view_;
      view.parts[0].part = entered;
      for (uint64_t q = begin; q < end; ++q) {
        entered->graph.entry = sample_[q];
        const std::span<Hit> mine = std::span(hits).subspan(q * most_k_, most_k_);
        fill_up(mine, view.search(queries_.data() + q * query_bytes_, {.k = most_k_, .ef = ef}, mine.data()));
      }
    });
    return hits;
  }

  static void fill_up(std::span<Hit> hits, size_t found) {
    for (Hit& hit : hits.subspan(found)) hit = {std::numeric_limits<float>::infinity(), 0, 0};
  }

  const VectorSpec spec_;
  const int threads_;
  const std::vector<uint32_t> sample_;
  AlignedBuffer links_;
  std::shared_ptr<Part> thinned_;
  View view_;
  size_t query_bytes_;
  std::vector<std::byte> queries_;
  uint32_t most_k_;
  std::vector<Hit> truth_;  // most_k_ a query
};

// Calls visit(ef) for growing breadths, until it returns false.
template <class Visit>
void for_each_breadth(const Part& part, uint32_t k, Visit&& visit) {
  for (uint32_t ef = std::max(k, 8U); ef < part.rows / 8; ef += (ef + 2) / 3) {
    if (!visit(ef) || ef >= kMostBreadth) break;
  }
}

struct Reached {
  uint32_t ef = 0;  // 0: none was tried
  float recall = 0;
};

// The first breadth that finds the usual share of ten; where none does, the last that was tried.
Reached reach_usual(const Trial& trial, const Part& part) {
  const float far = trial.far(kUsualK);
  Reached reached;
  for_each_breadth(part, kUsualK, [&](uint32_t ef) {
    reached = {ef, trial.recall(kUsualK, ef, far)};
    return reached.recall < kUsual;
  });
  return reached;
}

bool codes_leave_cache(const VectorSpec& spec, const Part& part) {
  return uint64_t{part.rows} * (part.coarse_codes != nullptr ? i4_stride(spec) : part.code_stride) > kCached;
}

// Whether walks are to go by neighbour codes: as asked for, else where the codes of the rows do not stay in the
// processor's caches, and fewer bytes are fetched. The trial goes on with what is.
bool neighbour_codes_do(Trial& trial, const VectorSpec& spec, const Part& part) {
  if (part.codes == nullptr || spec.layout == Layout::kNodes) return false;
  if (spec.layout == Layout::kNeighbours) {
    trial.walk_by_neighbours();
    return true;
  }
  if (trial.most_k() < kUsualK || !codes_leave_cache(spec, part)) return false;
  const Reached nodes = reach_usual(trial, part);
  if (nodes.recall < kUsual) return false;
  const uint64_t most = trial.fetched(kUsualK, nodes.ef);
  trial.walk_by_neighbours();
  const Reached neighbours = reach_usual(trial, part);
  const bool do_well = neighbours.recall >= kUsual && static_cast<double>(trial.fetched(kUsualK, neighbours.ef)) <
                                                          kFewerBytes * static_cast<double>(most);
  if (!do_well) trial.walk_on_nodes();
  return do_well;
}

// Whether walks on the part's coarse codes find as much as those on the finer ones. The trial goes on with what does.
bool coarse_codes_do(Trial& trial, const Part& part) {
  if (part.coarse_codes == nullptr || trial.most_k() < kUsualK) return false;
  const Reached coarse = reach_usual(trial, part);
  trial.walk_on(nullptr);
  const bool do_well =
      coarse.ef > 0 && trial.recall(kUsualK, coarse.ef, trial.far(kUsualK)) <= coarse.recall + kCoarseLoss;
  if (do_well) trial.walk_on(part.coarse_codes);
  return do_well;
}

}  // namespace

uint32_t Calibration::ef_for(float recall, uint32_t k) const {
  if (points.empty()) return static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(64, uint64_t{k} * 2), kNoRow));
  double k_before = 0;
  double ef_before = 0;
  for (size_t i = 0; i < points.size();) {
    const uint32_t here = points[i].k;
    const double ef = ef_in(envelope(points, here), recall);
    if (k <= here && k_before == 0) return static_cast<uint32_t>(std::max<double>(ef, k) + 0.999);
    if (k <= here) {
      const double between = ef_before + (ef - ef_before) * (k - k_before) / (here - k_before);
      return static_cast<uint32_t>(std::max<double>(between, k) + 0.999);
    }
    k_before = here;
    ef_before = ef;
    while (i < points.size() && points[i].k == here) ++i;
  }
  return static_cast<uint32_t>(std::min<double>(std::max<double>(ef_before * k / k_before, k) + 0.999, kNoRow));
}

float Calibration::far_for(double k) const {
  const Point* below = nullptr;
  const Point* above = nullptr;
  for (const Point& point : points) {
    if (above != nullptr && (above->k >= k || above->k == point.k)) continue;
    below = above;
    above = &point;
  }
  if (above == nullptr || (below == nullptr && above->k < k)) return std::numeric_limits<float>::infinity();
  if (below == nullptr) return above->far;
  const double share = std::log(k / below->k) / std::log(static_cast<double>(above->k) / below->k);
  return below->far + static_cast<float>(share) * (above->far - below->far);
}

void calibrate(const VectorSpec& spec, Part& part, int threads) {
  part.calibration = {};
  if (part.graph.entry == kNoRow) return;
  add_coarse_codes(spec, part, threads);
  Trial trial(spec, part, kMostSamples, kMostK, 0, threads);
  if (trial.empty()) return drop_coarse_codes(part);
  if (!coarse_codes_do(trial, part)) drop_coarse_codes(part);
  if (neighbour_codes_do(trial, spec, part)) {
    drop_coarse_codes(part);
    add_neighbour_codes(spec, part, threads);
  }
  for (const uint32_t k : {1U, kUsualK, kMostK}) {
    if (k > trial.most_k()) break;
    const float far = trial.far(k);
    for_each_breadth(part, k, [&](uint32_t ef) {
      const float recall = trial.recall(k, ef, far);
      part.calibration.points.push_back({k, ef, recall, far});
      return recall < kEnough;
    });
  }
}

void recalibrate(const VectorSpec& spec, Part& part, const Part& base, int threads) {
  const auto& points = base.calibration.points;
  const auto point = std::find_if(points.begin(), points.end(),
                                  [](const Calibration::Point& p) { return p.k == kUsualK && p.recall >= kUsual; });
  if (point == points.end()) return calibrate(spec, part, threads);
  if (base.coarse_codes != nullptr) add_coarse_codes(spec, part, threads);
  const bool by_neighbours = base.neighbour_codes != nullptr;
  if (!by_neighbours && spec.layout != Layout::kNodes && codes_leave_cache(spec, part) &&
      !codes_leave_cache(spec, base)) {
    drop_coarse_codes(part);
    return calibrate(spec, part, threads);
  }
  // By inner product what a walk misses it misses at any breadth.
  const uint32_t around = spec.metric == Metric::kIp ? 0 : kAround * point->ef;
  Trial trial(spec, part, kFewSamples, kUsualK, around, threads);
  if (by_neighbours && !trial.empty()) trial.walk_by_neighbours();
  const bool stands = !trial.empty() && trial.most_k() >= kUsualK &&
                      trial.near(kUsualK, point->far) >= kNear - kFarLuck &&
                      trial.recall(kUsualK, point->ef, point->far) >= point->recall - kLuck;
  if (!stands) {
    drop_coarse_codes(part);
    return calibrate(spec, part, threads);
  }
  part.calibration = base.calibration;
  if (by_neighbours) add_neighbour_codes(spec, part, threads);
}

}  // namespace lamina
