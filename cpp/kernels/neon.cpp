// NEON, which every ARM64 processor has.
#include "kernels/neon_lanes.h"
#include "kernels/tables.h"

namespace lamina {
namespace {

struct F32 {
  using Element = float;
  static constexpr size_t kStep = 4;
  LAMINA_INLINE float32x4_t load(const float* p) { return vld1q_f32(p); }
  LAMINA_INLINE float32x4_t load(const float* p, size_t rest) {
    return vreinterpretq_f32_u8(load_first(p, rest * sizeof(float)));
  }
};

LAMINA_INLINE float32x4_t widen(uint16x4_t halves) { return vcvt_f32_f16(vreinterpret_f16_u16(halves)); }

struct F16 {
  using Element = f16;
  static constexpr size_t kStep = 4;
  LAMINA_INLINE float32x4_t load(const f16* p) { return widen(vld1_u16(p)); }
  LAMINA_INLINE float32x4_t load(const f16* p, size_t rest) {
    return widen(vcreate_u16(first_bytes(p, rest * sizeof(f16)).low));
  }
};

template <class From>
struct FloatL2 : Floats128, Loads<F32, From> {
  LAMINA_INLINE float32x4_t add(float32x4_t sum, float32x4_t a, float32x4_t b) {
    const float32x4_t difference = vsubq_f32(a, b);
    return vfmaq_f32(sum, difference, difference);
  }
};

template <class From>
struct FloatIp : Floats128, Loads<F32, From> {
  LAMINA_INLINE float32x4_t add(float32x4_t sum, float32x4_t a, float32x4_t b) { return vfmaq_f32(sum, a, b); }
};

// Squares fill 16 bits: each is added to a wider sum by itself.
struct I8L2 : Ints128, Loads<Codes128> {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t a, int8x16_t b) {
    const uint8x16_t apart = difference(a, b);
    sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(apart), vget_low_u8(apart)));
    return vpadalq_u16(sum, vmull_high_u8(apart, apart));
  }
};

// Adds pairs of 16-bit sums with a sign.
LAMINA_INLINE uint32x4_t add_pairs(uint32x4_t sum, int16x8_t pairs) {
  return vreinterpretq_u32_s32(vpadalq_s16(vreinterpretq_s32_u32(sum), pairs));
}

// Two products fit in 16 bits without -128.
struct I8Ip : Ints128, Loads<Codes128> {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t a, int8x16_t b) {
    return add_pairs(sum, vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), a, b));
  }
};

struct Hamming : Ints128, Loads<Bytes128> {
  using Result = uint32_t;
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, uint8x16_t a, uint8x16_t b) {
    return vpadalq_u16(sum, vpaddlq_u8(vcntq_u8(veorq_u8(a, b))));
  }
};

// Differences fit in 7 bits, and four of their squares in 16; so do four products with 4-bit numbers.
struct PackedL2 : Packed128 {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t low, int8x16_t high, uint8x16_t packed) {
    const uint8x16_t first = difference(low, low_eights(packed));
    const uint8x16_t second = difference(high, high_eights(packed));
    const uint16x8_t squares = vmlal_high_u8(vmull_u8(vget_low_u8(first), vget_low_u8(first)), first, first);
    return vpadalq_u16(sum, vmlal_high_u8(vmlal_u8(squares, vget_low_u8(second), vget_low_u8(second)), second, second));
  }
};

struct PackedIp : Packed128 {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t low, int8x16_t high, uint8x16_t packed) {
    const int8x16_t first = low_halves(packed);
    const int8x16_t second = high_halves(packed);
    const int16x8_t products = vmlal_high_s8(vmull_s8(vget_low_s8(low), vget_low_s8(first)), low, first);
    return add_pairs(sum, vmlal_high_s8(vmlal_s8(products, vget_low_s8(high), vget_low_s8(second)), high, second));
  }
};

struct Lookups : Bytes128 {
  struct Sums {
    uint16x8_t first, second;
  };
  LAMINA_INLINE Sums zero() { return {vdupq_n_u16(0), vdupq_n_u16(0)}; }
  LAMINA_INLINE uint8x16_t low_lookups(uint8x16_t table, uint8x16_t packed) {
    return vqtbl1q_u8(table, vreinterpretq_u8_s8(low_halves(packed)));
  }
  LAMINA_INLINE uint8x16_t high_lookups(uint8x16_t table, uint8x16_t packed) {
    return vqtbl1q_u8(table, vreinterpretq_u8_s8(high_halves(packed)));
  }
  LAMINA_INLINE Sums add(Sums sums, uint8x16_t bytes) {
    return {vaddw_u8(sums.first, vget_low_u8(bytes)), vaddw_high_u8(sums.second, bytes)};
  }
  LAMINA_INLINE void store(uint16_t* out, Sums sums) {
    vst1q_u16(out, sums.first);
    vst1q_u16(out + 8, sums.second);
  }
};

