// The one loop behind every vectorized distance; an instruction set brings an Op, the registers and what to do
// with them. Everything here is inlined into the functions of the table, so that no code of an instruction set
// has a name that the linker could share with another object, or lies outside that set's section.
//
//   for each step of kStep elements: load the query once; for each vector: add its share to a sum
//
// Fast, because the sums of one vector form kChains independent chains that hide the latency of the additions, and
// because the query is loaded once for kTogether vectors. Step i always goes to chain i % kChains, however many
// vectors run together: this is why x4 has the bits of four single calls. Given up: more chains for a lone vector
// than x4 has registers for.
//
// An Op has: the element types Query and Stored, the accumulator Lanes, Result; kStep, kChains (1, 2 or 4),
// kTogether (1, 2 or 4); zero, query(p), query(p, rest), stored(p), stored(p, rest) with 0 < rest < kStep, which
// read `rest` elements and put zeros in the other lanes; add(sum, query, stored); join(sum, sum); sum4, which adds
// the lanes of four accumulators into one register of four results, and first and store to get at those. With
// kBiased, add_bias(sum, query) gathers what the query alone adds to every sum, and take(sum, bias) removes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#define LAMINA_INLINE [[gnu::always_inline]] static inline
#define LAMINA_INLINE_LAMBDA __attribute__((always_inline))

namespace lamina {

template <size_t kValue>
struct Index {
  static constexpr size_t value = kValue;
};

template <size_t... kValues, class Body>
LAMINA_INLINE void unroll(std::index_sequence<kValues...>, const Body& body) {
  (body(Index<kValues>{}), ...);
}

// body(Index<0>{}), body(Index<1>{}) ...: constants from the start, so that arrays they index live in registers.
template <size_t kCount, class Body>
LAMINA_INLINE void unroll(const Body& body) {
  unroll(std::make_index_sequence<kCount>{}, body);
}

// The part of an Op that loads, from types with Element, kStep, load(p) and load(p, rest).
template <class QueryFrom, class StoredFrom = QueryFrom>
struct Loads {
  using Query = typename QueryFrom::Element;
  using Stored = typename StoredFrom::Element;
  static constexpr size_t kStep = StoredFrom::kStep;
  static_assert(kStep == QueryFrom::kStep);

