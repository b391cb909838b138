// Distances between two vectors, for every instruction set that this CPU may have. The only room with
// intrinsics; everything else calls through the one table that `kernels()` returns.
//
// Conventions: `n` is the number of elements (of bytes for hamming), any n >= 0; pointers need no more alignment than
// their elements and are never read past n of them. l2 is the squared Euclidean distance, ip the plain dot product
// (not negated). i8 results are exact and the same on every instruction set: REQUIRES n <= 32768 for l2_i8 and n <=
// 65536 for ip_i8, where the largest sum still fits in 32 bits; no element is -128 for ip_i8, else the result is some
// number. f32 and f16 results differ between instruction sets in rounding only. `..._x4` computes one query `a` against
// four vectors at once and gives, bit for bit, what four single calls would: equal vectors are at equal distances
// whichever call measured them.
//
// 4-bit codes are packed in blocks of 128 elements: byte i of the 64 of a block holds element i in its low half and
// element 64 + i in its high half. `n`, the elements, is a multiple of 128 and at most 65536 for ip_i4, 32768 for
// l2_i4. ip_i4 is the sum of a[i] * b[i], l2_i4 that of (a[i] - 8 * b[i])^2, where no a[i] is negative: both exact.
//
// 1-bit codes of 32 vectors lie side by side, four elements, a group, to a half byte: byte 16g + i holds elements
// 4g .. 4g + 3 of vector i in its low half (element 4g in bit 0) and those of vector 16 + i in its high half. `table`
// has for each group what each of the 16 values of a half byte adds: out[i] of sum_lookups_x32 is the sum of
// table[16g + (half byte of vector i in group g)] over all g. `groups` is a multiple of 4; `table` and `codes` have 16
// bytes for each and need no alignment. Meanwhile as many bytes at `next` are asked for; any address but
// null will do. REQUIRES: no sum is above 65535. Exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lamina {

using f16 = uint16_t;  // IEEE 754 binary16, as bits

struct Kernels {
  const char* name;  // "baseline", "avx2", "avx512", "neon"

  float (*l2_f32)(const float* a, const float* b, size_t n);
  float (*ip_f32)(const float* a, const float* b, size_t n);
  float (*l2_f16)(const float* a, const f16* b, size_t n);  // the query stays f32, the stored vector is f16
  float (*ip_f16)(const float* a, const f16* b, size_t n);
  int32_t (*l2_i8)(const int8_t* a, const int8_t* b, size_t n);
  int32_t (*ip_i8)(const int8_t* a, const int8_t* b, size_t n);
  uint32_t (*hamming)(const uint8_t* a, const uint8_t* b, size_t n);

  void (*l2_f32_x4)(const float* a, const float* const b[4], size_t n, float out[4]);
  void (*ip_f32_x4)(const float* a, const float* const b[4], size_t n, float out[4]);
  void (*l2_f16_x4)(const float* a, const f16* const b[4], size_t n, float out[4]);
  void (*ip_f16_x4)(const float* a, const f16* const b[4], size_t n, float out[4]);
  void (*l2_i8_x4)(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]);
  void (*ip_i8_x4)(const int8_t* a, const int8_t* const b[4], size_t n, int32_t out[4]);
  void (*l2_i4_x4)(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]);
  void (*ip_i4_x4)(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]);
  void (*hamming_x4)(const uint8_t* a, const uint8_t* const b[4], size_t n, uint32_t out[4]);
  void (*sum_lookups_x32)(const uint8_t* table, const uint8_t* codes, size_t groups, const uint8_t* next,
                          uint16_t out[32]);

  // Round to nearest even; overflow becomes infinity. The bits are the same on every instruction set.
  void (*f32_to_f16)(const float* from, f16* to, size_t n);
  void (*f16_to_f32)(const f16* from, float* to, size_t n);
};

// The table for this process: the best that the CPU has, or what LAMINA_ISA names (baseline | avx2 | avx512 |
// neon). Chosen once; any thread. Throws std::invalid_argument for a name that is unknown or that this CPU cannot run.
// Hot code keeps the reference: it lives as long as the process.
const Kernels& kernels();

// All tables that this CPU can run, baseline first: for tests and benchmarks.
std::vector<const Kernels*> available_kernels();

// Asks for every cache line that [p, p + bytes) touches to be fetched, soon. Into the second level, which can wait for
// more lines at a time than the first: 15 GB/s of rows of 4 KiB against 10 on Zen 4. GCC 12 collapses a plain loop of
// prefetches into the first one: the empty asm makes each address opaque to it, and costs no instruction.
[[gnu::always_inline]] inline void prefetch(const void* p, size_t bytes) {
  constexpr uintptr_t kCacheLine = 64;
  const char* line = reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(p) & ~(kCacheLine - 1));
  const char* const end = static_cast<const char*>(p) + bytes;
  for (; line < end; line += kCacheLine) {
    __builtin_prefetch(line, 0, 2);
    __asm__ volatile("" : "+r"(line));
  }
}

}  // namespace lamina
