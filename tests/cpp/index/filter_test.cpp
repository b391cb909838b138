// Goal: a search of a view from which a filter has taken rows returns the nearest of those that are left: always as
// many as there are, up to k, and nearly always the right ones, however few pass and wherever they lie. Method: seeded
// clusters in two sealed parts and a head, with dead rows; filters of many sizes that have nothing to do with the
// query, or keep what is nearest or farthest; brute force in double.
#include <gtest/gtest.h>

#include <numeric>

#include "index/id_filter.h"
#include "index/rows.h"
#include "index/synthetic.h"

namespace lamina {
namespace {

using testing::add;
using testing::clustered;
using testing::graph_spec;
using testing::nearest;
using testing::numbers;
using testing::search;

constexpr uint32_t kFilteredRows = 6000;

// Rows 0 .. 5999, a tenth of them dead: half in one part, a quarter in another, the rest in a head that has a graph.
class Set {
 public:
  Set(const VectorSpec& spec, const std::vector<float>& vectors) : set_(spec) {
    add(set_, vectors, 0, kFilteredRows / 2);
    set_.replace_head(set_.freeze_head(1));
    add(set_, vectors, kFilteredRows / 2, kFilteredRows / 4 * 3);
    set_.replace_head(set_.freeze_head(1));
    add(set_, vectors, kFilteredRows / 4 * 3, kFilteredRows);
    std::vector<uint64_t> dead;
    for (uint64_t rid = 3; rid < kFilteredRows; rid += 10) dead.push_back(rid);
    set_.erase(dead);
  }

  std::shared_ptr<const View> view() const { return set_.view(); }
  static std::vector<uint64_t> live() {
    std::vector<uint64_t> rids = numbers(0, kFilteredRows);
    std::erase_if(rids, [](uint64_t rid) { return rid % 10 == 3; });
    return rids;
  }