  template <class... Rest>
  LAMINA_INLINE auto query(const Query* p, Rest... rest) {
    return QueryFrom::load(p, rest...);
  }
  template <class... Rest>
  LAMINA_INLINE auto stored(const Stored* p, Rest... rest) {
    return StoredFrom::load(p, rest...);
  }
};

template <class Op>
LAMINA_INLINE typename Op::Lanes join_chains(const typename Op::Lanes (&sums)[Op::kChains]) {
  if constexpr (Op::kChains == 4) return Op::join(Op::join(sums[0], sums[2]), Op::join(sums[1], sums[3]));
  if constexpr (Op::kChains == 2) return Op::join(sums[0], sums[1]);
  if constexpr (Op::kChains == 1) return sums[0];
}

template <class Op, size_t kVectors>
LAMINA_INLINE void accumulate(const typename Op::Query* a, const typename Op::Stored* const* b, size_t n,
                              typename Op::Lanes* totals) {
  constexpr size_t kChains = Op::kChains;
  typename Op::Lanes sums[kVectors][kChains];
  typename Op::Lanes bias[kChains];
  unroll<kChains>([&](auto chain) LAMINA_INLINE_LAMBDA {
    bias[chain.value] = Op::zero();
    unroll<kVectors>([&](auto v) LAMINA_INLINE_LAMBDA { sums[v.value][chain.value] = Op::zero(); });
  });

  size_t i = 0;
  const auto step = [&](auto chain, auto... rest) LAMINA_INLINE_LAMBDA {
    const auto query = Op::query(a + i, rest...);
    if constexpr (Op::kBiased) bias[chain.value] = Op::add_bias(bias[chain.value], query);
    unroll<kVectors>([&](auto v) LAMINA_INLINE_LAMBDA {
      auto& sum = sums[v.value][chain.value];
      sum = Op::add(sum, query, Op::stored(b[v.value] + i, rest...));
    });
    i += Op::kStep;
  };
  while (n - i >= kChains * Op::kStep) unroll<kChains>(step);
  unroll<kChains - 1>([&](auto chain) LAMINA_INLINE_LAMBDA {
    if (n - i >= Op::kStep) step(chain);
  });
  if (i < n) step(Index<kChains - 1>{}, n - i);

  unroll<kVectors>([&](auto v) LAMINA_INLINE_LAMBDA {
    totals[v.value] = join_chains<Op>(sums[v.value]);
    if constexpr (Op::kBiased) totals[v.value] = Op::take(totals[v.value], join_chains<Op>(bias));
  });
}

template <class Op>
LAMINA_INLINE typename Op::Result distance(const typename Op::Query* a, const typename Op::Stored* b, size_t n) {
  typename Op::Lanes total;
  accumulate<Op, 1>(a, &b, n, &total);
  return static_cast<typename Op::Result>(Op::first(Op::sum4(total, total, total, total)));
}

template <class Op>
LAMINA_INLINE void distance_x4(const typename Op::Query* a, const typename Op::Stored* const b[4], size_t n,
                               typename Op::Result out[4]) {
  typename Op::Lanes totals[4];
  unroll<4 / Op::kTogether>([&](auto group) LAMINA_INLINE_LAMBDA {
    constexpr size_t kFirst = decltype(group)::value * Op::kTogether;
    accumulate<Op, Op::kTogether>(a, b + kFirst, n, totals + kFirst);
  });
  Op::store(out, Op::sum4(totals[0], totals[1], totals[2], totals[3]));
}

// The same for four packed 4-bit codes. An Op has Lanes, zero, sum4 and store as above; kStep, the bytes in a register,
// load(p); and add(sum, low, high, packed), where low and high are those elements of the query that belong to the
// halves of the bytes.
template <class Op>
LAMINA_INLINE void packed_x4(const int8_t* a, const uint8_t* const b[4], size_t n, int32_t out[4]) {
  typename Op::Lanes sums[4];
  unroll<4>([&](auto v) LAMINA_INLINE_LAMBDA { sums[v.value] = Op::zero(); });
  for (size_t i = 0; i < n; i += 128) {
    unroll<64 / Op::kStep>([&](auto part) LAMINA_INLINE_LAMBDA {
      const size_t at = part.value * Op::kStep;
      const auto low = Op::load(a + i + at);
      const auto high = Op::load(a + i + 64 + at);
      unroll<4>([&](auto v) LAMINA_INLINE_LAMBDA {
        sums[v.value] = Op::add(sums[v.value], low, high, Op::load(b[v.value] + i / 2 + at));
      });
    });
  }
  Op::store(out, Op::sum4(sums[0], sums[1], sums[2], sums[3]));
}

// The sums of bytes that the 1-bit codes of 32 vectors look up. An Op has: Sums, of 16 vectors; zero; kStep, the bytes
// in a register, of which 16 belong to each group; load(p); low_lookups(table, packed) and high_lookups(table, packed),
// the entries of the table for those halves of the bytes; add(sums, lookups); and store. What is asked for is spread
// over the loop, so that it waits for nothing.
template <class Op>
LAMINA_INLINE void sum_lookups(const uint8_t* table, const uint8_t* codes, size_t groups, const uint8_t* next,
                               uint16_t out[32]) {
  typename Op::Sums low = Op::zero();
  typename Op::Sums high = Op::zero();
  for (size_t i = 0; i < 16 * groups; i += Op::kStep) {
    const auto entries = Op::load(table + i);
    const auto packed = Op::load(codes + i);
    __builtin_prefetch(next + i, 0, 2);
    low = Op::add(low, Op::low_lookups(entries, packed));
    high = Op::add(high, Op::high_lookups(entries, packed));
  }
  Op::store(out, low);
  Op::store(out + 16, high);
}

}  // namespace lamina
