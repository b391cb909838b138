// Exact distances of chosen rows, four at a time, into the k nearest: the end of every search, and the whole of an
// exact one.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "codes/exact.h"
#include "index/rows.h"
#include "index/top_k.h"

namespace lamina {

// Offers these rows to `top` at their exact distances. REQUIRES: rows.check() was called for them.
template <class Rows>
void measure(const Rows& rows, const ExactQuery& query, std::span<const uint32_t> chosen, TopK& top) {
  for (size_t i = 0; i < chosen.size(); i += 4) {
    const size_t n = std::min<size_t>(4, chosen.size() - i);
    const std::byte* vectors[4];
    float inverse_norms[4];
    float distances[4];
    for (size_t j = 0; j < 4; ++j) {
      const uint32_t row = chosen[i + std::min(j, n - 1)];
      vectors[j] = rows.vector(row);
      inverse_norms[j] = rows.inverse_norm(row);
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
void scan(const Rows& rows, const Live& live, std::span<const ExactQuery> queries, std::span<TopK> tops) {
  constexpr uint32_t kBlock = 64;
  std::array<uint32_t, kBlock> chosen;
  for (uint32_t first = 0; first < live.rows;) {
    const uint32_t count = std::min(kBlock, live.rows - first);
    size_t n = 0;
    for (uint32_t row = first; row < first + count; ++row) {
      if (live(row)) chosen[n++] = row;
    }
    if (n != 0) rows.check(first, count);
    for (size_t q = 0; q < queries.size(); ++q) measure(rows, queries[q], {chosen.data(), n}, tops[q]);
    first += count;
  }
}

}  // namespace lamina