float l2_f32(const float* a, const float* b, size_t n) { return distance<FloatL2<F32>>(a, b, n); }
float ip_f32(const float* a, const float* b, size_t n) { return distance<FloatIp<F32>>(a, b, n); }
float l2_f16(const float* a, const f16* b, size_t n) { return distance<FloatL2<F16>>(a, b, n); }
float ip_f16(const float* a, const f16* b, size_t n) { return distance<FloatIp<F16>>(a, b, n); }
int32_t l2_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8L2>(a, b, n); }
int32_t ip_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8Ip>(a, b, n); }
uint32_t hamming(const uint8_t* a, const uint8_t* b, size_t n) { return distance<Hamming>(a, b, n); }

void l2_f32_x4(const float* a, const float* const b[4], size_t n, float out[4]) {
  distance_x4<FloatL2<F32>>(a, b, n, out);
}
void ip_f32_x4(const float* a, const float* const b[4], size_t n, float out[4]) {
  distance_x4<FloatIp<F32>>(a, b, n, out);
}
void l2_f16_x4(const float* a, const f16* const b[4], size_t n, float out[4]) {
  distance_x4<FloatL2<F16>>(a, b, n, out);
}
void ip_f16_x4(const float* a, const f16* const b[4], size_t n, float out[4]) {
  distance_x4<FloatIp<F16>>(a, b, n, out);
}
void l2_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) { distance_x4<I8L2>(a, b, n, out); }
void ip_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) { distance_x4<I8Ip>(a, b, n, out); }
void l2_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedL2>(a, b, n, out);
}
void ip_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedIp>(a, b, n, out);
}
void hamming_x4(const uint8_t* a, const uint8_t* const b[4], size_t n, uint32_t out[4]) {
  distance_x4<Hamming>(a, b, n, out);
}

void sum_lookups_x32(const uint8_t* table, const uint8_t* codes, size_t groups, const uint8_t* next, uint16_t out[32]) {
  sum_lookups<Lookups>(table, codes, groups, next, out);
}

LAMINA_INLINE uint16x4_t narrow(float32x4_t floats) { return vreinterpret_u16_f16(vcvt_f16_f32(floats)); }

void f32_to_f16(const float* from, f16* to, size_t n) {
  size_t i = 0;
  for (; n - i >= 4; i += 4) vst1_u16(to + i, narrow(F32::load(from + i)));
  if (i == n) return;
  const uint16x4_t last = narrow(F32::load(from + i, n - i));
  std::memcpy(to + i, &last, (n - i) * sizeof(f16));
}

void f16_to_f32(const f16* from, float* to, size_t n) {
  size_t i = 0;
  for (; n - i >= 4; i += 4) vst1q_f32(to + i, F16::load(from + i));
  if (i == n) return;
  const float32x4_t last = F16::load(from + i, n - i);
  std::memcpy(to + i, &last, (n - i) * sizeof(float));
}

}  // namespace

const Kernels kNeon = {
    .name = "neon",
    .l2_f32 = l2_f32,
    .ip_f32 = ip_f32,
    .l2_f16 = l2_f16,
    .ip_f16 = ip_f16,
    .l2_i8 = l2_i8,
    .ip_i8 = ip_i8,
    .hamming = hamming,
    .l2_f32_x4 = l2_f32_x4,
    .ip_f32_x4 = ip_f32_x4,
    .l2_f16_x4 = l2_f16_x4,
    .ip_f16_x4 = ip_f16_x4,
    .l2_i8_x4 = l2_i8_x4,
    .ip_i8_x4 = ip_i8_x4,
    .l2_i4_x4 = l2_i4_x4,
    .ip_i4_x4 = ip_i4_x4,
    .hamming_x4 = hamming_x4,
    .sum_lookups_x32 = sum_lookups_x32,
    .f32_to_f16 = f32_to_f16,
    .f16_to_f32 = f16_to_f32,
};

}  // namespace lamina
