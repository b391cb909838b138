// Plain C++ for any CPU, in vectors of 16 bytes, which GCC and Clang map to what the platform has at least (SSE2,
// NEON). Bytes are left to their auto-vectorizer: sums of integers may be reordered, sums of floats may not.
#include <bit>
#include <cstring>

#include "kernels/distance_loop.h"
#include "kernels/tables.h"

namespace lamina {
namespace {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));
using Half4 = f16 __attribute__((vector_size(8)));

template <class Vector, class Element>
LAMINA_INLINE Vector load4(const Element* p) {
  Vector vector;
  std::memcpy(&vector, p, sizeof(vector));
  return vector;
}

template <class Vector, class Element>
LAMINA_INLINE Vector load4(const Element* p, size_t rest) {
  Vector vector = {};
  for (size_t i = 0; i < rest; ++i) vector[i] = p[i];
  return vector;
}

// A subnormal is made normal by an exact subtraction, which holds even in a process that flushes subnormals to zero.
LAMINA_INLINE Float4 widen(Half4 halves) {
  const Int4 bits = __builtin_convertvector(halves, Int4);
  const Int4 magnitude = (bits & 0x7fff) << 13;
  const Int4 normal = magnitude + (112 << 23);
  const Int4 subnormal = std::bit_cast<Int4>(std::bit_cast<Float4>(magnitude | (113 << 23)) - 0x1p-14f);
  const Int4 quiet = (magnitude > 0x0f800000) & 0x00400000;
  const Int4 finite = magnitude < 0x00800000 ? subnormal : normal;
  const Int4 value = magnitude >= 0x0f800000 ? magnitude | quiet | 0x7f800000 : finite;
  return std::bit_cast<Float4>(value | (bits & 0x8000) << 16);
}

// The subnormal path lets the float adder round: 0.5f has the unit in the last place that the smallest half has.
f16 to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - (126u << 23);
  const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  uint32_t half = magnitude < (113u << 23) ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // 65520 is half way between the largest half and the next
  half = magnitude > 0x7f800000u ? nan : half;
  return static_cast<f16>(sign | half);
}

struct F32 {
  using Element = float;
  static constexpr size_t kStep = 4;
  template <class... Rest>
  LAMINA_INLINE Float4 load(const float* p, Rest... rest) {
    return load4<Float4>(p, rest...);
  }
};

struct F16 {
  using Element = f16;
  static constexpr size_t kStep = 4;
  template <class... Rest>
  LAMINA_INLINE Float4 load(const f16* p, Rest... rest) {
    return widen(load4<Half4>(p, rest...));
  }
};

struct Floats {
  using Lanes = Float4;
  using Result = float;
  static constexpr size_t kChains = 4;
  static constexpr size_t kTogether = 2;
  static constexpr bool kBiased = false;

  LAMINA_INLINE Float4 zero() { return Float4{}; }
  LAMINA_INLINE Float4 join(Float4 a, Float4 b) { return a + b; }
  LAMINA_INLINE float total(Float4 lanes) { return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]); }
  LAMINA_INLINE Float4 sum4(Float4 a, Float4 b, Float4 c, Float4 d) {
    return Float4{total(a), total(b), total(c), total(d)};
  }
  LAMINA_INLINE float first(Float4 sums) { return sums[0]; }
  LAMINA_INLINE void store(float* out, Float4 sums) { std::memcpy(out, &sums, sizeof(sums)); }
};

template <class From>
struct FloatL2 : Floats, Loads<F32, From> {
  LAMINA_INLINE Float4 add(Float4 sum, Float4 a, Float4 b) { return sum + (a - b) * (a - b); }
};

template <class From>
struct FloatIp : Floats, Loads<F32, From> {
  LAMINA_INLINE Float4 add(Float4 sum, Float4 a, Float4 b) { return sum + a * b; }
};

template <class Op>
typename Op::Result one(const typename Op::Query* a, const typename Op::Stored* b, size_t n) {
  return distance<Op>(a, b, n);
}

template <class Op>
void four(const typename Op::Query* a, const typename Op::Stored* const b[4], size_t n, typename Op::Result out[4]) {
  distance_x4<Op>(a, b, n, out);
}

