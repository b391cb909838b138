// AVX2 with FMA and F16C: every x86-64 server and laptop since about 2015.
#include "kernels/avx2_lanes.h"
#include "kernels/tables.h"

#define LAMINA_KERNEL [[gnu::section("lamina_avx2")]] static

namespace lamina {
namespace {

LAMINA_INLINE __m256i first_of_8(size_t rest) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(rest)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct F32 {
  using Element = float;
  static constexpr size_t kStep = 8;
  LAMINA_INLINE __m256 load(const float* p) { return _mm256_loadu_ps(p); }
  LAMINA_INLINE __m256 load(const float* p, size_t rest) { return _mm256_maskload_ps(p, first_of_8(rest)); }
};

struct F16 {
  using Element = f16;
  static constexpr size_t kStep = 8;
  LAMINA_INLINE __m256 load(const f16* p) { return _mm256_cvtph_ps(load_16(p)); }
  LAMINA_INLINE __m256 load(const f16* p, size_t rest) { return _mm256_cvtph_ps(load_first(p, 2 * rest)); }
};

template <class From>
struct FloatL2 : Floats256, Loads<F32, From> {
  LAMINA_INLINE __m256 add(__m256 sum, __m256 a, __m256 b) {
    const __m256 difference = _mm256_sub_ps(a, b);
    return _mm256_fmadd_ps(difference, difference, sum);
  }
};

template <class From>
struct FloatIp : Floats256, Loads<F32, From> {
  LAMINA_INLINE __m256 add(__m256 sum, __m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, sum); }
};

struct I8L2 : Ints256, Loads<Words256> {
  LAMINA_INLINE __m256i add(__m256i sum, __m256i a, __m256i b) {
    const __m256i difference = _mm256_sub_epi16(a, b);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(difference, difference));
  }
};

// VPMADDUBSW wants one operand unsigned: |a| · (b with the sign of a). Pairs of products fit in 16 bits without -128.
struct I8Ip : Ints256, Loads<Bytes256<int8_t>> {
  LAMINA_INLINE __m256i add(__m256i sum, __m256i a, __m256i b) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

// The bits of each nibble are looked up, then the bytes are added up.
struct Hamming : Ints256, Loads<Bytes256<uint8_t>> {
  using Result = uint32_t;
  LAMINA_INLINE __m256i add(__m256i sum, __m256i a, __m256i b) {
    const __m256i bits_of = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i different = _mm256_xor_si256(a, b);
    const __m256i low = _mm256_shuffle_epi8(bits_of, _mm256_and_si256(different, nibble));
    const __m256i high = _mm256_shuffle_epi8(bits_of, _mm256_and_si256(_mm256_srli_epi16(different, 4), nibble));
    return _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256()));
  }
};

// Differences fit in 7 bits, and two of their squares in 16; so do four products with 4-bit numbers.
struct PackedL2 : Ints256, Bytes256<int8_t> {
  LAMINA_INLINE __m256i square(__m256i difference) {
    const __m256i size = _mm256_abs_epi8(difference);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(size, size), _mm256_set1_epi16(1));
  }
  LAMINA_INLINE __m256i add(__m256i sum, __m256i low, __m256i high, __m256i packed) {
    sum = _mm256_add_epi32(sum, square(_mm256_sub_epi8(low, low_eights(packed))));
    return _mm256_add_epi32(sum, square(_mm256_sub_epi8(high, high_eights(packed))));
  }
};

struct PackedIp : Ints256, Bytes256<int8_t> {
  LAMINA_INLINE __m256i add(__m256i sum, __m256i low, __m256i high, __m256i packed) {
    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low_halves(packed), low),
                                           _mm256_maddubs_epi16(high_halves(packed), high));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

