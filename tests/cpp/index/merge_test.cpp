// Goal: a merge holds every live row and no dead one, and its graph finds what one built afresh would. Method: parts of
// many kinds are deleted from and merged, and compared with exact search and with a rebuild.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "index/findable.h"
#include "index/synthetic.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

using testing::add;
using testing::clustered;
using testing::graph_spec;
using testing::numbers;
using testing::recall;
using testing::search;

constexpr uint32_t kDim = 24;
constexpr uint32_t kRowsInAll = 3000;

void optimize(VectorSet& set) {
  const auto before = set.view();
  set.replace_parts(*before, VectorSet::rebuild(*before, 1));
}

void seal(VectorSet& set) {
  if (const auto part = set.freeze_head(1)) set.replace_head(part);
}

std::shared_ptr<const Part> merge(VectorSet& set, int threads = 1) {
  const auto before = set.view();
  auto merged = VectorSet::merge(*before, threads);
  set.replace_parts(*before, merged);
  return merged;
}

std::vector<uint64_t> without(std::vector<uint64_t> rids, const std::vector<uint64_t>& gone) {
  const std::set<uint64_t> dead(gone.begin(), gone.end());
  std::erase_if(rids, [&](uint64_t rid) { return dead.contains(rid); });
  return rids;
}

void expect_rows(const Part& part, const std::vector<uint64_t>& rids) {
  std::vector<uint64_t> found(part.rids, part.rids + part.rows);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, rids);
}

class Merged : public ::testing::TestWithParam<std::tuple<Metric, DType, CodeKind>> {};

TEST_P(Merged, HoldsTheLiveRowsAndFindsThemAsARebuildDoes) {
  const auto [metric, dtype, codes] = GetParam();
  const std::vector<float> vectors = clustered(kRowsInAll, kDim, 1);
  const std::vector<float> queries = clustered(40, kDim, 2);
  VectorSet set(graph_spec(kDim, metric, dtype, codes));
  add(set, vectors, 0, 2000);
  optimize(set);
  add(set, vectors, 2000, 2700);
  seal(set);
  add(set, vectors, 2700, 2720);  // a part without a graph
  seal(set);
  add(set, vectors, 2720, kRowsInAll);
  std::vector<uint64_t> gone = numbers(100, 300);
  for (uint64_t rid = 0; rid < kRowsInAll; rid += 5) gone.push_back(rid);
  set.erase(gone);
  const std::vector<uint64_t> live = without(numbers(0, kRowsInAll), gone);
  const auto rebuilt = VectorSet::rebuild(*set.view(), 2);
  const auto merged = merge(set, 2);
  const auto view = set.view();
  ASSERT_EQ(view->parts.size(), 1U);
  EXPECT_EQ(view->head, nullptr);
  EXPECT_EQ(view->live, live.size());
  expect_rows(*merged, live);
  EXPECT_TRUE(lost_rows(set.spec(), *merged, 2).empty());
  const VectorSet fresh(set.spec(), {{rebuilt, Bitmap(rebuilt->rows)}});
  const SearchOptions options{.k = 10, .ef = 40};
  EXPECT_GE(recall(*view, vectors, live, queries, options),
            recall(*fresh.view(), vectors, live, queries, options) - 0.02);
}

INSTANTIATE_TEST_SUITE_P(All, Merged,
                         ::testing::Values(std::tuple(Metric::kCosine, DType::kF32, CodeKind::kI8),
                                           std::tuple(Metric::kL2, DType::kF32, CodeKind::kI8),
                                           std::tuple(Metric::kIp, DType::kF32, CodeKind::kI8),
                                           std::tuple(Metric::kCosine, DType::kF16, CodeKind::kI8),
                                           std::tuple(Metric::kL2, DType::kF16, CodeKind::kNone)));

TEST(Merge, HammingJoinsOnItsBits) {
  VectorSpec spec = graph_spec(kDim, Metric::kHamming, DType::kBits);
  spec.dim = 64;
  VectorSet set(spec);
  Random random(3);
  std::vector<uint64_t> bits(kRowsInAll);
  for (uint64_t& b : bits) b = random.next_u64();
  const std::vector<uint64_t> rids = numbers(0, kRowsInAll);
  set.add({.count = 2000, .vectors = bits.data(), .rids = rids.data()}, 1);
  optimize(set);
  set.add({.count = kRowsInAll - 2000, .vectors = &bits[2000], .rids = &rids[2000]}, 1);
  const std::vector<uint64_t> gone = numbers(0, 500);
  set.erase(gone);
  const auto merged = merge(set);
  expect_rows(*merged, numbers(500, kRowsInAll));
  EXPECT_TRUE(lost_rows(spec, *merged, 1).empty());
}

