// 128-bit accumulators, loads that end at `rest` elements, and sums over lanes.
#pragma once

#include <arm_neon.h>

#include "kernels/distance_loop.h"
#include "kernels/first_bytes.h"

namespace lamina {

struct Floats128 {
  using Lanes = float32x4_t;
  using Result = float;
  static constexpr bool kBiased = false;
  // Sixteen sums and their operands fit in 32 registers.
  static constexpr size_t kChains = 4;
  static constexpr size_t kTogether = 4;

  LAMINA_INLINE float32x4_t zero() { return vdupq_n_f32(0); }
  LAMINA_INLINE float32x4_t join(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
  LAMINA_INLINE float32x4_t sum4(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
    return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
  }
  LAMINA_INLINE float first(float32x4_t sums) { return vgetq_lane_f32(sums, 0); }
  LAMINA_INLINE void store(float* out, float32x4_t sums) { vst1q_f32(out, sums); }
};

// Without a sign, which no sum of squares or bits needs; a sum with one has the same bits.
struct Ints128 {
  using Lanes = uint32x4_t;
  using Result = int32_t;
  static constexpr bool kBiased = false;
  static constexpr size_t kChains = 2;
  static constexpr size_t kTogether = 4;

  LAMINA_INLINE uint32x4_t zero() { return vdupq_n_u32(0); }
  LAMINA_INLINE uint32x4_t join(uint32x4_t a, uint32x4_t b) { return vaddq_u32(a, b); }
  LAMINA_INLINE uint32x4_t sum4(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d) {
    return vpaddq_u32(vpaddq_u32(a, b), vpaddq_u32(c, d));
  }
  LAMINA_INLINE uint32_t first(uint32x4_t sums) { return vgetq_lane_u32(sums, 0); }
  LAMINA_INLINE void store(void* out, uint32x4_t sums) { vst1q_u32(static_cast<uint32_t*>(out), sums); }
};

// 0 < count < 16 bytes and zeros behind them.
LAMINA_INLINE uint8x16_t load_first(const void* from, size_t count) {
  const FirstBytes bytes = first_bytes(from, count);
  return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(bytes.low), vcreate_u64(bytes.high)));
}

// 16 bytes as they are.
struct Bytes128 {
  using Element = uint8_t;
  static constexpr size_t kStep = 16;
  LAMINA_INLINE uint8x16_t load(const uint8_t* p) { return vld1q_u8(p); }
  LAMINA_INLINE uint8x16_t load(const uint8_t* p, size_t rest) { return load_first(p, rest); }
};

struct Codes128 {
  using Element = int8_t;
  static constexpr size_t kStep = 16;
  LAMINA_INLINE int8x16_t load(const int8_t* p) { return vld1q_s8(p); }
  LAMINA_INLINE int8x16_t load(const int8_t* p, size_t rest) { return vreinterpretq_s8_u8(load_first(p, rest)); }
};

// |a - b| of signed bytes: up to 255, and so without a sign.
LAMINA_INLINE uint8x16_t difference(int8x16_t a, int8x16_t b) { return vreinterpretq_u8_s8(vabdq_s8(a, b)); }

// 16 elements of each half of a block of packed 4-bit codes.
struct Packed128 : Ints128 {
  static constexpr size_t kStep = 16;
  LAMINA_INLINE int8x16_t load(const int8_t* p) { return vld1q_s8(p); }
  LAMINA_INLINE uint8x16_t load(const uint8_t* p) { return vld1q_u8(p); }
};

// Of packed 4-bit codes: the halves of each byte as they are, and eightfold.
LAMINA_INLINE int8x16_t low_halves(uint8x16_t packed) { return vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15))); }
LAMINA_INLINE int8x16_t high_halves(uint8x16_t packed) { return vreinterpretq_s8_u8(vshrq_n_u8(packed, 4)); }
LAMINA_INLINE int8x16_t low_eights(uint8x16_t packed) { return vshlq_n_s8(low_halves(packed), 3); }
LAMINA_INLINE int8x16_t high_eights(uint8x16_t packed) { return vshlq_n_s8(high_halves(packed), 3); }

}  // namespace lamina
