// Goal: distances on stored vectors are right to float rounding, whatever the magnitudes, and never NaN.
// Method: brute force in double over hostile magnitudes, every metric and stored type.
#include "codes/exact.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "codes/specs.h"

namespace lamina {
namespace {

using testing::spec_of;

float distance(const VectorSpec& spec, const std::vector<float>& query, const std::vector<float>& given) {
  std::vector<std::byte> stored(spec.vector_bytes());
  store_vector(spec, given.data(), stored.data());
  ExactQuery exact;
  exact.prepare(spec, query.data());
  const std::byte* rows[4] = {stored.data(), stored.data(), stored.data(), stored.data()};
  const float inverse = spec.metric == Metric::kCosine ? inverse_norm(spec, stored.data()) : 0;
  const float inverses[4] = {inverse, inverse, inverse, inverse};
  float out[4];
  exact.distances4(rows, inverses, out);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(out[i], out[0]);
  return out[0];
}

TEST(Exact, CosineIgnoresLengthAtEveryMagnitude) {
  for (const float scale : {1e-44F, 1e-39F, 1e-30F, 1e-10F, 1.0F, 1e19F, 1e30F, 1e38F}) {
    const std::vector<float> x = {3 * scale, 2 * scale, 1 * scale};
    for (const float other : {1e-38F, 1.0F, 1e38F}) {
      const std::vector<float> y = {1 * other, 2 * other, 3 * other};
      const float tolerance = scale < 1e-38F ? 0.1F : 1e-5F;  // denormal components have few digits themselves
      EXPECT_NEAR(distance(spec_of(3, Metric::kCosine), y, x), 1 - 10.0 / 14, tolerance) << scale << " " << other;
    }
  }
}

TEST(Exact, OverflowIsTheLargestFloatAndNeverNan) {
  const float big = 3e38F;
  const std::vector<float> x = {big, big, -big, 1};
  const std::vector<float> y = {big, -big, big, 1};
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(distance(spec_of(4, Metric::kL2), x, y), largest);
  EXPECT_EQ(distance(spec_of(4, Metric::kIp), x, y), largest);
  EXPECT_EQ(distance(spec_of(4, Metric::kIp), x, x), -largest);
  EXPECT_NEAR(distance(spec_of(2, Metric::kIp), {big, big}, {big, -big}), 1, 1e-6);
  EXPECT_NEAR(distance(spec_of(4, Metric::kCosine), x, x), 0, 1e-6);
}

TEST(Exact, HalfPrecisionStoresWhatItHolds) {
  const VectorSpec spec = spec_of(3, Metric::kL2, DType::kF16);
  EXPECT_EQ(distance(spec, {1, 2, 3}, {1, 2, 4}), 1.0F);
  std::vector<std::byte> stored(spec.vector_bytes());
  const std::vector<float> beyond = {0, 65520, 0};
  EXPECT_THROW(store_vector(spec, beyond.data(), stored.data()), InvalidVectorError);
  const std::vector<float> largest = {0, -65519, 0};
  store_vector(spec, largest.data(), stored.data());
  std::vector<float> back(3);
  load_vector(spec, stored.data(), back.data());
  EXPECT_EQ(back[1], -65504.0F);
}

TEST(Exact, MetricNamesAndAliases) {
  for (const Metric metric : {Metric::kCosine, Metric::kIp, Metric::kL2, Metric::kHamming}) {
    EXPECT_EQ(parse_metric(name_of(metric)), metric);
  }
  EXPECT_EQ(parse_metric("cos"), Metric::kCosine);
  EXPECT_EQ(parse_metric("dot"), Metric::kIp);
  EXPECT_EQ(parse_metric("inner_product"), Metric::kIp);
  EXPECT_EQ(parse_metric("l2sq"), Metric::kL2);
  EXPECT_EQ(parse_metric("euclidean"), Metric::kL2);
  EXPECT_THROW(parse_metric("manhattan"), std::invalid_argument);
  EXPECT_EQ(parse_dtype("float16"), DType::kF16);
  EXPECT_THROW(parse_dtype("int8"), std::invalid_argument);
}

}  // namespace
}  // namespace lamina