template <auto kSingle, class Query, class Stored, class Result>
void one_by_one(const Query* a, const Stored* const b[4], size_t n, Result out[4]) {
  for (size_t v = 0; v < 4; ++v) out[v] = kSingle(a, b[v], n);
}

int32_t l2_i8(const int8_t* a, const int8_t* b, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

int32_t ip_i8(const int8_t* a, const int8_t* b, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

int32_t l2_i4(const int8_t* a, const uint8_t* b, size_t n) {
  int32_t sum = 0;
  for (; n > 0; a += 128, b += 64, n -= 128) {
    for (size_t i = 0; i < 64; ++i) {
      const int32_t low = a[i] - 8 * (b[i] & 15);
      const int32_t high = a[64 + i] - 8 * (b[i] >> 4);
      sum += low * low + high * high;
    }
  }
  return sum;
}

int32_t ip_i4(const int8_t* a, const uint8_t* b, size_t n) {
  int32_t sum = 0;
  for (; n > 0; a += 128, b += 64, n -= 128) {
    for (size_t i = 0; i < 64; ++i) sum += a[i] * (b[i] & 15) + a[64 + i] * (b[i] >> 4);
  }
  return sum;
}

// Bits are counted within bytes first: std::popcount is a function call on x86-64 without its extensions.
uint32_t popcount(uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<uint32_t>((word * 0x0101010101010101u) >> 56);
}

uint32_t hamming(const uint8_t* a, const uint8_t* b, size_t n) {
  uint32_t sum = 0;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t left = 0;
    uint64_t right = 0;
    std::memcpy(&left, a + i, 8);
    std::memcpy(&right, b + i, 8);
    sum += popcount(left ^ right);
  }
  for (; i < n; ++i) sum += popcount(static_cast<uint64_t>(a[i] ^ b[i]));
  return sum;
}

void sum_lookups_x32(const uint8_t* table, const uint8_t* codes, size_t groups, const uint8_t* next, uint16_t out[32]) {
  prefetch(next, 16 * groups);
  for (size_t i = 0; i < 16; ++i) {
    uint32_t low = 0;
    uint32_t high = 0;
    for (size_t at = 0; at < 16 * groups; at += 16) {
      low += table[at + (codes[at + i] & 15)];
      high += table[at + (codes[at + i] >> 4)];
    }
    out[i] = static_cast<uint16_t>(low);
    out[16 + i] = static_cast<uint16_t>(high);
  }
}

void f32_to_f16(const float* from, f16* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = to_f16(from[i]);
}

void f16_to_f32(const f16* from, float* to, size_t n) {
  size_t i = 0;
  for (; n - i >= 4; i += 4) Floats::store(to + i, F16::load(from + i));
  if (i == n) return;
  const Float4 last = F16::load(from + i, n - i);
  std::memcpy(to + i, &last, (n - i) * sizeof(float));
}

}  // namespace

const Kernels kBaseline = {
    .name = "baseline",
    .l2_f32 = one<FloatL2<F32>>,
    .ip_f32 = one<FloatIp<F32>>,
    .l2_f16 = one<FloatL2<F16>>,
    .ip_f16 = one<FloatIp<F16>>,
    .l2_i8 = l2_i8,
    .ip_i8 = ip_i8,
    .hamming = hamming,
    .l2_f32_x4 = four<FloatL2<F32>>,
    .ip_f32_x4 = four<FloatIp<F32>>,
    .l2_f16_x4 = four<FloatL2<F16>>,
    .ip_f16_x4 = four<FloatIp<F16>>,
    .l2_i8_x4 = one_by_one<l2_i8>,
    .ip_i8_x4 = one_by_one<ip_i8>,
    .l2_i4_x4 = one_by_one<l2_i4>,
    .ip_i4_x4 = one_by_one<ip_i4>,
    .hamming_x4 = one_by_one<hamming>,
    .sum_lookups_x32 = sum_lookups_x32,
    .f32_to_f16 = f32_to_f16,
    .f16_to_f32 = f16_to_f32,
};

}  // namespace lamina
