// Plain C++ for any CPU. Sixteen independent sums let the compiler use whatever vector registers the platform's
// baseline has (SSE2, NEON) without reordering a float addition that we wrote.
#include <bit>
#include <cstring>

#include "kernels/tables.h"

namespace lamina {
namespace {

constexpr size_t kLanes = 16;

float to_f32(float value) { return value; }

// Selects only, so that the loops around it vectorize. A subnormal is made normal by an exact subtraction, which
// holds even in a process that flushes subnormals to zero.
float to_f32(f16 half) {
  const uint32_t magnitude = (half & 0x7fffu) << 13;
  const uint32_t normal = magnitude + (112u << 23);
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude | (113u << 23)) - 0x1p-14f);
  const uint32_t quiet = magnitude > 0x0f800000u ? 0x7fc00000u : 0x7f800000u;
  const uint32_t special = magnitude | quiet;
  uint32_t bits = magnitude < 0x00800000u ? subnormal : normal;
  bits = magnitude >= 0x0f800000u ? special : bits;
  return std::bit_cast<float>(bits | (half & 0x8000u) << 16);
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

struct L2 {
  static float term(float a, float b) { return (a - b) * (a - b); }
  static int32_t term(int32_t a, int32_t b) { return (a - b) * (a - b); }
};

struct Ip {
  static float term(float a, float b) { return a * b; }
  static int32_t term(int32_t a, int32_t b) { return a * b; }
};

template <class Op, class Stored>
float floats(const float* a, const Stored* b, size_t n) {
  float sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += Op::term(a[i + lane], to_f32(b[i + lane]));
  }
  for (size_t lane = 0; i < n; ++i, ++lane) sums[lane] += Op::term(a[i], to_f32(b[i]));
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  }
  return sums[0];
}

template <class Op>
int32_t bytes(const int8_t* a, const int8_t* b, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += Op::term(int32_t{a[i]}, int32_t{b[i]});
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

template <auto kSingle, class Query, class Stored, class Result>
void four(const Query* a, const Stored* const b[4], size_t n, Result out[4]) {
  for (size_t v = 0; v < 4; ++v) out[v] = kSingle(a, b[v], n);
}

void f32_to_f16(const float* from, f16* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = to_f16(from[i]);
}

void f16_to_f32(const f16* from, float* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = to_f32(from[i]);
}

}  // namespace

const Kernels kBaseline = {
    .name = "baseline",
    .l2_f32 = floats<L2, float>,
    .ip_f32 = floats<Ip, float>,
    .l2_f16 = floats<L2, f16>,
    .ip_f16 = floats<Ip, f16>,
    .l2_i8 = bytes<L2>,
    .ip_i8 = bytes<Ip>,
    .hamming = hamming,
    .l2_f32_x4 = four<floats<L2, float>>,
    .ip_f32_x4 = four<floats<Ip, float>>,
    .l2_f16_x4 = four<floats<L2, f16>>,
    .ip_f16_x4 = four<floats<Ip, f16>>,
    .l2_i8_x4 = four<bytes<L2>>,
    .ip_i8_x4 = four<bytes<Ip>>,
    .hamming_x4 = four<hamming>,
    .f32_to_f16 = f32_to_f16,
    .f16_to_f32 = f16_to_f32,
};

}  // namespace lamina
