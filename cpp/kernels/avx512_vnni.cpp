// VPDPWSSD and VPDPBUSD: multiply, add neighbours, and accumulate into 32 bits in one instruction, without saturation.
#include "kernels/avx512_lanes.h"
#include "kernels/tables.h"

#define LAMINA_KERNEL [[gnu::section("lamina_avx512")]] static

namespace lamina {
namespace {

struct I8L2 : Ints512, Loads<Words512> {
  LAMINA_INLINE __m512i add(__m512i sum, __m512i a, __m512i b) {
    const __m512i difference = _mm512_sub_epi16(a, b);
    return _mm512_dpwssd_epi32(sum, difference, difference);
  }
};

struct I8Ip : Ints512, Loads<Words512> {
  LAMINA_INLINE __m512i add(__m512i sum, __m512i a, __m512i b) { return _mm512_dpwssd_epi32(sum, a, b); }
};

// VPDPBUSD does twice as much, but wants one operand unsigned: (b + 128) · a = b · a + 128 Σa. Worth it where
// several b share 128 Σa.
struct I8IpShared : Ints512, Loads<Bytes512<int8_t>> {
  static constexpr bool kBiased = true;
  LAMINA_INLINE __m512i bias() { return _mm512_set1_epi8(-128); }
  LAMINA_INLINE __m512i add(__m512i sum, __m512i a, __m512i b) {
    return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(b, bias()), a);
  }
  LAMINA_INLINE __m512i add_bias(__m512i sum, __m512i a) { return _mm512_dpbusd_epi32(sum, bias(), a); }
  LAMINA_INLINE __m512i take(__m512i sum, __m512i gathered) { return _mm512_sub_epi32(sum, gathered); }
};

struct PackedL2 : Ints512, Bytes512<int8_t> {
  LAMINA_INLINE __m512i add(__m512i sum, __m512i low, __m512i high, __m512i packed) {
    const __m512i first = _mm512_abs_epi8(_mm512_sub_epi8(low, low_eights(packed)));
    const __m512i second = _mm512_abs_epi8(_mm512_sub_epi8(high, high_eights(packed)));
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, first, first), second, second);
  }
};

struct PackedIp : Ints512, Bytes512<int8_t> {
  LAMINA_INLINE __m512i add(__m512i sum, __m512i low, __m512i high, __m512i packed) {
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, low_halves(packed), low), high_halves(packed), high);
  }
};

LAMINA_KERNEL int32_t l2_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8L2>(a, b, n); }
LAMINA_KERNEL int32_t ip_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8Ip>(a, b, n); }
LAMINA_KERNEL void l2_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) {
  distance_x4<I8L2>(a, b, n, out);
}
LAMINA_KERNEL void ip_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) {
  distance_x4<I8IpShared>(a, b, n, out);
}
LAMINA_KERNEL void l2_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedL2>(a, b, n, out);
}
LAMINA_KERNEL void ip_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedIp>(a, b, n, out);
}

}  // namespace

const CodeKernels kAvx512Vnni = {.l2_i8 = l2_i8,
                                 .ip_i8 = ip_i8,
                                 .l2_i8_x4 = l2_i8_x4,
                                 .ip_i8_x4 = ip_i8_x4,
                                 .l2_i4_x4 = l2_i4_x4,
                                 .ip_i4_x4 = ip_i4_x4};

}  // namespace lamina
