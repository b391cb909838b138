// SDOT and UDOT: four products of bytes added to 32 bits in one instruction (ARMv8.2 and later).
#include "kernels/neon_lanes.h"
#include "kernels/tables.h"

namespace lamina {
namespace {

LAMINA_INLINE uint32x4_t add_products(uint32x4_t sum, int8x16_t a, int8x16_t b) {
  return vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(sum), a, b));
}

struct I8L2 : Ints128, Loads<Codes128> {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t a, int8x16_t b) {
    const uint8x16_t apart = difference(a, b);
    return vdotq_u32(sum, apart, apart);
  }
};

struct I8Ip : Ints128, Loads<Codes128> {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t a, int8x16_t b) { return add_products(sum, a, b); }
};

struct PackedL2 : Packed128 {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t low, int8x16_t high, uint8x16_t packed) {
    const uint8x16_t first = difference(low, low_eights(packed));
    const uint8x16_t second = difference(high, high_eights(packed));
    return vdotq_u32(vdotq_u32(sum, first, first), second, second);
  }
};

struct PackedIp : Packed128 {
  LAMINA_INLINE uint32x4_t add(uint32x4_t sum, int8x16_t low, int8x16_t high, uint8x16_t packed) {
    return add_products(add_products(sum, low, low_halves(packed)), high, high_halves(packed));
  }
};

int32_t l2_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8L2>(a, b, n); }
int32_t ip_i8(const int8_t* a, const int8_t* b, size_t n) { return distance<I8Ip>(a, b, n); }
void l2_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) { distance_x4<I8L2>(a, b, n, out); }
void ip_i8_x4(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]) { distance_x4<I8Ip>(a, b, n, out); }
void l2_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedL2>(a, b, n, out);
}
void ip_i4_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  packed_x4<PackedIp>(a, b, n, out);
}

}  // namespace

const CodeKernels kNeonDot = {.l2_i8 = l2_i8,
                              .ip_i8 = ip_i8,
                              .l2_i8_x4 = l2_i8_x4,
                              .ip_i8_x4 = ip_i8_x4,
                              .l2_i4_x4 = l2_i4_x4,
                              .ip_i4_x4 = ip_i4_x4};

}  // namespace lamina
