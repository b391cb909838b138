// Goal: every implementation of every distance gives what a loop of three lines gives, and reads nothing else.
// Method: all lengths 0..300 and the usual dimensions; random and hostile values; every alignment; operands that end
// or begin at a page that must not be touched; four vectors at once against four single calls, bit for bit.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/variants.h"

namespace lamina {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Exact {
  double value = 0;
  double magnitude = 0;  // the sum of the absolute terms, which rounding errors are proportional to
};

double widen(float value) { return value; }
double widen(int8_t value) { return value; }
double widen(f16 half) {
  float value = 0;
  kernels().f16_to_f32(&half, &value, 1);  // its own test holds it against arithmetic
  return value;
}

template <class A, class B>
Exact l2_oracle(const A* a, const B* b, size_t n) {
  Exact sum;
  for (size_t i = 0; i < n; ++i) sum.value += (widen(a[i]) - widen(b[i])) * (widen(a[i]) - widen(b[i]));
  sum.magnitude = sum.value;
  return sum;
}

template <class A, class B>
Exact ip_oracle(const A* a, const B* b, size_t n) {
  Exact sum;
  for (size_t i = 0; i < n; ++i) sum.value += widen(a[i]) * widen(b[i]);
  for (size_t i = 0; i < n; ++i) sum.magnitude += std::abs(widen(a[i]) * widen(b[i]));
  return sum;
}

uint32_t hamming_oracle(const uint8_t* a, const uint8_t* b, size_t n) {
  uint32_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<uint32_t>(std::popcount(static_cast<uint8_t>(a[i] ^ b[i])));
  return sum;
}

// One rounding a term, and one an addition on the way of a term through sixteen or more lanes.
testing::AssertionResult close(float got, const Exact& want, size_t n) {
  const double allowed =
      (static_cast<double>(n) / 16 + 8) * 0x1p-24 * want.magnitude + 0x1p-148 * (1.0 + static_cast<double>(n));
  if (std::abs(got - want.value) <= allowed) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "got " << got << ", want " << want.value << " within " << allowed;
}

std::vector<size_t> lengths() {
  std::vector<size_t> all;
  for (size_t n = 0; n <= 300; ++n) all.push_back(n);
  for (size_t n : {384, 511, 512, 513, 768, 960, 1000, 1024, 1536, 4095, 4096}) all.push_back(n);
  return all;
}

class KernelsTest : public testing::TestWithParam<Variant> {
 protected:
  template <class T>
  std::vector<T> bytes(size_t n) {
    std::vector<T> values(n);
    for (T& value : values) value = static_cast<T>(random_());
    return values;
  }

  // As codes are: without -128.
  std::vector<int8_t> codes(size_t n) {
    std::vector<int8_t> values = bytes<int8_t>(n);
    for (int8_t& value : values) value = std::max<int8_t>(value, -127);
    return values;
  }

  // Magnitudes from 2^-spread to 2^spread.
  std::vector<float> floats(size_t n, int spread) {
    std::uniform_real_distribution<float> mantissa(-1, 1);
    std::uniform_int_distribution<int> exponent(-spread, spread);
    std::vector<float> values(n);
    for (float& value : values) value = std::ldexp(mantissa(random_), exponent(random_));
    return values;
  }

  std::vector<f16> halves(size_t n, int spread) {
    std::vector<f16> values(n);
    table_.f32_to_f16(floats(n, spread).data(), values.data(), n);
    return values;
  }

