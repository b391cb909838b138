// Goal: both conversions have the same bits on every instruction set, and they are the right ones.
// Method: all 65,536 halves against arithmetic; the point half way between each two neighbours and the floats on
// either side of it; random bit patterns against the neighbours that they lie between; all tails at a guard page.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/variants.h"

namespace lamina {
namespace {

bool is_nan(f16 half) { return (half & 0x7fff) > 0x7c00; }

// IEEE 754 by its definition: sign, exponent of 5 bits, fraction of 10.
double value_of(f16 half) {
  const int exponent = (half >> 10) & 31;
  const int fraction = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

class F16Test : public testing::TestWithParam<Variant> {
 protected:
  f16 to_f16(float value) const {
    f16 half = 0;
    table_.f32_to_f16(&value, &half, 1);
    return half;
  }
  const Kernels table_ = GetParam().table;
};

std::vector<f16> every_half() {
  std::vector<f16> halves(65536);
  for (size_t bits = 0; bits < halves.size(); ++bits) halves[bits] = static_cast<f16>(bits);
  return halves;
}

TEST_P(F16Test, EveryHalfWidensExactly) {
  const std::vector<f16> halves = every_half();
  std::vector<float> floats(halves.size());
  table_.f16_to_f32(halves.data(), floats.data(), halves.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    if (is_nan(halves[i])) {  // the quiet bit is set, sign and payload stay
      const uint32_t quiet = (halves[i] & 0x8000u) << 16 | 0x7fc00000u | (halves[i] & 0x3ffu) << 13;
      ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), quiet) << i;
    } else {
      ASSERT_EQ(floats[i], value_of(halves[i])) << i;
      ASSERT_EQ(std::signbit(floats[i]), i >= 0x8000) << i;
    }
  }
}

TEST_P(F16Test, EveryHalfComesBack) {
  const std::vector<f16> halves = every_half();
  std::vector<float> floats(halves.size());
  std::vector<f16> back(halves.size());
  table_.f16_to_f32(halves.data(), floats.data(), halves.size());
  table_.f32_to_f16(floats.data(), back.data(), halves.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    ASSERT_EQ(back[i], is_nan(halves[i]) ? halves[i] | 0x200 : halves[i]) << i;
  }
}

TEST_P(F16Test, HalfWayGoesToEven) {
  for (unsigned bits = 0; bits < 0x7c00; ++bits) {
    const f16 below = static_cast<f16>(bits), above = static_cast<f16>(bits + 1);
    const double next = above == 0x7c00 ? 65536 : value_of(above);  // overflow begins where a next half would
    const float middle = static_cast<float>((value_of(below) + next) / 2);
    const f16 even = bits % 2 == 0 ? below : above;
    for (float sign : {1.0f, -1.0f}) {
      const unsigned sign_bit = sign < 0 ? 0x8000 : 0;
      ASSERT_EQ(to_f16(sign * middle), even | sign_bit) << bits;
      ASSERT_EQ(to_f16(sign * std::nextafter(middle, 0.0f)), below | sign_bit) << bits;
      ASSERT_EQ(to_f16(sign * std::nextafter(middle, 1e9f)), above | sign_bit) << bits;
    }
  }
}

TEST_P(F16Test, ExtremesAreRight) {
  EXPECT_EQ(to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(to_f16(-0.0f), 0x8000);
  EXPECT_EQ(to_f16(std::bit_cast<float>(0x7f800001u)), 0x7e00);  // a signalling NaN does not become infinity
  EXPECT_EQ(to_f16(std::bit_cast<float>(0xffffffffu)), 0xffff);
}

TEST_P(F16Test, RandomFloatsGoToTheNearest) {
  std::mt19937 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const uint32_t bits = static_cast<uint32_t>(random()) % 0x0d000000u + 0x3b000000u;  // about where halves are
    const float value = std::bit_cast<float>(bits);
    const f16 half = to_f16(value);
    if (value >= 65520) {
      ASSERT_EQ(half, 0x7c00) << value;
      continue;
    }
    const double error = std::abs(value_of(half) - value);
    const double below = value_of(static_cast<f16>(half == 0 ? 0 : half - 1));
    const double above = value_of(static_cast<f16>(half == 0x7bff ? half : half + 1));
    ASSERT_LE(error, std::abs(below - value)) << value;
    ASSERT_LE(error, std::abs(above - value)) << value;
  }
}

TEST_P(F16Test, TailsTouchNothingElse) {
  GuardedPages float_pages, half_pages;
  for (size_t n = 0; n <= 70; ++n) {
    const std::vector<float> ones(n, 1.0f);
    const std::vector<f16> zeros(n, 0);
    for (bool end : {true, false}) {
      float* floats = end ? float_pages.at_end(ones) : float_pages.at_start(ones);
      f16* halves = end ? half_pages.at_end(zeros) : half_pages.at_start(zeros);
      table_.f32_to_f16(floats, halves, n);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(halves[i], 0x3c00) << n;
      for (size_t i = 0; i < n; ++i) floats[i] = 0;
      table_.f16_to_f32(halves, floats, n);
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(floats[i], 1.0f) << n;
    }
    std::vector<f16> longer(n + 1, 0xabcd);
    table_.f32_to_f16(ones.data(), longer.data(), n);
    EXPECT_EQ(longer[n], 0xabcd);
    std::vector<float> wider(n + 1, 5.0f);
    table_.f16_to_f32(longer.data(), wider.data(), n);
    EXPECT_EQ(wider[n], 5.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, F16Test, testing::ValuesIn(variants()),
                         [](const auto& variant) { return variant.param.name; });

}  // namespace
}  // namespace lamina