TEST(Merge, TwinsOutliveTheFirstOfThem) {
  std::vector<float> vectors = clustered(kRowsInAll, kDim, 4);
  for (size_t row = 10; row < 400; ++row) std::copy_n(vectors.begin(), kDim, vectors.begin() + row * kDim);
  std::fill_n(vectors.begin() + 500 * kDim, 50 * kDim, 0.0F);  // zero vectors are twins too
  VectorSet set(graph_spec(kDim, Metric::kCosine));
  add(set, vectors, 0, 2000);
  optimize(set);
  add(set, vectors, 2000, kRowsInAll);
  const std::vector<uint64_t> gone = {0, 10, 11, 12, 200, 398, 399, 500, 501, 549};
  set.erase(gone);
  const std::vector<uint64_t> live = without(numbers(0, kRowsInAll), gone);
  const auto merged = merge(set);
  expect_rows(*merged, live);
  EXPECT_TRUE(lost_rows(set.spec(), *merged, 1).empty());
  const std::vector<Hit> equal = search(*set.view(), vectors.data(), {.k = 300});
  ASSERT_EQ(equal.size(), 300U);
  for (const Hit& hit : equal) EXPECT_NEAR(hit.distance, 0, 1e-6);
}

TEST(Merge, ARegionThatDiedWholeLeavesNoGap) {
  const std::vector<float> vectors = clustered(kRowsInAll, kDim, 5);
  VectorSet set(graph_spec(kDim, Metric::kL2));
  add(set, vectors, 0, kRowsInAll);
  optimize(set);
  std::vector<uint64_t> gone;
  for (const auto& [distance, rid] :
       testing::nearest(set.spec(), vectors, numbers(0, kRowsInAll), vectors.data(), 800)) {
    gone.push_back(rid);
  }
  set.erase(gone);
  const std::vector<uint64_t> live = without(numbers(0, kRowsInAll), gone);
  const auto merged = merge(set);
  expect_rows(*merged, live);
  EXPECT_TRUE(lost_rows(set.spec(), *merged, 1).empty());
  EXPECT_GE(recall(*set.view(), vectors, live, clustered(40, kDim, 6), {.k = 10, .ef = 64}), 0.95);
}

TEST(Merge, TinyAndEmptyOnes) {
  const std::vector<float> vectors = clustered(60, kDim, 7);
  VectorSet set(graph_spec(kDim, Metric::kCosine));
  for (uint64_t row = 0; row < 60; row += 20) {
    add(set, vectors, row, row + 20);
    seal(set);
  }
  expect_rows(*merge(set), numbers(0, 60));
  set.erase(numbers(0, 60));
  merge(set);
  EXPECT_EQ(set.view()->live, 0U);
  EXPECT_TRUE(set.view()->parts.empty());
}

TEST(Merge, SomePartsJoinAndOthersStay) {
  const std::vector<float> vectors = clustered(kRowsInAll, kDim, 8);
  VectorSet set(graph_spec(kDim, Metric::kCosine));
  for (const uint64_t begin : {0U, 1000U, 2000U}) {
    add(set, vectors, begin, begin + 1000);
    seal(set);
  }
  View some = *set.view();
  some.parts.erase(some.parts.begin());
  const auto merged = VectorSet::merge(some, 1);
  set.erase(std::vector<uint64_t>{5, 1005, 2005});  // meanwhile
  add(set, vectors, 0, 1);
  set.replace_parts(some, merged);
  const auto view = set.view();
  ASSERT_EQ(view->parts.size(), 2U);
  EXPECT_EQ(view->parts[1].part, merged);
  EXPECT_EQ(view->parts[1].deleted.count(), 2U);
  EXPECT_EQ(view->live, kRowsInAll - 3U);
  EXPECT_THROW(set.replace_parts(some, merged), std::logic_error);
}

TEST(Merge, OneThreadMergesToTheSameBytes) {
  const std::vector<float> vectors = clustered(2500, kDim, 9);
  std::vector<std::shared_ptr<const Part>> parts;
  for (int i = 0; i < 2; ++i) {
    VectorSet set(graph_spec(kDim, Metric::kCosine));
    add(set, vectors, 0, 2000);
    optimize(set);
    add(set, vectors, 2000, 2500);
    set.erase(numbers(0, 300));
    parts.push_back(merge(set));
  }
  const Part& a = *parts[0];
  const Part& b = *parts[1];
  ASSERT_EQ(a.rows, b.rows);
  EXPECT_TRUE(std::equal(a.rids, a.rids + a.rows, b.rids));
  EXPECT_EQ(std::memcmp(a.graph.level0, b.graph.level0, size_t{a.rows} * a.graph.degree * 4), 0);
  EXPECT_EQ(std::memcmp(a.codes, b.codes, a.rows * a.code_stride), 0);
}

}  // namespace
}  // namespace lamina