  const Kernels table_ = GetParam().table;
  std::mt19937_64 random_{42};
  GuardedPages left_, right_, others_[3];
};

// `single` against `oracle`, and `x4` against `single`, with operands at either guard.
template <class Single, class X4, class A, class B, class Check>
void expect_agreement(GuardedPages* left, GuardedPages* right, GuardedPages* others, Single single, X4 x4,
                      const std::vector<A>& a, const std::vector<B> (&b)[4], const Check& check) {
  const size_t n = a.size();
  for (bool end : {true, false}) {
    const A* query = end ? left->at_end(a) : left->at_start(a);
    GuardedPages* pages[4] = {right, others, others + 1, others + 2};
    const B* stored[4];
    for (int v = 0; v < 4; ++v) stored[v] = end ? pages[v]->at_end(b[v]) : pages[v]->at_start(b[v]);
    decltype(single(query, stored[0], n)) four[4];
    x4(query, stored, n, four);
    for (int v = 0; v < 4; ++v) {
      const auto one = single(query, stored[v], n);
      check(one, query, stored[v]);
      EXPECT_EQ(std::bit_cast<uint32_t>(one), std::bit_cast<uint32_t>(four[v])) << "vector " << v << ", n " << n;
    }
  }
}

TEST_P(KernelsTest, F32AgreesAtEveryLength) {
  for (int spread : {0, 30}) {
    for (size_t n : lengths()) {
      const auto a = floats(n, spread);
      const std::vector<float> b[4] = {floats(n, spread), floats(n, spread), floats(n, spread), a};
      expect_agreement(
          &left_, &right_, others_, table_.l2_f32, table_.l2_f32_x4, a, b,
          [&](float got, auto* x, auto* y) { EXPECT_TRUE(close(got, l2_oracle(x, y, n), n)) << "l2, n " << n; });
      expect_agreement(
          &left_, &right_, others_, table_.ip_f32, table_.ip_f32_x4, a, b,
          [&](float got, auto* x, auto* y) { EXPECT_TRUE(close(got, ip_oracle(x, y, n), n)) << "ip, n " << n; });
    }
  }
}

TEST_P(KernelsTest, F16AgreesAtEveryLength) {
  for (int spread : {0, 14}) {
    for (size_t n : lengths()) {
      const auto a = floats(n, spread);
      const std::vector<f16> b[4] = {halves(n, spread), halves(n, spread), halves(n, spread), halves(n, spread)};
      expect_agreement(
          &left_, &right_, others_, table_.l2_f16, table_.l2_f16_x4, a, b,
          [&](float got, auto* x, auto* y) { EXPECT_TRUE(close(got, l2_oracle(x, y, n), n)) << "l2, n " << n; });
      expect_agreement(
          &left_, &right_, others_, table_.ip_f16, table_.ip_f16_x4, a, b,
          [&](float got, auto* x, auto* y) { EXPECT_TRUE(close(got, ip_oracle(x, y, n), n)) << "ip, n " << n; });
    }
  }
}

TEST_P(KernelsTest, I8IsExactAtEveryLength) {
  for (size_t n : lengths()) {
    const auto a = bytes<int8_t>(n);
    const std::vector<int8_t> b[4] = {bytes<int8_t>(n), bytes<int8_t>(n), bytes<int8_t>(n), a};
    expect_agreement(&left_, &right_, others_, table_.l2_i8, table_.l2_i8_x4, a, b,
                     [&](int32_t got, auto* x, auto* y) { EXPECT_EQ(got, l2_oracle(x, y, n).value) << "n " << n; });
    const auto code = codes(n);
    const std::vector<int8_t> rows[4] = {codes(n), codes(n), codes(n), code};
    expect_agreement(&left_, &right_, others_, table_.ip_i8, table_.ip_i8_x4, code, rows,
                     [&](int32_t got, auto* x, auto* y) { EXPECT_EQ(got, ip_oracle(x, y, n).value) << "n " << n; });
  }
}

// Queries up to the ends of what is allowed, codes of any bytes, and of all ones.
TEST_P(KernelsTest, PackedCodesAreExactAtEveryLength) {
  const auto unpacked = [](const uint8_t* b, size_t i) {
    const uint8_t byte = b[i / 128 * 64 + i % 64];
    return i % 128 < 64 ? byte & 15 : byte >> 4;
  };
  for (size_t n : {0, 128, 256, 384, 640, 1024, 1536, 32768}) {
    std::vector<int8_t> a = bytes<int8_t>(n);
    const std::vector<uint8_t> b[4] = {bytes<uint8_t>(n / 2), std::vector<uint8_t>(n / 2, 0xff),
                                       std::vector<uint8_t>(n / 2), bytes<uint8_t>(n / 2)};
    for (const int hostile : {0, 1, 127, -128}) {
      if (hostile != 0) std::fill(a.begin(), a.end(), static_cast<int8_t>(hostile));
      const int8_t* const query = left_.at_end(a);
      GuardedPages* pages[4] = {&right_, others_, others_ + 1, others_ + 2};
      const uint8_t* stored[4];
      for (int v = 0; v < 4; ++v) stored[v] = pages[v]->at_end(b[v]);
      int32_t out[4];
      table_.ip_i4_x4(query, stored, n, out);
      for (int v = 0; v < 4; ++v) {
        int64_t sum = 0;
        for (size_t i = 0; i < n; ++i) sum += a[i] * unpacked(stored[v], i);
        EXPECT_EQ(out[v], sum) << "vector " << v << ", n " << n << ", " << hostile;
      }
      for (int8_t& value : a) value &= 127;
      table_.l2_i4_x4(left_.at_start(a), stored, n, out);
      for (int v = 0; v < 4; ++v) {
        int64_t sum = 0;
        for (size_t i = 0; i < n; ++i) {
          const int difference = a[i] - 8 * unpacked(stored[v], i);
          sum += difference * difference;
        }
        EXPECT_EQ(out[v], sum) << "vector " << v << ", n " << n << ", " << hostile;
      }
    }
  }
}

TEST_P(KernelsTest, HammingIsExactAtEveryLength) {
  for (size_t n : lengths()) {
    const auto a = bytes<uint8_t>(n);
    const std::vector<uint8_t> b[4] = {bytes<uint8_t>(n), std::vector<uint8_t>(n, 0xff), bytes<uint8_t>(n), a};
    expect_agreement(&left_, &right_, others_, table_.hamming, table_.hamming_x4, a, b,
                     [&](uint32_t got, auto* x, auto* y) { EXPECT_EQ(got, hamming_oracle(x, y, n)) << "n " << n; });
  }
}

// 65535 is the largest sum that the contract allows: 257 groups of 255. Every table is read at either guard, unaligned,
// and with codes that look up one entry all over, so that carries between neighbouring sums would add up.
TEST_P(KernelsTest, LookupsAreSummedExactlyAtEveryLength) {
  const auto expect_exact = [&](const std::vector<uint8_t>& table, const std::vector<uint8_t>& codes) {
    const size_t groups = table.size() / 16;
    uint32_t want[32] = {};
    for (size_t g = 0; g < groups; ++g) {
      for (size_t i = 0; i < 32; ++i) {
        const uint8_t byte = codes[16 * g + i % 16];
        want[i] += table[16 * g + (i < 16 ? byte & 15 : byte >> 4)];
      }
    }
    std::vector<uint8_t> shifted_table = table;
    std::vector<uint8_t> shifted_codes = codes;
    shifted_table.insert(shifted_table.begin(), 7, 0xff);
    shifted_codes.insert(shifted_codes.begin(), 13, 0xff);
    const uint8_t* const tables[] = {left_.at_end(table), others_[0].at_start(table), shifted_table.data() + 7};
    const uint8_t* const stored[] = {right_.at_end(codes), others_[1].at_start(codes), shifted_codes.data() + 13};
    for (size_t at = 0; at < 3; ++at) {
      const std::vector<uint16_t> canaries(32, 0xabcd);
      uint16_t* const out = others_[2].at_end(canaries);
      table_.sum_lookups_x32(tables[at], stored[at], groups, stored[at], out);
      for (size_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], want[i]) << "vector " << i << ", groups " << groups;
    }
  };
  for (size_t groups = 0; groups <= 256; groups += 4) {
    const auto table = bytes<uint8_t>(16 * groups);
    const std::vector<uint8_t> largest(16 * groups, 0xff);
    for (const auto& entries : {table, largest}) {
      expect_exact(entries, bytes<uint8_t>(16 * groups));
      for (const int same : {0x00, 0x0f, 0xf0, 0xff}) {
        expect_exact(entries, std::vector<uint8_t>(16 * groups, static_cast<uint8_t>(same)));
      }
    }
  }
  // Sums of 65535 in every other vector, and in all.
  constexpr size_t kGroups = 260;
  std::vector<uint8_t> full(16 * kGroups), odd_entries(16 * kGroups), alternating(16 * kGroups);
  std::fill_n(full.begin(), 16 * 257, uint8_t{0xff});
  for (size_t i = 0; i < 16 * 257; ++i) odd_entries[i] = i % 2 == 0 ? 0 : 0xff;
  for (size_t i = 0; i < 16 * kGroups; ++i) alternating[i] = i % 2 == 0 ? 0x01 : 0x10;
  expect_exact(full, bytes<uint8_t>(16 * kGroups));
  expect_exact(odd_entries, alternating);
}

