// Goal: a recall that is asked for is met, by as little breadth as was measured to do, and never by less for more.
// Method: hand-made tables, and a rebuilt set asked for recalls on queries that it has never seen.
#include "index/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "index/synthetic.h"

namespace lamina {
namespace {

TEST(Calibration, WithoutMeasurementsItIsTheRuleOfThumb) {
  const Calibration none;
  EXPECT_EQ(none.ef_for(0.95F, 10), 64U);
  EXPECT_EQ(none.ef_for(0.95F, 100), 200U);
  EXPECT_EQ(none.ef_for(0.95F, 0xFFFFFFFFU), 0xFFFFFFFFU);
}

TEST(Calibration, InterpolatesAndNeverFallsForMore) {
  Calibration table;
  table.points = {{1, 8, 0.9F, 1},    {1, 16, 0.98F, 1},  {10, 10, 0.8F, 2},    {10, 20, 0.93F, 2},
                  {10, 40, 0.92F, 2}, {10, 80, 0.99F, 2}, {100, 100, 0.95F, 4}, {100, 200, 0.99F, 4}};
  EXPECT_EQ(table.ef_for(0.5F, 10), 10U);
  EXPECT_GT(table.ef_for(0.93F, 10), 40U);  // the lucky point at 20 is not believed
  EXPECT_LE(table.ef_for(0.93F, 10), 50U);
  EXPECT_EQ(table.ef_for(0.95F, 100), 100U);
  EXPECT_GE(table.ef_for(0.95F, 1000), 1000U);
  uint32_t before = 0;
  for (const float recall : {0.1F, 0.8F, 0.9F, 0.95F, 0.99F, 0.995F, 0.9999F, 1.0F}) {
    EXPECT_GE(table.ef_for(recall, 10), before);
    before = table.ef_for(recall, 10);
    uint32_t narrower = 0;
    for (uint32_t k = 1; k < 300; ++k) {
      EXPECT_GE(table.ef_for(recall, k), std::max(k, narrower));
      narrower = table.ef_for(recall, k);
    }
  }
}

TEST(Calibration, WhatIsFarLiesBetweenWhatWasMeasured) {
  constexpr float kNever = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Calibration{}.far_for(10), kNever);
  Calibration table;
  table.points = {{10, 10, 0.8F, 2}, {10, 20, 0.93F, 2}, {100, 100, 0.95F, 4}};
  EXPECT_EQ(table.far_for(1), 2);
  EXPECT_EQ(table.far_for(10), 2);
  EXPECT_NEAR(table.far_for(31.622776), 3, 1e-5);
  EXPECT_EQ(table.far_for(100), 4);
  EXPECT_NEAR(table.far_for(1000), 6, 1e-5);
  table.points.resize(2);
  EXPECT_EQ(table.far_for(10), 2);
  EXPECT_EQ(table.far_for(11), kNever);
}

TEST(Calibration, AnIndexKeepsItsPromiseOnNewQueries) {
  const uint32_t dim = 32;
  const uint32_t rows = 6000;
  const std::vector<float> vectors = testing::clustered(rows, dim, 1, 200);
  const std::vector<float> queries = testing::clustered(150, dim, 2, 200);
  VectorSpec spec;
  spec.dim = dim;
  VectorSet set(spec);
  testing::add(set, vectors, 0, rows, 2);
  testing::rebuilt(set, 2);
  ASSERT_FALSE(set.view()->parts[0].part->calibration.points.empty());
  for (const float wanted : {0.9F, 0.95F, 0.99F}) {
    const double got =
        testing::recall(*set.view(), vectors, testing::numbers(0, rows), queries, {.k = 10, .recall = wanted});
    EXPECT_GE(got, wanted - 0.02);
  }
}

std::vector<float> mirrored(std::vector<float> vectors) {
  for (float& x : vectors) x = -x;
  return vectors;
}

// Whose nearest rows are far away, and hardly nearer than others.
TEST(Calibration, AnIndexKeepsItsPromiseOnQueriesFromElsewhere) {
  const uint32_t dim = 24;
  const uint32_t rows = 4000;
  const std::vector<float> vectors = testing::clustered(rows, dim, 1, 40);
  const std::vector<float> queries = mirrored(testing::clustered(100, dim, 2, 40));
  for (const Metric metric : {Metric::kCosine, Metric::kIp, Metric::kL2}) {
    VectorSet set(testing::graph_spec(dim, metric));
    testing::add(set, vectors, 0, rows, 2);
    testing::rebuilt(set, 2);
    const double slack = metric == Metric::kIp ? 0.1 : 0.03;  // which does not tell how much farther a query is
    for (const float wanted : {0.9F, 0.95F, 0.99F}) {
      const double got =
          testing::recall(*set.view(), vectors, testing::numbers(0, rows), queries, {.k = 10, .recall = wanted});
      EXPECT_GE(got, wanted - slack) << name_of(metric);
    }
    std::vector<SearchStep> steps;
    for (size_t q = 0; q < 100; ++q) testing::search(*set.view(), &queries[q * dim], {.k = 10, .steps = &steps});
    EXPECT_GE(std::ranges::count(steps, SearchStep::Method::kWalk, &SearchStep::method), 150) << name_of(metric);
    steps.clear();
    for (size_t q = 0; q < 100; ++q) testing::search(*set.view(), &vectors[q * dim], {.k = 10, .steps = &steps});
    EXPECT_LE(steps.size(), 140U) << name_of(metric);
  }
}

TEST(Calibration, WhatLiesElsewhereIsFoundInAHead) {
  const uint32_t dim = 24;
  std::vector<float> vectors = testing::clustered(4000, dim, 1, 40);
  const std::vector<float> elsewhere = mirrored(testing::clustered(2000, dim, 3, 40));
  vectors.insert(vectors.end(), elsewhere.begin(), elsewhere.end());
  const std::vector<float> queries = mirrored(testing::clustered(100, dim, 2, 40));
  VectorSet set(testing::graph_spec(dim, Metric::kCosine));
  testing::add(set, vectors, 0, 4000, 2);
  testing::rebuilt(set, 2);
  testing::add(set, vectors, 4000, 6000, 2);
  EXPECT_GE(testing::recall(*set.view(), vectors, testing::numbers(0, 6000), queries, {.k = 10}), 0.93);
}

// A short query's distances do not tell how far it is.
TEST(Calibration, QueriesOfNoLengthAreNotFar) {
  const uint32_t dim = 24;
  VectorSet set(testing::graph_spec(dim, Metric::kIp));
  testing::add(set, testing::clustered(4000, dim, 1, 40), 0, 4000, 2);
  testing::rebuilt(set, 2);
  std::vector<SearchStep> steps;
  testing::search(*set.view(), std::vector<float>(dim).data(), {.k = 10, .steps = &steps});
  EXPECT_EQ(steps.size(), 1U);
}

}  // namespace
}  // namespace lamina
