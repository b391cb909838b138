// Goal: codes order rows nearly as distances do, whatever the scale, and an outlier does not blind them.
// Method: keys of random vectors against distances in double; golden bytes for a small case.
#include "codes/i8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/random.h"
#include "codes/specs.h"

namespace lamina {
namespace {

using testing::spec_of;

std::vector<float> random_vectors(size_t count, float scale, float shift) {
  Random random(5);
  std::vector<float> x(count);
  for (float& value : x)
    value = shift + scale * static_cast<float>(random.unit() + random.unit() + random.unit() - 1.5);
  return x;
}

std::vector<int8_t> encode(const VectorSpec& spec, const I8Params& params, const std::vector<float>& x) {
  std::vector<int8_t> codes(x.size() / spec.dim * i8_stride(spec));
  for (size_t i = 0; i < x.size() / spec.dim; ++i) {
    encode_i8(spec, params, &x[i * spec.dim], 1, &codes[i * i8_stride(spec)]);
  }
  return codes;
}

TEST(I8, BytesAreTheSameEverywhere) {
  const VectorSpec spec = spec_of(5, Metric::kL2);
  const std::vector<int8_t> code = encode(spec, {.offset = 1, .scale = 2}, {1, 2.2F, -100, 100, 0.75F});
  ASSERT_EQ(code.size(), 64U);
  const std::vector<int> expected = {0, 2, -127, 127, -1};
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(code[i], i < 5 ? expected[i] : 0) << i;
}

TEST(I8, TheKeyAtADistanceIsThatOfARowThere) {
  constexpr uint32_t dim = 48;
  for (const Metric metric : {Metric::kL2, Metric::kIp}) {
    const VectorSpec spec = spec_of(dim, metric);
    const std::vector<float> x = random_vectors(100 * dim, 1, metric == Metric::kL2 ? 3 : 0);
    std::vector<float> sample = x;
    const I8Params params = train_i8(spec, sample);
    const std::vector<int8_t> codes = encode(spec, params, x);
    I8Query query;
    query.prepare(spec, params, x.data());
    const double step = query.key_at(2) - query.key_at(1);  // of a unit
    for (size_t i = 0; i < 100; ++i) {
      float distance = metric == Metric::kL2 ? 0 : 1;
      for (uint32_t c = 0; c < dim; ++c) {
        const float a = x[c];
        const float b = x[i * dim + c];
        distance += metric == Metric::kL2 ? (a - b) * (a - b) : -a * b;
      }
      const int8_t* row = &codes[i * i8_stride(spec)];
      const int8_t* const rows[4] = {row, row, row, row};
      uint32_t keys[4];
      query.keys4(rows, keys);
      EXPECT_NEAR(query.key_at(distance), keys[0], 0.6 * step);
    }
    EXPECT_EQ(query.key_at(-HUGE_VALF), 0U);
    EXPECT_EQ(query.key_at(HUGE_VALF), UINT32_MAX);
  }
}

TEST(I8, KeysOrderAsDistancesDo) {
  const uint32_t dim = 48;
  for (const Metric metric : {Metric::kL2, Metric::kIp}) {
    for (const float scale : {1e-20F, 0.01F, 1.0F, 1e10F}) {
      const VectorSpec spec = spec_of(dim, metric);
      const std::vector<float> x = random_vectors(200 * dim, scale, metric == Metric::kL2 ? 3 * scale : 0);
      std::vector<float> sample = x;
      const I8Params params = train_i8(spec, sample);
      const std::vector<int8_t> codes = encode(spec, params, x);
      I8Query query;
      query.prepare(spec, params, x.data());
      size_t inversions = 0;
      size_t pairs = 0;
      std::vector<double> distances;
      std::vector<uint32_t> keys;
      for (size_t i = 0; i < 200; ++i) {
        double d = 0;
        for (uint32_t c = 0; c < dim; ++c) {
          const double a = x[c] / scale;
          const double b = x[i * dim + c] / scale;
          d += metric == Metric::kL2 ? (a - b) * (a - b) : -a * b;
        }
        distances.push_back(d);
        const int8_t* row = &codes[i * i8_stride(spec)];
        const int8_t* const rows[4] = {row, row, row, row};
        uint32_t four[4];
        query.keys4(rows, four);
        EXPECT_EQ(four[0], four[3]);
        keys.push_back(four[0]);
      }
      for (size_t i = 0; i < 200; ++i) {
        for (size_t j = 0; j < i; ++j) {
          ++pairs;
          inversions += (distances[i] < distances[j]) != (keys[i] < keys[j]);
        }
      }
      EXPECT_LT(inversions, pairs / 50) << name_of(metric) << " " << scale;
      if (metric == Metric::kL2) {
        EXPECT_EQ(keys[0], *std::min_element(keys.begin(), keys.end()));
      }
    }
  }
}

TEST(I8, OneOutlierDoesNotBlindTheCode) {
  const VectorSpec spec = spec_of(10, Metric::kIp);
  std::vector<float> sample = random_vectors(50000, 1, 0);
  std::vector<float> spoiled = sample;
  spoiled[77] = 1e6F;
  const float scale = train_i8(spec, sample).scale;
  EXPECT_NEAR(train_i8(spec, spoiled).scale, scale, scale / 2);
}

TEST(I8, DegenerateSamples) {
  for (const float value : {0.0F, 5.0F, 1e-42F, 3e38F}) {
    for (const Metric metric : {Metric::kL2, Metric::kIp}) {
      std::vector<float> sample(100, value);
      const I8Params params = train_i8(spec_of(10, metric), sample);
      EXPECT_TRUE(std::isfinite(params.scale) && params.scale > 0);
      EXPECT_TRUE(std::isfinite(params.offset));
    }
  }
  std::vector<float> none;
  EXPECT_EQ(train_i8(spec_of(10, Metric::kL2), none).scale, 1.0F);
}

TEST(I8, ACodeFitsUntilTheDataMove) {
  const I8Params ours{.offset = 0, .scale = 10};
  EXPECT_TRUE(still_fits(ours, {.offset = 1, .scale = 11}));
  EXPECT_FALSE(still_fits(ours, {.offset = 0, .scale = 1}));
  EXPECT_FALSE(still_fits(ours, {.offset = 0, .scale = 100}));
  EXPECT_FALSE(still_fits(ours, {.offset = 10, .scale = 10}));
}

TEST(I8, VeryLongAndBinaryVectorsHaveNone) {
  EXPECT_TRUE(has_i8(spec_of(32768, Metric::kL2)));
  EXPECT_FALSE(has_i8(spec_of(32769, Metric::kL2)));
  EXPECT_FALSE(has_i8(spec_of(64, Metric::kHamming)));
}

}  // namespace
}  // namespace lamina
