// 256-bit accumulators, loads that end at `rest` elements, and sums over lanes.
#pragma once

#include <immintrin.h>

#include "kernels/distance_loop.h"
#include "kernels/first_bytes.h"

namespace lamina {

struct Floats256 {
  using Lanes = __m256;
  using Result = float;
  static constexpr bool kBiased = false;
  // Four chains for each of two vectors: sixteen registers do not hold four vectors' worth.
  static constexpr size_t kChains = 4;
  static constexpr size_t kTogether = 2;

  LAMINA_INLINE __m256 zero() { return _mm256_setzero_ps(); }
  LAMINA_INLINE __m256 join(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }

  // Transposes while it adds: after two rounds each half holds one partial sum of a, b, c and d.
  LAMINA_INLINE __m128 sum4(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const __m256 low = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd)));
    const __m256 high = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd)));
    const __m256 halves = _mm256_add_ps(low, high);
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  }
  LAMINA_INLINE float first(__m128 sums) { return _mm_cvtss_f32(sums); }
  LAMINA_INLINE void store(float* out, __m128 sums) { _mm_storeu_ps(out, sums); }
};

// Counters of 64 bits may be summed as pairs of 32, as long as the upper half stays zero.
struct Ints256 {
  using Lanes = __m256i;
  using Result = int32_t;
  static constexpr bool kBiased = false;
  static constexpr size_t kChains = 2;
  static constexpr size_t kTogether = 4;

  LAMINA_INLINE __m256i zero() { return _mm256_setzero_si256(); }
  LAMINA_INLINE __m256i join(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
  LAMINA_INLINE __m128i sum4(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    const __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    const __m256i halves = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  }
  LAMINA_INLINE int32_t first(__m128i sums) { return _mm_cvtsi128_si32(sums); }
  LAMINA_INLINE void store(void* out, __m128i sums) { _mm_storeu_si128(static_cast<__m128i*>(out), sums); }
};

// 0 < count < 16 bytes and zeros behind them.
LAMINA_INLINE __m128i load_first(const void* from, size_t count) {
  const FirstBytes bytes = first_bytes(from, count);
  return _mm_set_epi64x(static_cast<int64_t>(bytes.high), static_cast<int64_t>(bytes.low));
}

LAMINA_INLINE __m128i load_16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

// 32 bytes as they are.
template <class Byte>
struct Bytes256 {
  using Element = Byte;
  static constexpr size_t kStep = 32;
  LAMINA_INLINE __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  LAMINA_INLINE __m256i load(const void* p, size_t rest) {
    if (rest < 16) return _mm256_zextsi128_si256(load_first(p, rest));
    const auto* second = static_cast<const uint8_t*>(p) + 16;
    return _mm256_set_m128i(rest == 16 ? _mm_setzero_si128() : load_first(second, rest - 16), load_16(p));
  }
};

// 16 signed bytes, widened to 16 bits: their differences and products of pairs are exact.
struct Words256 {
  using Element = int8_t;
  static constexpr size_t kStep = 16;
  LAMINA_INLINE __m256i load(const int8_t* p) { return _mm256_cvtepi8_epi16(load_16(p)); }
  LAMINA_INLINE __m256i load(const int8_t* p, size_t rest) { return _mm256_cvtepi8_epi16(load_first(p, rest)); }
};

// Of packed 4-bit codes: the halves of each byte as they are, and eightfold.
LAMINA_INLINE __m256i low_halves(__m256i packed) { return _mm256_and_si256(packed, _mm256_set1_epi8(15)); }
LAMINA_INLINE __m256i high_halves(__m256i packed) {
  return _mm256_and_si256(_mm256_srli_epi16(packed, 4), _mm256_set1_epi8(15));
}
LAMINA_INLINE __m256i low_eights(__m256i packed) {
  return _mm256_and_si256(_mm256_slli_epi16(packed, 3), _mm256_set1_epi8(120));
}
LAMINA_INLINE __m256i high_eights(__m256i packed) {
  return _mm256_and_si256(_mm256_srli_epi16(packed, 1), _mm256_set1_epi8(120));
}

}  // namespace lamina