// Two groups at once. Bytes are summed without widening them: as 16-bit words, in which the even byte may carry into
// the odd one, and the odd bytes of those words once more by themselves. What is left of the words without these is the
// even bytes: modulo 65536 whatever carried, hence exact.
struct Lookups : Bytes256<uint8_t> {
  struct Sums {
    __m256i words, odd;
  };
  LAMINA_INLINE Sums zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  LAMINA_INLINE __m256i low_lookups(__m256i table, __m256i packed) {
    return _mm256_shuffle_epi8(table, low_halves(packed));
  }
  LAMINA_INLINE __m256i high_lookups(__m256i table, __m256i packed) {
    return _mm256_shuffle_epi8(table, high_halves(packed));
  }
  LAMINA_INLINE Sums add(Sums sums, __m256i bytes) {
    return {_mm256_add_epi16(sums.words, bytes), _mm256_add_epi16(sums.odd, _mm256_srli_epi16(bytes, 8))};
  }
  LAMINA_INLINE void store(uint16_t* out, Sums sums) {
    const __m256i even = _mm256_sub_epi16(sums.words, _mm256_slli_epi16(sums.odd, 8));
    const __m256i first = _mm256_unpacklo_epi16(even, sums.odd);
    const __m256i second = _mm256_unpackhi_epi16(even, sums.odd);
    const __m256i total = _mm256_add_epi16(_mm256_permute2x128_si256(first, second, 0x20),
                                           _mm256_permute2x128_si256(first, second, 0x31));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), total);
  }
};

LAMINA_KERNEL float l2_f32(const float* a, const float* b, size_t n) { return distance<FloatL2<F32>>(a, b, n); }
LAMINA_KERNEL float ip_f32(const float* a, const float* b, size_t n) { return distance<FloatIp<F32>>(a, b, n); }
LAMINA_KERNEL float l2_f16(const float* a, const f16* b, size_t n) { return distance<FloatL2<F16>>(a, b, n); }
LAMINA_KERNEL float ip_f16(const float* a, const f16* b, size_t n) { return distance<FloatIp<F16>>(a, b, n); }
LAMINA_KERNEL int32_t l2_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8L2>(a, b, n); }
LAMINA_KERNEL int32_t ip_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8Ip>(a, b, n); }
LAMINA_KERNEL uint32_t hamming(const uint8_t* a, const uint8_t* b, size_t n) { return distance<Hamming>(a, b, n); }

LAMINA_KERNEL void l2_f32_x4(const float* a, const float* const b[4], size_t n, float out[4]) {
  distance_x4<FloatL2<F32>>(a, b, n, out);
}
LAMINA_KERNEL void ip_f32_x4(const float* a, const float* const b[4], size_t n, float out[4]) {
  distance_x4<FloatIp<F32>>(a, b, n, out);
}
LAMINA_KERNEL void l2_f16_x4(const float* a, const f16* const b[4], size_t n, float out[4]) {
  distance_x4<FloatL2<F16>>(a, b, n, out);
}
LAMINA_KERNEL void ip_f16_x4(const float* a, const f16* const b[4], size_t n, float out[4]) {
  distance_x4<FloatIp<F16>>(a, b, n, out);
}
LAMINA_KERNEL void l2_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) {
  distance_x4<I8L2>(a, b, n, out);
}
LAMINA_KERNEL void ip_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) {
  distance_x4<I8Ip>(a, b, n, out);
}
LAMINA_KERNEL void l2_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedL2>(a, b, n, out);
}
LAMINA_KERNEL void ip_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedIp>(a, b, n, out);
}
LAMINA_KERNEL void hamming_x4(const uint8_t* a, const uint8_t* const b[4], size_t n, uint32_t out[4]) {
  distance_x4<Hamming>(a, b, n, out);
}

LAMINA_KERNEL void sum_lookups_x32(const uint8_t* table, const uint8_t* codes, size_t groups, const uint8_t* next,
                                   uint16_t out[32]) {
  sum_lookups<Lookups>(table, codes, groups, next, out);
}

LAMINA_KERNEL void f32_to_f16(const float* from, f16* to, size_t n) {
  size_t i = 0;
  for (; n - i >= 8; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(F32::load(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
  if (i == n) return;
  f16 last[8];
  const __m128i halves = _mm256_cvtps_ph(F32::load(from + i, n - i), _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(last), halves);
  std::memcpy(to + i, last, (n - i) * sizeof(f16));
}

LAMINA_KERNEL void f16_to_f32(const f16* from, float* to, size_t n) {
  size_t i = 0;
  for (; n - i >= 8; i += 8) _mm256_storeu_ps(to + i, F16::load(from + i));
  if (i < n) _mm256_maskstore_ps(to + i, first_of_8(n - i), F16::load(from + i, n - i));
}

}  // namespace

const Kernels kAvx2 = {
    .name = "avx2",
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
