// AVX-VNNI: VPDPWSSD and VPDPBUSD on 256 bits, for CPUs that have them without AVX-512.
#include "kernels/avx2_lanes.h"
#include "kernels/tables.h"

#define LAMINA_KERNEL [[gnu::section("lamina_avx2")]] static

namespace lamina {
namespace {

struct I8L2 : Ints256, Loads<Words256> {
  LAMINA_INLINE __m256i add(__m256i sum, __m256i a, __m256i b) {
    const __m256i difference = _mm256_sub_epi16(a, b);
    return _mm256_dpwssd_avx_epi32(sum, difference, difference);
  }
};

// VPDPBUSD wants one operand unsigned: (b + 128) · a = b · a + 128 Σa, and 128 Σa is the same for every b.
struct I8Ip : Ints256, Loads<Bytes256<int8_t>> {
  static constexpr bool kBiased = true;
  LAMINA_INLINE __m256i bias() { return _mm256_set1_epi8(-128); }
  LAMINA_INLINE __m256i add(__m256i sum, __m256i a, __m256i b) {
    return _mm256_dpbusd_avx_epi32(sum, _mm256_xor_si256(b, bias()), a);
  }
  LAMINA_INLINE __m256i add_bias(__m256i sum, __m256i a) { return _mm256_dpbusd_avx_epi32(sum, bias(), a); }
  LAMINA_INLINE __m256i take(__m256i sum, __m256i gathered) { return _mm256_sub_epi32(sum, gathered); }
};

struct PackedL2 : Ints256, Bytes256<int8_t> {
  LAMINA_INLINE __m256i add(__m256i sum, __m256i low, __m256i high, __m256i packed) {
    const __m256i first = _mm256_abs_epi8(_mm256_sub_epi8(low, low_eights(packed)));
    const __m256i second = _mm256_abs_epi8(_mm256_sub_epi8(high, high_eights(packed)));
    return _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sum, first, first), second, second);
  }
};

struct PackedIp : Ints256, Bytes256<int8_t> {
  LAMINA_INLINE __m256i add(__m256i sum, __m256i low, __m256i high, __m256i packed) {
    return _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sum, low_halves(packed), low), high_halves(packed), high);
  }
};

LAMINA_KERNEL int32_t l2_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8L2>(a, b, n); }
LAMINA_KERNEL int32_t ip_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8Ip>(a, b, n); }
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

}  // namespace

const CodeKernels kAvx2Vnni = {.l2_i8 = l2_i8,
                               .ip_i8 = ip_i8,
                               .l2_i8_x4 = l2_i8_x4,
                               .ip_i8_x4 = ip_i8_x4,
                               .l2_i4_x4 = l2_i4_x4,
                               .ip_i4_x4 = ip_i4_x4};

}  // namespace lamina