 private:
  VectorSet set_;
};

enum class Where { kAnywhere, kNearest, kFarthest };

// `count` of these rids, for a filter to let pass.
std::vector<uint64_t> passing(const VectorSpec& spec, const std::vector<float>& vectors,
                              const std::vector<uint64_t>& from, const float* query, size_t count, Where where,
                              Random& random) {
  std::vector<std::pair<double, uint64_t>> order;
  for (const uint64_t rid : from) {
    const double distance = testing::true_distance(spec, query, &vectors[rid * spec.dim]);
    order.emplace_back(where == Where::kAnywhere  ? random.unit()
                       : where == Where::kNearest ? distance
                                                  : -distance,
                       rid);
  }
  std::sort(order.begin(), order.end());
  std::vector<uint64_t> rids;
  for (size_t i = 0; i < count; ++i) rids.push_back(order[i].second);
  return rids;
}

struct Kind {
  Metric metric;
  DType dtype;
  CodeKind codes;
};

class Filters : public ::testing::TestWithParam<Kind> {};

TEST_P(Filters, FindTheNearestThatPass) {
  const uint32_t dim = 32;
  const VectorSpec spec = graph_spec(dim, GetParam().metric, GetParam().dtype, GetParam().codes);
  std::vector<float> vectors = clustered(kFilteredRows, dim, 11);
  for (float& x : vectors) x = std::round(x * 64) / 64;  // exact in float16
  const Set set(spec, vectors);
  const std::vector<float> queries = clustered(8, dim, 12);
  Random random(13);
  for (const size_t count : {2700UL, 1620UL, 540UL, 54UL, 10UL, 3UL, 0UL}) {
    for (const Where where : {Where::kAnywhere, Where::kNearest, Where::kFarthest}) {
      size_t found = 0;
      size_t wanted = 0;
      for (size_t q = 0; q < 8; ++q) {
        const float* query = &queries[q * dim];
        const std::vector<uint64_t> rids = passing(spec, vectors, Set::live(), query, count, where, random);
        std::vector<uint64_t> asked = rids;
        for (uint64_t rid = 3; rid < kFilteredRows; rid += 100) asked.push_back(rid);  // the dead stay dead
        const auto view = IdFilter(asked).narrow(set.view());
        ASSERT_EQ(view->live, count);
        const auto truth = nearest(spec, vectors, rids, query, 10);
        for (const bool exact : {true, false}) {
          const std::vector<Hit> hits =
              count == 0 ? std::vector<Hit>() : search(*view, query, {.k = 10, .exact = exact});
          ASSERT_EQ(hits.size(), truth.size()) << count;
          std::set<uint64_t> seen;
          for (size_t i = 0; i < hits.size(); ++i) {
            const double told = testing::true_distance(spec, query, &vectors[hits[i].rid * dim]);
            EXPECT_NEAR(hits[i].distance, told, 1e-4 * (1 + std::abs(told)));
            EXPECT_NE(std::find(rids.begin(), rids.end(), hits[i].rid), rids.end());
            EXPECT_TRUE(seen.insert(hits[i].rid).second);
            if (exact) {
              EXPECT_NEAR(told, truth[i].first, 1e-4 * (1 + std::abs(told)));
            }
          }
          if (exact) continue;
          wanted += truth.size();
          for (const auto& [distance, rid] : truth) found += seen.count(rid);
        }
      }
      EXPECT_GE(static_cast<double>(found), 0.94 * static_cast<double>(wanted))
          << count << " " << static_cast<int>(where);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Filters,
                         ::testing::Values(Kind{Metric::kL2, DType::kF32, CodeKind::kI8},
                                           Kind{Metric::kCosine, DType::kF32, CodeKind::kI8},
                                           Kind{Metric::kIp, DType::kF16, CodeKind::kI8},
                                           Kind{Metric::kL2, DType::kF16, CodeKind::kNone}));

TEST(Filter, OfBits) {
  const VectorSpec spec = graph_spec(64, Metric::kHamming, DType::kBits, CodeKind::kNone);
  Random random(5);
  std::vector<uint64_t> rows(3000);
  for (uint64_t& row : rows) row = random.next_u64() & random.next_u64();
  const std::vector<uint64_t> rids = numbers(0, rows.size());
  VectorSet set(spec);
  set.add({.count = rows.size(), .vectors = rows.data(), .rids = rids.data()}, 1);
  for (const uint64_t every : {2U, 7U, 300U}) {
    std::vector<uint64_t> kept;
    for (uint64_t rid = 1; rid < rows.size(); rid += every) kept.push_back(rid);
    const auto view = IdFilter(kept).narrow(set.view());
    size_t right = 0;
    for (uint64_t q = 0; q < 20; ++q) {
      const uint64_t query = random.next_u64() & random.next_u64();
      std::vector<int> truth;
      for (const uint64_t rid : kept) truth.push_back(std::popcount(rows[rid] ^ query));
      std::sort(truth.begin(), truth.end());
      const std::vector<Hit> hits = search(*view, &query, {.k = 10});
      ASSERT_EQ(hits.size(), 10U);
      for (size_t i = 0; i < 10; ++i) {
        EXPECT_EQ(hits[i].distance, static_cast<float>(std::popcount(rows[hits[i].rid] ^ query)));
        right += hits[i].distance <= static_cast<float>(truth[9]);
      }
    }
    EXPECT_GE(right, 188U) << every;
  }
}

// So many rows pass that the graph is walked, in a head and in a sealed part, on codes and on vectors; every step is
// told.
class Walks : public ::testing::TestWithParam<CodeKind> {
 protected:
  static constexpr uint32_t kDim = 16;
  static constexpr uint32_t kMany = 28000;
  static constexpr uint32_t kFirstTwin = 1000;
  static constexpr uint32_t kLastTwin = 1499;

  // Some rows are the same as the first.
  void SetUp() override {
    for (size_t row = kFirstTwin; row <= kLastTwin; ++row) {
      std::copy_n(vectors_.begin(), kDim, vectors_.begin() + static_cast<ptrdiff_t>(row * kDim));
    }
    add(set_, vectors_, 0, kMany);
  }

  // What a narrow walk of those that pass finds; `rids` may pass, and where they are few are all that is walked
  // through.
  std::vector<Hit> walk(const std::vector<uint64_t>& rids, const float* query) {
    std::vector<SearchStep> steps;
    std::vector<Hit> hits = search(*IdFilter(rids).narrow(set_.view()), query, {.k = 10, .ef = 10, .steps = &steps});
    EXPECT_FALSE(steps.empty());
    EXPECT_EQ(steps[0].method, rids.size() < kMany / 6 ? SearchStep::Method::kWalkPassing : SearchStep::Method::kWalk);
    EXPECT_EQ(steps[0].passing, rids.size());
    EXPECT_EQ(hits.size(), 10U);
    return hits;
  }

  const VectorSpec spec_ = graph_spec(kDim, Metric::kL2, DType::kF32, GetParam());
  std::vector<float> vectors_ = clustered(kMany, kDim, 7);
  VectorSet set_{spec_};
};

TEST_P(Walks, FindTheNearestThatPass) {
  const std::vector<float> queries = clustered(20, kDim, 8);
  Random random(9);
  for (const bool sealed : {false, true}) {
    if (sealed) set_.replace_head(set_.freeze_head(1));
    for (const size_t count : {13000UL, 4600UL}) {
      for (const Where where : {Where::kAnywhere, Where::kNearest, Where::kFarthest}) {
        size_t found = 0;
        for (size_t q = 0; q < 20; ++q) {
          const float* query = &queries[q * kDim];
          const auto rids = passing(spec_, vectors_, numbers(0, kMany), query, count, where, random);
          std::set<uint64_t> seen;
          for (const Hit& hit : walk(rids, query)) seen.insert(hit.rid);
          EXPECT_EQ(seen.size(), 10U);
          const double farthest = nearest(spec_, vectors_, rids, query, 10)[9].first;
          for (const uint64_t rid : seen) {
            EXPECT_NE(std::find(rids.begin(), rids.end(), rid), rids.end());
            found += testing::true_distance(spec_, query, &vectors_[rid * kDim]) <= farthest;
          }
        }
        // Those farthest away lie all around, and no farther search makes up for so narrow a one.
        EXPECT_GE(found, where == Where::kFarthest ? 160U : 180U) << count << " " << static_cast<int>(where);
      }
    }
  }
}

// Of equal rows a graph has only the first; one behind it has to be found where it alone passes.
TEST_P(Walks, ReachOneOfManyEqualRows) {
  for (const bool sealed : {false, true}) {
    if (sealed) set_.replace_head(set_.freeze_head(1));
    for (const uint32_t twin : {0U, kFirstTwin, 1200U, kLastTwin}) {
      std::vector<uint64_t> rids = numbers(4000, 8600);
      rids.push_back(twin);
      const std::vector<Hit> hits = walk(rids, vectors_.data());
      EXPECT_EQ(hits[0].rid, twin);
      EXPECT_EQ(hits[0].distance, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Codes, Walks, ::testing::Values(CodeKind::kI8, CodeKind::kNone));

TEST(Filter, TellsWhatASearchDid) {
  const uint32_t dim = 32;
  const VectorSpec spec = graph_spec(dim, Metric::kL2);
  const std::vector<float> vectors = clustered(kFilteredRows, dim, 11);
  const Set set(spec, vectors);
  const auto view = set.view();
  std::vector<SearchStep> steps;
  search(*view, vectors.data(), {.k = 10, .steps = &steps});
  ASSERT_GE(steps.size(), 3U);
  EXPECT_EQ(steps[0].part, 0U);
  EXPECT_EQ(steps[0].rows, kFilteredRows / 2);
  EXPECT_EQ(steps[0].passing, kFilteredRows / 2 / 10 * 9);
  EXPECT_EQ(steps[0].method, SearchStep::Method::kWalk);
  EXPECT_GE(steps[0].breadth, 10U);
  EXPECT_GE(steps[0].measured, steps[0].breadth);
  EXPECT_GT(steps[0].nanoseconds, 0);

  steps.clear();
  search(*IdFilter({1, 2, 2999}).narrow(view), vectors.data(), {.k = 10, .steps = &steps});
  ASSERT_EQ(steps.size(), 1U);  // nothing passes in the other part, nor in the head
  EXPECT_EQ(steps[0].method, SearchStep::Method::kScan);
  EXPECT_EQ(steps[0].passing, 3U);
  EXPECT_EQ(steps[0].measured, 3U);

  steps.clear();
  search(*IdFilter(numbers(4500, 4700)).narrow(view), vectors.data(), {.k = 10, .steps = &steps});
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_EQ(steps[0].part, 2U);  // the head
  EXPECT_EQ(steps[0].method, SearchStep::Method::kScanCodes);

  steps.clear();
  search(*view, vectors.data(), {.k = 10, .exact = true, .steps = &steps});
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[2].measured, steps[2].passing);
}

TEST(Filter, NoHitIsFartherThanTheRadius) {
  const uint32_t dim = 32;
  for (const Metric metric : {Metric::kL2, Metric::kIp, Metric::kCosine}) {
    const VectorSpec spec = graph_spec(dim, metric);
    const std::vector<float> vectors = clustered(kFilteredRows, dim, 11);
    const Set set(spec, vectors);
    const auto view = set.view();
    const float* query = &vectors[77 * dim];
    const std::vector<Hit> all = search(*view, query, {.k = 40, .exact = true});
    for (const bool exact : {true, false}) {
      for (const size_t within : {1U, 5U, 20U, 40U}) {
        const std::vector<Hit> hits =
            search(*view, query, {.k = 30, .exact = exact, .radius = all[within - 1].distance});
        ASSERT_EQ(hits.size(), std::min<size_t>(within, 30));
        for (size_t i = 0; i < hits.size(); ++i) EXPECT_EQ(hits[i].rid, all[i].rid);
      }
      EXPECT_TRUE(search(*view, query, {.k = 30, .exact = exact, .radius = all[0].distance - 1}).empty());
    }
  }
}

TEST(Filter, IsKeptForAView) {
  const VectorSpec spec = graph_spec(2, Metric::kL2);
  const std::vector<float> vectors = clustered(300, 2, 1);
  VectorSet set(spec);
  add(set, vectors, 0, 100);
  IdFilter filter({5, 5, 150, 7, 1000000});
  EXPECT_EQ(filter.size(), 4U);
  const auto first = filter.narrow(set.view());
  EXPECT_EQ(first->live, 2U);
  EXPECT_EQ(filter.narrow(set.view()), first);
  add(set, vectors, 100, 200);
  EXPECT_EQ(filter.narrow(set.view())->live, 3U);
  set.erase(std::vector<uint64_t>{7});
  EXPECT_EQ(filter.narrow(set.view())->live, 2U);
  EXPECT_EQ(first->live, 2U);
}

// Rids that lie close together and rids that do not, few and many, are told apart in the same way.
TEST(Filter, TakesAnyIds) {
  const VectorSpec spec = graph_spec(1, Metric::kL2);
  std::vector<uint64_t> rids;
  std::vector<float> vectors;
  for (uint64_t i = 0; i < 2000; ++i) {
    rids.push_back(i % 2 == 0 ? i : ~uint64_t{0} - i * 1000003);
    vectors.push_back(static_cast<float>(i));
  }
  VectorSet set(spec);
  set.add({.count = 2000, .vectors = vectors.data(), .rids = rids.data()}, 1);
  for (const size_t count : {1U, 20U, 500U, 1999U}) {
    for (const bool close : {true, false}) {
      std::set<uint64_t> wanted;
      for (size_t i = 0; i < count; ++i) wanted.insert(rids[close ? i / 2 * 2 : i]);
      const auto view = IdFilter({wanted.begin(), wanted.end()}).narrow(set.view());
      std::set<uint64_t> seen;
      view->for_each_live([&](View::RowRef, uint64_t rid) { seen.insert(rid); });
      EXPECT_EQ(seen, wanted);
      EXPECT_EQ(view->live, wanted.size());
    }
  }
}

TEST(Live, GoesThroughTheRowsThatAreShown) {
  Random random(3);
  for (const uint32_t rows : {1U, 63U, 64U, 65U, 65536U, 65600U, 131073U}) {
    for (const uint64_t one_in : {1U, 2U, 500U, 100000U}) {
      std::vector<uint32_t> gone;
      std::vector<uint32_t> left;
      for (uint32_t row = 0; row < rows; ++row) (random.uniform(one_in) == 0 ? left : gone).push_back(row);
      const Bitmap deleted = Bitmap(rows).with(gone);
      const Live live(deleted, rows);
      std::vector<uint32_t> seen;
      live.for_each([&](uint32_t row) { seen.push_back(row); });
      EXPECT_EQ(seen, left);
      for (int i = 0; i < 50; ++i) {
        const auto row = static_cast<uint32_t>(random.uniform(rows));
        const auto after = std::lower_bound(left.begin(), left.end(), row);
        EXPECT_EQ(live.next(row), after == left.end() ? kNoRow : *after);
      }
    }
  }
}

}  // namespace
}  // namespace lamina