// The sums are the largest that the contract allows: any saturation or lost sign on the way shows.
TEST_P(KernelsTest, I8ExtremesStayExactUpToTheStatedLength) {
  constexpr int8_t kExtremes[] = {-128, -127, -1, 0, 1, 127};
  for (int8_t x : kExtremes) {
    for (int8_t y : kExtremes) {
      for (size_t n : {1, 15, 64, 100, 4096, 32768, 65536}) {
        const std::vector<int8_t> a(n, x), b(n, y);
        const int8_t* const four[4] = {b.data(), a.data(), b.data(), a.data()};
        int32_t out[4];
        if (x != -128 && y != -128) {
          EXPECT_EQ(table_.ip_i8(a.data(), b.data(), n), ip_oracle(a.data(), b.data(), n).value);
          table_.ip_i8_x4(a.data(), four, n, out);
          EXPECT_EQ(out[1], ip_oracle(a.data(), a.data(), n).value);
        }
        if (n > 32768) continue;
        EXPECT_EQ(table_.l2_i8(a.data(), b.data(), n), l2_oracle(a.data(), b.data(), n).value);
        table_.l2_i8_x4(a.data(), four, n, out);
        EXPECT_EQ(out[2], l2_oracle(a.data(), b.data(), n).value);
      }
    }
  }
}

