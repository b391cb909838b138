// Exact distances of chosen rows, four at a time, into the k nearest: the end of every search, and the whole of an
// exact one.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "codes/exact.h"
#include "index/pool.h"
#include "index/rows.h"
#include "index/top_k.h"

namespace lamina {

// Offers these rows, whose vectors were gathered, to `top` at their exact distances.
template <class Rows>
void measure(const Rows& rows, const ExactQuery& query, std::span<const uint32_t> chosen,
             const std::byte* const* gathered, TopK& top) {
  for (size_t i = 0; i < chosen.size(); i += 4) {
    const size_t n = std::min<size_t>(4, chosen.size() - i);
    const std::byte* vectors[4];
    float inverse_norms[4];
    float distances[4];
    for (size_t j = 0; j < 4; ++j) {
      const size_t at = i + std::min(j, n - 1);
      vectors[j] = gathered[at];
      inverse_norms[j] = rows.inverse_norm(chosen[at]);
    }
    query.distances4(vectors, inverse_norms, distances);
    for (size_t j = 0; j < n; ++j) {
      if (distances[j] > top.bound()) continue;
      const uint32_t row = chosen[i + j];
      top.offer({distances[j], rows.rid(row), rows.id(row)});
    }
  }
}

// Offers every live row to each query's `top`. Rows go by in blocks that stay in cache for all of the queries.
template <class Rows>
void scan(const Rows& rows, const Live& live, std::span<const ExactQuery> queries, std::span<TopK> tops,
          Gathered& gathered) {
  constexpr size_t kBlock = 64;
  std::array<uint32_t, 2 * kBlock> chosen;
  size_t n = 0;
  const auto measure_chosen = [&] {
    const std::byte* const* vectors = rows.gather({chosen.data(), n}, gathered);
    for (size_t q = 0; q < queries.size(); ++q) measure(rows, queries[q], {chosen.data(), n}, vectors, tops[q]);
    n = 0;
  };
  live.for_each_word([&](uint32_t first, uint64_t bits) {
    for (; bits != 0; bits &= bits - 1) chosen[n++] = first + static_cast<uint32_t>(std::countr_zero(bits));
    if (n >= kBlock) measure_chosen();
  });
  measure_chosen();
}

// Puts the live rows that are nearest by code into the pool, as many as it has room for.
template <class Scorer>
void scan_codes(const Live& live, const Scorer& scorer, Pool& pool) {
  constexpr size_t kBlock = 32;
  std::array<uint32_t, kBlock + 64 + 3> chosen;
  size_t n = 0;
  const auto measure_chosen = [&] {
    if (n == 0) return;
    std::fill_n(chosen.data() + n, 3, chosen[n - 1]);
    for (size_t i = 0; i < n; i += 4) {
      uint32_t keys[4];
      scorer.keys4(chosen.data() + i, keys);
      for (size_t j = 0; j < std::min<size_t>(4, n - i); ++j) pool.insert(keys[j], chosen[i + j]);
    }
    n = 0;
  };
  live.for_each_word([&](uint32_t first, uint64_t bits) {
    for (; bits != 0; bits &= bits - 1) {
      chosen[n] = first + static_cast<uint32_t>(std::countr_zero(bits));
      scorer.prefetch(chosen[n++]);
    }
    if (n >= kBlock) measure_chosen();
  });
  measure_chosen();
}

}  // namespace lamina
