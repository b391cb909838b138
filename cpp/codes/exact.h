// Distances on stored vectors: the numbers that users see. Never NaN; what overflows float on the way is recomputed
// in double, and what is beyond float in the end is the largest float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes/metric.h"
#include "kernels/kernels.h"

namespace lamina {

// Rounds a given vector (dim float32; dim/8 bytes of bits) to its stored form. InvalidVectorError when a component
// is beyond float16.
void store_vector(const VectorSpec& spec, const void* given, std::byte* stored);

// A stored vector as float32. REQUIRES: not bits.
void load_vector(const VectorSpec& spec, const std::byte* stored, float* out);

// 1/|x| of a stored vector; 0 for the zero vector.
float inverse_norm(const VectorSpec& spec, const std::byte* stored);

// What a distance to `query` would be if that had length 1: another by inner product only, where a query so short that
// its distances do not tell has it infinitely low.
float at_length_one(const VectorSpec& spec, const void* query, float distance);

// A query made ready for many distances. Reusable: prepare() allocates only when dim has grown.
class ExactQuery {
 public:
  // The query (dim float32, or bits) must outlive the distances asked for.
  void prepare(const VectorSpec& spec, const void* query);

  // Distances to four stored vectors. `inverse_norms` is read for cosine only. A row's distance does not depend on
  // which slot it stands in; callers with fewer repeat one.
  void distances4(const std::byte* const rows[4], const float inverse_norms[4], float out[4]) const;

  const void* given() const { return query_; }

  // What a code of the query is made from: the query at length 1 for cosine, else as it came. REQUIRES: not bits.
  const float* direction() const {
    return spec_.metric == Metric::kCosine ? unit_.data() : static_cast<const float*>(query_);
  }

 private:
  void cosine4(const std::byte* const rows[4], const float inverse_norms[4], float out[4]) const;
  double in_double(const std::byte* row) const;

  VectorSpec spec_;
  const Kernels* kernels_ = nullptr;
  const void* query_ = nullptr;
  std::vector<float> unit_;  // cosine: the query at length 1, or all zero
  bool zero_ = false;        // cosine: the query is the zero vector
};

}  // namespace lamina
