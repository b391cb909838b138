// 512-bit accumulators, loads that end at `rest` elements, and sums over lanes. Masked-out elements are not read.
#pragma once

#include <immintrin.h>

#include "kernels/distance_loop.h"

namespace lamina {

struct Floats512 {
  using Lanes = __m512;
  using Result = float;
  static constexpr bool kBiased = false;
  static constexpr size_t kChains = 4;
  static constexpr size_t kTogether = 4;

  LAMINA_INLINE __m512 zero() { return _mm512_setzero_ps(); }
  LAMINA_INLINE __m512 join(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }

  // Transposes while it adds: after two rounds each 128-bit block holds one partial sum of a, b, c and d.
  LAMINA_INLINE __m128 sum4(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 low = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
    const __m512 high = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
    const __m512 blocks = _mm512_add_ps(low, high);
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(blocks), _mm512_extractf32x8_ps(blocks, 1));
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  }
  LAMINA_INLINE float first(__m128 sums) { return _mm_cvtss_f32(sums); }
  LAMINA_INLINE void store(float* out, __m128 sums) { _mm_storeu_ps(out, sums); }
};

// Counters of 64 bits may be summed as pairs of 32, as long as the upper half stays zero.
struct Ints512 {
  using Lanes = __m512i;
  using Result = int32_t;
  static constexpr bool kBiased = false;
  static constexpr size_t kChains = 4;
  static constexpr size_t kTogether = 4;

  LAMINA_INLINE __m512i zero() { return _mm512_setzero_si512(); }
  LAMINA_INLINE __m512i join(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
  LAMINA_INLINE __m128i sum4(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i blocks = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(blocks), _mm512_extracti64x4_epi64(blocks, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  }
  LAMINA_INLINE int32_t first(__m128i sums) { return _mm_cvtsi128_si32(sums); }
  LAMINA_INLINE void store(void* out, __m128i sums) { _mm_storeu_si128(static_cast<__m128i*>(out), sums); }
};

LAMINA_INLINE __mmask16 first_of_16(size_t rest) { return static_cast<__mmask16>((1u << rest) - 1); }
LAMINA_INLINE __mmask32 first_of_32(size_t rest) { return (__mmask32{1} << rest) - 1; }
LAMINA_INLINE __mmask64 first_of_64(size_t rest) { return (__mmask64{1} << rest) - 1; }

// 64 bytes as they are.
template <class Byte>
struct Bytes512 {
  using Element = Byte;
  static constexpr size_t kStep = 64;
  LAMINA_INLINE __m512i load(const void* p) { return _mm512_loadu_si512(p); }
  LAMINA_INLINE __m512i load(const void* p, size_t rest) { return _mm512_maskz_loadu_epi8(first_of_64(rest), p); }
};

// 32 signed bytes, widened to 16 bits: their differences and products of pairs are exact.
struct Words512 {
  using Element = int8_t;
  static constexpr size_t kStep = 32;
  LAMINA_INLINE __m512i load(const int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  LAMINA_INLINE __m512i load(const int8_t* p, size_t rest) {
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(first_of_32(rest), p));
  }
};

// Of packed 4-bit codes: the halves of each byte as they are, and eightfold.
LAMINA_INLINE __m512i low_halves(__m512i packed) { return _mm512_and_si512(packed, _mm512_set1_epi8(15)); }
LAMINA_INLINE __m512i high_halves(__m512i packed) {
  return _mm512_and_si512(_mm512_srli_epi16(packed, 4), _mm512_set1_epi8(15));
}
LAMINA_INLINE __m512i low_eights(__m512i packed) {
  return _mm512_and_si512(_mm512_slli_epi16(packed, 3), _mm512_set1_epi8(120));
}
LAMINA_INLINE __m512i high_eights(__m512i packed) {
  return _mm512_and_si512(_mm512_srli_epi16(packed, 1), _mm512_set1_epi8(120));
}

}  // namespace lamina
