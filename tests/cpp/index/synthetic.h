// Seeded vectors with clusters, as embeddings have them, and the plainest exact search there is.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "codes/specs.h"
#include "index/vector_set.h"

namespace lamina::testing {

inline VectorSpec graph_spec(uint32_t dim, Metric metric, DType dtype = DType::kF32, CodeKind codes = CodeKind::kI8) {
  VectorSpec spec = spec_of(dim, metric, dtype);
  spec.codes = codes;
  spec.ef_construction = 100;
  return spec;
}

inline float normal(Random& random) {
  return static_cast<float>(std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(6.283185307179586 * random.unit()));
}

// `n` rows of `dim` floats around `clusters` centres.
inline std::vector<float> clustered(size_t n, uint32_t dim, uint64_t seed, uint32_t clusters = 32) {
  Random centre_random(77);
  std::vector<float> centres(size_t{clusters} * dim);
  for (float& x : centres) x = normal(centre_random);
  Random random(seed);
  std::vector<float> rows(n * dim);
  for (size_t i = 0; i < n; ++i) {
    const size_t centre = random.uniform(clusters);
    for (uint32_t d = 0; d < dim; ++d) rows[i * dim + d] = centres[centre * dim + d] + 0.5F * normal(random);
  }
  return rows;
}

// As embeddings have them: in fewer dimensions than it seems.
inline std::vector<float> embedded(size_t n, uint32_t dim, uint64_t seed) {
  constexpr uint32_t kLatent = 16;
  const std::vector<float> latent = clustered(n, kLatent, seed, 3000);
  const std::vector<float> basis = clustered(kLatent, dim, 7, 1);
  std::vector<float> rows(n * dim);
  for (size_t row = 0; row < n; ++row) {
    for (uint32_t l = 0; l < kLatent; ++l) {
      for (uint32_t d = 0; d < dim; ++d) rows[row * dim + d] += latent[row * kLatent + l] * basis[l * dim + d];
    }
  }
  return rows;
}

inline double true_distance(const VectorSpec& spec, const float* a, const float* b) {
  double dot = 0;
  double squares_a = 0;
  double squares_b = 0;
  double difference = 0;
  for (uint32_t d = 0; d < spec.dim; ++d) {
    const double x = a[d];
    const double y = b[d];
    dot += x * y;
    squares_a += x * x;
    squares_b += y * y;
    difference += (x - y) * (x - y);
  }
  if (spec.metric == Metric::kL2) return difference;
  if (spec.metric == Metric::kIp) return 1 - dot;
  return squares_a == 0 || squares_b == 0 ? 1 : 1 - dot / (std::sqrt(squares_a) * std::sqrt(squares_b));
}

// (distance, rid) of the k nearest of `rids`; row r of `vectors` has rid r.
inline std::vector<std::pair<double, uint64_t>> nearest(const VectorSpec& spec, const std::vector<float>& vectors,
                                                        const std::vector<uint64_t>& rids, const float* query,
                                                        size_t k) {
  std::vector<std::pair<double, uint64_t>> all;
  for (const uint64_t rid : rids) all.emplace_back(true_distance(spec, query, &vectors[rid * spec.dim]), rid);
  const size_t n = std::min(k, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(n), all.end());
  all.resize(n);
  return all;
}

inline std::vector<uint64_t> numbers(uint64_t begin, uint64_t end) {
  std::vector<uint64_t> all;
  for (uint64_t i = begin; i < end; ++i) all.push_back(i);
  return all;
}

inline std::vector<Hit> search(const View& view, const void* query, SearchOptions options) {
  std::vector<Hit> hits(std::min<uint64_t>(options.k, view.live));
  hits.resize(view.search(query, options, hits.data()));
  return hits;
}

// Adds rows [begin, end) of `vectors`, with their numbers for rids and ids.
inline void add(VectorSet& set, const std::vector<float>& vectors, uint64_t begin, uint64_t end, int threads = 1) {
  const std::vector<uint64_t> rids = numbers(begin, end);
  const std::vector<int64_t> ids(rids.begin(), rids.end());
  NewRows rows;
  rows.count = rids.size();
  rows.vectors = vectors.data() + begin * set.spec().dim;
  rows.rids = rids.data();
  rows.ids = ids.data();
  set.add(rows, threads);
}

// The set as it is once all its parts have been made one.
inline std::shared_ptr<const View> rebuilt(VectorSet& set, int threads = 1) {
  const std::shared_ptr<const View> before = set.view();
  set.replace_parts(*before, VectorSet::rebuild(*before, threads));
  return set.view();
}

// The share of the true k nearest (by distance, so that ties are no matter) that searches with `options` find.
inline double recall(const View& view, const std::vector<float>& vectors, const std::vector<uint64_t>& rids,
                     const std::vector<float>& queries, SearchOptions options) {
  size_t found = 0;
  size_t wanted = 0;
  for (size_t q = 0; q < queries.size() / view.spec.dim; ++q) {
    const float* query = &queries[q * view.spec.dim];
    const auto truth = nearest(view.spec, vectors, rids, query, options.k);
    std::set<uint64_t> hits;
    for (const Hit& hit : search(view, query, options)) hits.insert(hit.rid);
    wanted += truth.size();
    for (const auto& [distance, rid] : truth) found += hits.count(rid);
  }
  return static_cast<double>(found) / static_cast<double>(wanted);
}

}  // namespace lamina::testing
