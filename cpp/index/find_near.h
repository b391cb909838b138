// From the top of a graph to level 0 and to the pool of the ef nearest rows, for parts and heads alike.
#pragma once

#include <cstdint>
#include <type_traits>

#include "codes/neighbour.h"
#include "index/head_graph.h"
#include "index/scorer.h"
#include "index/sealed_graph.h"
#include "index/searcher.h"

namespace lamina {

// Level 0.
inline SealedLevel0 bottom(const Part& part) { return SealedLevel0(part); }
inline HeadLevel bottom(const HeadGraph& graph) { return {graph, 0, graph.rows()}; }

// The row of level 0 that the levels above lead to. `fresh` is scratch.
template <class Scorer>
uint32_t descend_from_top(const Part& part, const Scorer& scorer, std::vector<uint32_t>& fresh) {
  uint32_t row = part.graph.entry;
  if (row >= part.rows) refuse_link(part, row, part.rows);
  uint32_t node = 0;
  for (size_t level = part.graph.upper_counts.size(); level > 0; --level) {
    const SealedUpper upper(part, level);
    if (node >= upper.rows()) upper.beyond(node);
    node = descend(upper, scorer, node, fresh);
    row = upper.row(node);
  }
  return row;
}

template <class Scorer>
uint32_t descend_from_top(const HeadGraph& graph, const Scorer& scorer, std::vector<uint32_t>& fresh) {
  const HeadGraph::Entry entry = graph.entry();
  const uint32_t rows = graph.rows();  // after the entry: it is among them
  uint32_t row = entry.row;
  for (uint32_t level = entry.level; level > 0; --level) {
    row = descend(HeadLevel(graph, level, rows), scorer, row, fresh);
  }
  return row;
}

// Returns how many rows of level 0 were measured.
template <class Graph, class Scorer>
size_t find_near(const Graph& graph, const Scorer& scorer, size_t ef, Walk& walk) {
  const uint32_t entry = descend_from_top(graph, scorer, walk.fresh);
  return walk_level(bottom(graph), scorer, entry, ef, walk);
}

inline bool has_codes(const VectorSpec&, const Part& part) { return part.codes != nullptr; }
inline bool has_codes(const VectorSpec& spec, const HeadGraph&) { return has_i8(spec); }

// A query as codes; kept from one search to the next.
struct CodedQuery {
  I8Query fine;
  I4Query coarse;
  NeighbourQuery neighbours;
};

// Calls fn(codes) with the 8-bit codes of a part. REQUIRES: it has them.
template <class Fn>
auto with_codes(const Part& part, Fn&& fn) {
  if (part.paging != nullptr) return fn(PagedRows(*part.paging->codes));
  return fn(FlatCodes{reinterpret_cast<const std::byte*>(part.codes), part.code_stride});
}

// Calls fn(codes) with the neighbour codes of a part. REQUIRES: it has them.
template <class Fn>
auto with_neighbour_codes(const VectorSpec& spec, const Part& part, Fn&& fn) {
  if (part.paging != nullptr) return fn(PagedRows(*part.paging->neighbour_codes));
  return fn(FlatCodes{part.neighbour_codes, neighbour_stride(spec, part.graph.degree)});
}

// A query against one part or head: calls fn(scorer) with the best that rows of this set are told apart by before their
// vectors are looked at.
template <class Fn>
void with_scorer(const VectorSpec& spec, const Part& part, const SealedRows& rows, const ExactQuery& query,
                 CodedQuery& coded, Fn&& fn) {
  if (part.codes == nullptr) {
    if (part.paging == nullptr) return fn(StoredScorer(query, rows, spec.vector_bytes()));
    return fn(StoredScorer(query, PagedVectors(rows, *part.paging->vectors), spec.vector_bytes()));
  }
  coded.fine.prepare(spec, part.i8, query.direction());
  with_codes(part, [&](const auto& codes) { fn(I8Scorer(coded.fine, codes, part.code_stride)); });
}

template <class Fn>
void with_scorer(const VectorSpec& spec, const HeadGraph& graph, const HeadRows& rows, const ExactQuery& query,
                 CodedQuery& coded, Fn&& fn) {
  if (!has_i8(spec)) return fn(StoredScorer(query, rows, spec.vector_bytes()));
  coded.fine.prepare(spec, graph.params(), query.direction());
  fn(I8Scorer(coded.fine, graph.codes(), i8_stride(spec)));
}

// The same with the codes that the graph is walked on.
template <class Fn>
void with_walk_scorer(const VectorSpec& spec, const Part& part, const SealedRows& rows, const ExactQuery& query,
                      CodedQuery& coded, Fn&& fn) {
  if (part.coarse_codes == nullptr) return with_scorer(spec, part, rows, query, coded, fn);
  coded.fine.prepare(spec, part.i8, query.direction());
  coded.coarse.prepare(spec, part.i4, coded.fine);
  with_codes(part, [&]<class Codes>(const Codes& fine) {
    const auto scorer = [&](const Codes& coarse) {
      fn(I4Scorer(coded.coarse, coarse, i4_stride(spec), fine, part.code_stride));
    };
    if constexpr (std::is_same_v<Codes, PagedRows>) {
      scorer(PagedRows(*part.paging->coarse_codes));
    } else {
      scorer({reinterpret_cast<const std::byte*>(part.coarse_codes), i4_stride(spec)});
    }
  });
}

}  // namespace lamina
