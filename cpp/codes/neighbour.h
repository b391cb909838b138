// Neighbour codes: beside each row of a graph, what tells about how far each of its neighbours is from a query that was
// measured against the row itself; so a row is expanded without a look at what it leads to.
//
// For a neighbour n of row r let e = n - r, on the scale of their 8-bit codes. R is a rotation, the same for all rows,
// which spreads over all components what few of them hold; s = sign(Re), one bit each. Then (RaBitQ: Gao and Long,
// 2024; for the links of a graph SymphonyQG: Gou, Gao, Xu and Long, 2025)
//
//   <q - r, e>  is about  f <s, R(q - r)>    with f = |e|^2 / sum |Re|
//   |q - n|^2  =  |q - r|^2 + |e|^2 - 2 <q - r, e>  is about  |q - r|^2 + a - b <s, Rq>
//
// with a = |e|^2 + 2 f <s, Rr> and b = 2 f, two numbers a link. By cosine the distance is half of that but for a
// factor, and by inner product <q, n> = <q, r> + <q, e>. All <s, Rq> of 32 neighbours come from one pass over their
// codes, four bits at a time through a table of sums (kernels/kernels.h), for which Rq is rounded to integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codes/i8.h"

namespace lamina {

inline constexpr size_t kNeighbourBlock = 32;  // neighbours side by side

// Components after the rotation.
inline size_t rotated_dim(const VectorSpec& spec) { return (size_t{spec.dim} + 15) / 16 * 16; }

// Bytes for 32 neighbours: the codes of all, a of each, b of each, as f16.
inline size_t neighbour_block_bytes(const VectorSpec& spec) {
  return rotated_dim(spec) / 4 * 16 + 2 * kNeighbourBlock * sizeof(f16);
}

// Bytes for a row of a graph with so many slots; whole cache lines.
inline size_t neighbour_stride(const VectorSpec& spec, size_t degree) {
  return (degree + kNeighbourBlock - 1) / kNeighbourBlock * neighbour_block_bytes(spec);
}

// R: random signs and a Hadamard transform, of the first 2^k components and of the last 2^k in turn, so that nothing is
// padded to a power of two. The same on every machine.
class Rotation {
 public:
  explicit Rotation(size_t dim);  // rotated_dim()
  size_t dim() const { return dim_; }
  void apply(float* x) const;  // in place

 private:
  size_t dim_;
  size_t block_;  // the largest power of two in it
  std::vector<float> signs_;
};

// Writes neighbour_stride() bytes for a row and its neighbours, no more than `degree`; all are 8-bit codes, rotated.
void encode_neighbours(const VectorSpec& spec, size_t degree, const float* row,
                       std::span<const float* const> neighbours, std::byte* out);

// A query against the neighbours of rows.
class NeighbourQuery {
 public:
  // REQUIRES: `fine` was prepared from `query`. Allocates only when dim changes.
  void prepare(const VectorSpec& spec, const I8Params& params, const I8Query& fine, const float* query);

  // About the keys that I8Query has for the neighbours of a row, from what is beside it and from the row's own key.
  // `keys` has room for whole blocks. `next` is what will be asked about next, or any
  // other memory.
  void keys(const std::byte* codes, size_t neighbours, uint32_t key_of_row, const std::byte* next,
            uint32_t* keys) const;

 private:
  Rotation rotation_ = Rotation(0);
  std::vector<float> rotated_;
  std::vector<uint8_t> table_;
  size_t groups_ = 0;
  float a_ = 0;        // what 1 of a, as stored, adds to a key
  float b_ = 0;        // what 1 of b takes from it, for each step of a sum
  float b_first_ = 0;  // and adds to it for a sum of 0
};

}  // namespace lamina
