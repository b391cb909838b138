// Distances from row to row of a growing graph, for building it: on its codes, or on the stored vectors.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "index/head_graph.h"
#include "index/scorer.h"

namespace lamina {

class I8Space {
 public:
  using Query = I8Query;

  explicit I8Space(const HeadGraph& graph) : graph_(graph) {}

  void prepare(Query& query, uint32_t row) const {
    query.prepare_code(graph_.spec(), graph_.params(), graph_.code(row));
  }
  I8Scorer<ChunkedRows> scorer(const Query& query) const { return {query, graph_.codes(), i8_stride(graph_.spec())}; }
  float distance(const Query& query, uint32_t key) const { return query.distance_of(key); }
  // Whether a row is the one that the query was prepared for, to the byte.
  bool same(const Query& query, uint32_t row) const {
    return std::memcmp(query.code(), graph_.code(row), i8_stride(graph_.spec())) == 0;
  }

 private:
  const HeadGraph& graph_;
};

class StoredSpace {
 public:
  struct Query {
    ExactQuery exact;
    std::vector<float> x;
    const std::byte* vector;
  };

  explicit StoredSpace(const HeadGraph& graph) : graph_(graph) {}

  void prepare(Query& query, uint32_t row) const {
    const VectorSpec& spec = graph_.spec();
    const std::byte* vector = graph_.stored().vector(row);
    query.vector = vector;
    if (spec.dtype == DType::kBits) {
      query.exact.prepare(spec, vector);
      return;
    }
    query.x.resize(spec.dim);
    load_vector(spec, vector, query.x.data());
    query.exact.prepare(spec, query.x.data());
  }
  StoredScorer<HeadRows> scorer(const Query& query) const {
    return {query.exact, graph_.stored(), graph_.spec().vector_bytes()};
  }
  float distance(const Query&, uint32_t key) const { return distance_of(key); }
  bool same(const Query& query, uint32_t row) const {
    return std::memcmp(query.vector, graph_.stored().vector(row), graph_.spec().vector_bytes()) == 0;
  }

 private:
  const HeadGraph& graph_;
};

}  // namespace lamina
