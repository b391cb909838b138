// Goal: a part is walked on 4-bit codes only where that finds as much, and then finds as much. Method: the same part
// searched with and without them; rows so near to each other that 4 bits cannot tell them apart; rows of one value.
#include "index/coarse_codes.h"

#include <gtest/gtest.h>

#include <cstring>

#include "index/synthetic.h"

namespace lamina {
namespace {

using testing::add;
using testing::clustered;
using testing::embedded;
using testing::graph_spec;
using testing::numbers;
using testing::rebuilt;
using testing::recall;

constexpr uint32_t kWide = 200;
constexpr uint32_t kAll = 3000;

// The same view, walked on the 8-bit codes.
View walked_finely(const View& view) {
  View fine = view;
  const auto part = std::make_shared<Part>(*view.parts[0].part);
  part->coarse_codes = nullptr;
  fine.parts[0].part = part;
  return fine;
}

class Coarse : public ::testing::TestWithParam<Metric> {};

TEST_P(Coarse, WalksFindAsMuch) {
  const std::vector<float> vectors = embedded(kAll, kWide, 1);
  const std::vector<float> queries = embedded(100, kWide, 2);
  VectorSet set(graph_spec(kWide, GetParam()));
  add(set, vectors, 0, kAll);
  const auto view = rebuilt(set);
  ASSERT_NE(view->parts[0].part->coarse_codes, nullptr);
  const View fine = walked_finely(*view);
  const std::vector<uint64_t> rids = numbers(0, kAll);
  for (const uint32_t k : {1U, 10U, 100U}) {
    for (const uint32_t ef : {k, 2 * k + 10}) {
      const double found = recall(*view, vectors, rids, queries, {.k = k, .ef = ef});
      EXPECT_GE(found, recall(fine, vectors, rids, queries, {.k = k, .ef = ef}) - 0.015) << k << " " << ef;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Coarse, ::testing::Values(Metric::kCosine, Metric::kL2));

TEST(CoarseCodes, DeletedRowsAreNeverReturnedAndAMergeKeepsTheCodes) {
  const std::vector<float> vectors = embedded(kAll + 500, kWide, 3);
  const std::vector<float> queries = embedded(50, kWide, 4);
  VectorSet set(graph_spec(kWide, Metric::kL2));
  add(set, vectors, 0, kAll);
  rebuilt(set);
  set.erase(numbers(0, 300));
  const std::vector<uint64_t> live = numbers(300, kAll);
  EXPECT_GE(recall(*set.view(), vectors, live, queries, {.k = 10, .ef = 100}), 0.98);
  add(set, vectors, kAll, kAll + 500);
  const auto before = set.view();
  set.replace_parts(*before, VectorSet::merge(*before, 1));
  const auto merged = set.view();
  ASSERT_NE(merged->parts[0].part->coarse_codes, nullptr);
  EXPECT_GE(recall(*merged, vectors, numbers(300, kAll + 500), queries, {.k = 10, .ef = 100}), 0.98);
}

TEST(CoarseCodes, ArePutAsideWhereTheyCannotTellRowsApart) {
  // Rows differ from their neighbours by less than a step of 4 bits.
  std::vector<float> vectors = clustered(kAll, kWide, 1, kAll / 60);
  const std::vector<float> centres = clustered(kAll, kWide, 9, 1);
  for (size_t row = 0; row < kAll; ++row) {
    for (size_t i = 0; i < kWide; ++i) {
      vectors[row * kWide + i] = 4 * centres[row % 50 * kWide + i] + 0.05F * vectors[row * kWide + i];
    }
  }
  const std::vector<float> queries(vectors.begin(), vectors.begin() + 50 * kWide);
  VectorSet set(graph_spec(kWide, Metric::kL2));
  add(set, vectors, 0, kAll);
  const auto view = rebuilt(set);
  EXPECT_EQ(view->parts[0].part->coarse_codes, nullptr);
  EXPECT_EQ(view->parts[0].part->i4.step, 0U);
  EXPECT_GE(recall(*view, vectors, numbers(0, kAll), queries, {.k = 10, .ef = 100}), 0.9);
}

TEST(CoarseCodes, AreThereOnlyWhereTheyTakeFewerLines) {
  VectorSet set(graph_spec(64, Metric::kL2));
  add(set, clustered(1500, 64, 1), 0, 1500);
  EXPECT_EQ(rebuilt(set)->parts[0].part->coarse_codes, nullptr);
}

TEST(CoarseCodes, OneThreadMakesTheSameBytes) {
  const std::vector<float> vectors = embedded(kAll, kWide, 1);
  VectorSet set(graph_spec(kWide, Metric::kCosine));
  add(set, vectors, 0, kAll);
  const auto first = VectorSet::rebuild(*set.view(), 1);
  const auto second = VectorSet::rebuild(*set.view(), 1);
  ASSERT_NE(first->coarse_codes, nullptr);
  EXPECT_EQ(first->i4.low, second->i4.low);
  EXPECT_EQ(std::memcmp(first->coarse_codes, second->coarse_codes, kAll * i4_stride(set.spec())), 0);
}

TEST(CoarseCodes, RowsOfOneValueAndOfNoneAreAllFound) {
  std::vector<float> vectors = embedded(kAll, kWide, 1);
  std::fill_n(vectors.begin(), 200 * kWide, 0.0F);
  for (size_t row = 200; row < 400; ++row) std::copy_n(&vectors[400 * kWide], kWide, &vectors[row * kWide]);
  for (const Metric metric : {Metric::kCosine, Metric::kL2}) {
    VectorSet set(graph_spec(kWide, metric));
    add(set, vectors, 0, kAll);
    const auto view = rebuilt(set);
    const auto hits = testing::search(*view, &vectors[400 * kWide], {.k = 201, .ef = 400});
    ASSERT_EQ(hits.size(), 201U);
    for (const Hit& hit : hits) EXPECT_LE(std::abs(hit.distance), 1e-5F);
  }
}

}  // namespace
}  // namespace lamina