TEST_P(KernelsTest, AnyAlignmentGivesTheSame) {
  constexpr size_t n = 131;
  const auto a = floats(n + 16, 3), b = floats(n + 16, 3);
  const auto half = halves(n + 32, 3);
  const auto x = codes(n + 64), y = codes(n + 64);
  const auto* p = reinterpret_cast<const uint8_t*>(x.data());
  const auto* q = reinterpret_cast<const uint8_t*>(y.data());
  for (size_t at = 0; at < 64; ++at) {
    const float* left = a.data() + at % 16;
    const float* right = b.data() + at / 4;
    EXPECT_TRUE(close(table_.l2_f32(left, right, n), l2_oracle(left, right, n), n)) << at;
    EXPECT_TRUE(close(table_.ip_f32(left, right, n), ip_oracle(left, right, n), n)) << at;
    EXPECT_TRUE(close(table_.l2_f16(left, &half[at / 2], n), l2_oracle(left, &half[at / 2], n), n)) << at;
    EXPECT_TRUE(close(table_.ip_f16(left, &half[at / 2], n), ip_oracle(left, &half[at / 2], n), n)) << at;
    EXPECT_EQ(table_.l2_i8(&x[at], &y[63 - at], n), l2_oracle(&x[at], &y[63 - at], n).value) << at;
    EXPECT_EQ(table_.ip_i8(&x[at], &y[63 - at], n), ip_oracle(&x[at], &y[63 - at], n).value) << at;
    EXPECT_EQ(table_.hamming(p + at, q + 63 - at, n), hamming_oracle(p + at, q + 63 - at, n)) << at;
  }
}

TEST_P(KernelsTest, SubnormalsAndSignedZerosCount) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  for (size_t n : {1, 7, 16, 77, 130}) {
    const std::vector<float> tiny(n, 3 * kTiny), big(n, 0x1p100f), zero(n, 0.0f), minus_zero(n, -0.0f);
    EXPECT_EQ(table_.ip_f32(tiny.data(), big.data(), n), static_cast<float>(n) * 3 * 0x1p-49f);
    EXPECT_EQ(table_.l2_f32(tiny.data(), zero.data(), n), 0);
    EXPECT_EQ(table_.l2_f32(zero.data(), minus_zero.data(), n), 0);
    EXPECT_EQ(table_.ip_f32(minus_zero.data(), big.data(), n), 0);
    const std::vector<f16> smallest(n, 1);  // 2^-24
    EXPECT_EQ(table_.ip_f16(big.data(), smallest.data(), n), static_cast<float>(n) * 0x1p76f);
  }
}

TEST_P(KernelsTest, OverflowBecomesInfinity) {
  for (size_t n : {1, 15, 16, 40, 300}) {
    const std::vector<float> big(n, 3e38f), minus(n, -3e38f);
    const std::vector<f16> infinite(n, 0x7c00);
    EXPECT_EQ(table_.l2_f32(big.data(), minus.data(), n), kInf);
    EXPECT_EQ(table_.ip_f32(big.data(), big.data(), n), kInf);
    EXPECT_EQ(table_.ip_f32(big.data(), minus.data(), n), -kInf);
    EXPECT_EQ(table_.l2_f16(big.data(), infinite.data(), n), kInf);
  }
}

// A NaN at any place reaches the result of its own vector and of no other.
TEST_P(KernelsTest, NanPropagatesWithinItsVector) {
  for (size_t n : {1, 16, 17, 70, 133}) {
    for (size_t at = 0; at < n; ++at) {
      const std::vector<float> a(n, 1), good(n, 2);
      std::vector<float> bad = good;
      bad[at] = kNan;
      const std::vector<f16> good_half(n, 0x4000);
      std::vector<f16> bad_half = good_half;
      bad_half[at] = 0x7e00;
      const float* const four[4] = {good.data(), bad.data(), good.data(), good.data()};
      const f16* const four_halves[4] = {good_half.data(), good_half.data(), bad_half.data(), good_half.data()};
      float out[4];
      for (auto x4 : {table_.l2_f32_x4, table_.ip_f32_x4}) {
        x4(a.data(), four, n, out);
        for (int v = 0; v < 4; ++v) EXPECT_EQ(std::isnan(out[v]), v == 1) << "n " << n << ", at " << at;
      }
      for (auto x4 : {table_.l2_f16_x4, table_.ip_f16_x4}) {
        x4(a.data(), four_halves, n, out);
        for (int v = 0; v < 4; ++v) EXPECT_EQ(std::isnan(out[v]), v == 2) << "n " << n << ", at " << at;
      }
      EXPECT_TRUE(std::isnan(table_.l2_f32(bad.data(), a.data(), n)));
      EXPECT_TRUE(std::isnan(table_.ip_f16(a.data(), bad_half.data(), n)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, KernelsTest, testing::ValuesIn(variants()),
                         [](const auto& variant) { return variant.param.name; });

}  // namespace
}  // namespace lamina
