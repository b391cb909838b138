// Goal: 4-bit codes are near what they stand for and order rows as distances do, whatever the 8-bit ones are.
// Method: golden bytes; every value of the 8-bit code beside what its 4-bit one stands for; keys of random vectors
// against distances in double, and against sums of what the codes stand for.
#include "codes/i4.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "codes/specs.h"

namespace lamina {
namespace {

using testing::spec_of;

uint32_t component(const uint8_t* packed, size_t i) {
  const uint8_t byte = packed[i / 128 * 64 + i % 64];
  return i % 128 < 64 ? byte & 15 : byte >> 4;
}

std::vector<uint8_t> pack(const VectorSpec& spec, const I4Params& params, const std::vector<int8_t>& codes) {
  const size_t rows = codes.size() / i8_stride(spec);
  std::vector<uint8_t> packed(rows * i4_stride(spec), 0xee);
  for (size_t row = 0; row < rows; ++row) {
    encode_i4(spec, params, &codes[row * i8_stride(spec)], &packed[row * i4_stride(spec)]);
  }
  return packed;
}

TEST(I4, BytesAreTheSameEverywhere) {
  const VectorSpec spec = spec_of(67, Metric::kL2);
  std::vector<int8_t> code(128);
  code[0] = -128;
  code[1] = -27;
  code[2] = -14;
  code[3] = 127;
  code[64] = 0;
  code[65] = 99;
  const std::vector<uint8_t> packed = pack(spec, {.step = 13, .low = 100}, code);
  ASSERT_EQ(packed.size(), 64U);
  EXPECT_EQ(packed[0], 0x20);
  EXPECT_EQ(packed[1], 0x90);
  EXPECT_EQ(packed[2], 0x21);
  EXPECT_EQ(packed[3], 0x0b);
  for (size_t i = 4; i < 64; ++i) EXPECT_EQ(packed[i], 0x02) << i;
}

TEST(I4, StandsForWhatIsNoFartherThanHalfAStep) {
  const VectorSpec spec = spec_of(255, Metric::kL2);
  std::vector<int8_t> code(256);
  for (int i = 0; i < 255; ++i) code[i] = static_cast<int8_t>(i - 127);
  for (const I4Params params :
       {I4Params{1, 0}, I4Params{1, 100}, I4Params{7, 20}, I4Params{16, 0}, I4Params{16, 200}}) {
    const std::vector<uint8_t> packed = pack(spec, params, code);
    for (uint32_t i = 0; i < 255; ++i) {
      const uint32_t u = component(packed.data(), i);
      const double middle = params.low + (u + 0.5) * params.step - 0.5;
      const bool within = i >= params.low && i < params.low + 16 * params.step;
      if (within) {
        EXPECT_LE(std::abs(i - middle), params.step / 2.0) << i;
      } else {
        EXPECT_EQ(u, i < params.low ? 0U : 15U) << i;
      }
    }
  }
}

TEST(I4, KeysOrderAsDistancesDo) {
  constexpr uint32_t dim = 200;
  constexpr size_t kRows = 200;
  for (const Metric metric : {Metric::kL2, Metric::kIp}) {
    const VectorSpec spec = spec_of(dim, metric);
    Random random(5);
    std::vector<float> x(kRows * dim);
    for (float& value : x) value = static_cast<float>(random.unit() + random.unit() + random.unit() - 1.4);
    std::vector<float> sample = x;
    const I8Params i8 = train_i8(spec, sample);
    std::vector<int8_t> codes(kRows * i8_stride(spec));
    for (size_t i = 0; i < kRows; ++i) encode_i8(spec, i8, &x[i * dim], 1, &codes[i * i8_stride(spec)]);
    const I4Params params = train_i4(spec, codes.data(), kRows);
    const std::vector<uint8_t> packed = pack(spec, params, codes);
    I8Query fine;
    fine.prepare(spec, i8, x.data());
    I4Query query;
    query.prepare(spec, params, fine);
    std::vector<double> distances;
    std::vector<uint32_t> keys;
    for (size_t i = 0; i < kRows; ++i) {
      double distance = 0;
      for (uint32_t c = 0; c < dim; ++c) {
        const double a = x[c];
        const double b = x[i * dim + c];
        distance += metric == Metric::kL2 ? (a - b) * (a - b) : -a * b;
      }
      distances.push_back(distance);
      const uint8_t* const row = &packed[i * i4_stride(spec)];
      const uint8_t* const rows[4] = {row, row, row, row};
      uint32_t four[4];
      query.keys4(rows, four);
      EXPECT_EQ(four[0], four[3]);
      keys.push_back(four[0]);
    }
    size_t inversions = 0;
    for (size_t i = 0; i < kRows; ++i) {
      for (size_t j = 0; j < i; ++j) inversions += (distances[i] < distances[j]) != (keys[i] < keys[j]);
    }
    EXPECT_LT(inversions, kRows * kRows / 2 / 20) << name_of(metric);
    if (metric == Metric::kL2) {
      EXPECT_EQ(keys[0], *std::min_element(keys.begin(), keys.end()));
    }
  }
}

TEST(I4, TheStepsLieWhereTheCodesAre) {
  const VectorSpec spec = spec_of(64, Metric::kL2);
  std::vector<int8_t> codes(1000 * 64);
  Random random(1);
  for (int8_t& code : codes) code = static_cast<int8_t>(40 + random.uniform(32));
  const I4Params params = train_i4(spec, codes.data(), 1000);
  EXPECT_EQ(params.step, 2U);
  EXPECT_EQ(params.low, 167U);
}

TEST(I4, DegenerateSamples) {
  const VectorSpec spec = spec_of(64, Metric::kIp);
  for (const int value : {-128, -127, 0, 127}) {
    const std::vector<int8_t> codes(64, static_cast<int8_t>(value));
    const I4Params params = train_i4(spec, codes.data(), 1);
    EXPECT_TRUE(params.step >= 1 && params.step <= I4Params::kMaxStep && params.low <= I4Params::kMaxLow) << value;
  }
  EXPECT_GE(train_i4(spec, nullptr, 0).step, 1U);
}

}  // namespace
}  // namespace lamina
