// VPOPCNTQ counts the bits of eight words at once.
#include "kernels/avx512_lanes.h"
#include "kernels/tables.h"

#define LAMINA_KERNEL [[gnu::section("lamina_avx512")]] static

namespace lamina {
namespace {

struct Hamming : Ints512, Loads<Bytes512<uint8_t>> {
  using Result = uint32_t;
  LAMINA_INLINE __m512i add(__m512i sum, __m512i a, __m512i b) {
    return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(a, b)));
  }
};

LAMINA_KERNEL uint32_t hamming(const uint8_t* a, const uint8_t* b, size_t n) { return distance<Hamming>(a, b, n); }
LAMINA_KERNEL void hamming_x4(const uint8_t* a, const uint8_t* const b[4], size_t n, uint32_t out[4]) {
  distance_x4<Hamming>(a, b, n, out);
}

}  // namespace

const HammingKernels kAvx512Vpopcntdq = {.hamming = hamming, .hamming_x4 = hamming_x4};

}  // namespace lamina
