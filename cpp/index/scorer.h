// Distances for a walk: one query against rows named by number, as keys that order as distances do; and whether two
// rows are the same to it. This is the seam for more codes: a new code is a query in codes/ and a scorer here.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "codes/exact.h"
#include "codes/i4.h"
#include "codes/i8.h"
#include "index/paged_rows.h"
#include "index/part.h"
#include "index/rows.h"
#include "kernels/kernels.h"

namespace lamina {

// Codes back to back.
struct FlatCodes {
  const std::byte* first;
  size_t stride;
  const std::byte* row(uint32_t r) const { return first + size_t{r} * stride; }
  const std::byte* in_place(uint32_t r) const { return row(r); }
};

template <class Codes>
[[gnu::always_inline]] inline void prefetch_row(const Codes& codes, uint32_t row, size_t bytes) {
  prefetch(codes.row(row), bytes);
}
[[gnu::always_inline]] inline void prefetch_row(const PagedRows& codes, uint32_t row, size_t bytes) {
  prefetch(codes.in_place(row), bytes);
}

// On 8-bit codes. `Codes` has row(r).
template <class Codes>
class I8Scorer {
 public:
  I8Scorer(const I8Query& query, const Codes& codes, size_t stride) : query_(query), codes_(codes), stride_(stride) {}

  void prefetch(uint32_t row) const { prefetch_row(codes_, row, stride_); }
  void keys4(const uint32_t rows[4], uint32_t keys[4]) const {
    const int8_t* codes[4];
    for (int i = 0; i < 4; ++i) codes[i] = reinterpret_cast<const int8_t*>(codes_.row(rows[i]));
    query_.keys4(codes, keys);
  }
  uint32_t key(uint32_t row) const { return query_.key(reinterpret_cast<const int8_t*>(codes_.row(row))); }
  uint32_t key_at(float distance) const { return query_.key_at(distance); }
  bool same(uint32_t a, uint32_t b) const { return std::memcmp(codes_.row(a), codes_.row(b), stride_) == 0; }

 private:
  const I8Query& query_;
  const Codes& codes_;
  const size_t stride_;
};

// On 4-bit codes, beside 8-bit ones that say what is the same.
template <class Codes>
class I4Scorer {
 public:
  I4Scorer(const I4Query& query, const Codes& coarse, size_t stride, const Codes& fine, size_t fine_stride)
      : query_(query), coarse_(coarse), stride_(stride), fine_(fine), fine_stride_(fine_stride) {}

  void prefetch(uint32_t row) const { prefetch_row(coarse_, row, stride_); }
  void keys4(const uint32_t rows[4], uint32_t keys[4]) const {
    const uint8_t* codes[4];
    for (int i = 0; i < 4; ++i) codes[i] = reinterpret_cast<const uint8_t*>(coarse_.row(rows[i]));
    query_.keys4(codes, keys);
  }
  bool same(uint32_t a, uint32_t b) const { return std::memcmp(fine_.row(a), fine_.row(b), fine_stride_) == 0; }

 private:
  const I4Query& query_;
  const Codes& coarse_;
  const size_t stride_;
  const Codes& fine_;
  const size_t fine_stride_;
};

// A float as a number of the same order.
inline uint32_t key_of(float distance) {
  const auto bits = std::bit_cast<uint32_t>(distance);
  return bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFU : 0x80000000U);
}

inline float distance_of(uint32_t key) {
  return std::bit_cast<float>(key ^ ((key >> 31) != 0 ? 0x80000000U : 0xFFFFFFFFU));
}

// The stored vectors of a paged part, for a scorer.
class PagedVectors {
 public:
  PagedVectors(const SealedRows& rows, const PagedColumn& vectors) : rows_(rows), vectors_(vectors) {}

  const std::byte* vector(uint32_t row) const { return vectors_.row(row); }
  float inverse_norm(uint32_t row) const { return rows_.inverse_norm(row); }
  void prefetch(uint32_t row) const { rows_.prefetch(row); }

 private:
  const SealedRows& rows_;
  const PagedRows vectors_;
};

// On the stored vectors themselves.
template <class Rows>
class StoredScorer {
 public:
  StoredScorer(const ExactQuery& query, const Rows& rows, size_t vector_bytes)
      : query_(query), rows_(rows), vector_bytes_(vector_bytes) {}

  void prefetch(uint32_t row) const { rows_.prefetch(row); }
  void keys4(const uint32_t rows[4], uint32_t keys[4]) const {
    const std::byte* vectors[4];
    float inverse_norms[4];
    float distances[4];
    for (int i = 0; i < 4; ++i) {
      vectors[i] = rows_.vector(rows[i]);
      inverse_norms[i] = rows_.inverse_norm(rows[i]);
    }
    query_.distances4(vectors, inverse_norms, distances);
    for (int i = 0; i < 4; ++i) keys[i] = key_of(distances[i]);
  }
  uint32_t key_at(float distance) const { return key_of(distance); }
  bool same(uint32_t a, uint32_t b) const { return std::memcmp(rows_.vector(a), rows_.vector(b), vector_bytes_) == 0; }

 private:
  const ExactQuery& query_;
  const Rows& rows_;
  const size_t vector_bytes_;
};

}  // namespace lamina
