// The 8-bit code: code = clamp(round((x - offset) * scale), -127, 127) per component, of the unit vector for cosine,
// padded with zeros to whole cache lines. One scale serves all components, so distances between codes are integers,
// the same on every machine. A query is encoded too.
//
// The range that is kept is the one with the least squared error on a sample: a few outliers are clipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes/metric.h"
#include "kernels/kernels.h"

namespace lamina {

// Parameters of the 8-bit code.
struct I8Params {
  float offset = 0;
  float scale = 1;
};

// Whether this set is walked on 8-bit codes; else on the stored vectors. Few components of 8 bits do not tell many
// rows apart, and sums over very many leave 32 bits.
inline bool has_i8(const VectorSpec& spec) {
  return spec.codes == CodeKind::kI8 && spec.metric != Metric::kHamming && spec.dim >= 16 && spec.dim <= 32768;
}

inline size_t i8_stride(const VectorSpec& spec) { return (size_t{spec.dim} + 63) / 64 * 64; }

// The parameters for vectors of which `sample` holds components (of unit vectors for cosine). Reorders it.
I8Params train_i8(const VectorSpec& spec, std::vector<float>& sample);

// Whether rows encoded by `ours` may stay when a new sample would have given `fresh`.
bool still_fits(const I8Params& ours, const I8Params& fresh);

// Writes i8_stride() bytes. `factor` multiplies x first: the inverse norm for cosine, else 1.
void encode_i8(const VectorSpec& spec, const I8Params& params, const float* x, float factor, int8_t* code);

// A query, or a row that stands for one, against many codes. A key orders as the distance does; 0 is nearest.
class I8Query {
 public:
  // Encodes `query` (dim float32) into memory of its own, for cosine and ip at a scale of its own.
  void prepare(const VectorSpec& spec, const I8Params& params, const float* query);
  // `code` must outlive the keys asked for.
  void prepare_code(const VectorSpec& spec, const I8Params& params, const int8_t* code);

  void keys4(const int8_t* const codes[4], uint32_t keys[4]) const {
    int32_t values[4];
    kernel_(code_, codes, stride_, values);
    for (int i = 0; i < 4; ++i) keys[i] = base_ + (static_cast<uint32_t>(values[i]) ^ flip_) - flip_;
  }

  const int8_t* code() const { return code_; }

  // The key of one row; of its code.
  uint32_t key(const int8_t* code) const {
    return base_ + (static_cast<uint32_t>(one_(code_, code, stride_)) ^ flip_) - flip_;
  }
  // Of a key, to a square of a step of the rows' codes. REQUIRES: prepare().
  float steps_to_square(const I8Params& params) const {
    return static_cast<float>(steps_ / (double{params.scale} * params.scale));
  }

  // About the key of a vector at this distance. REQUIRES: prepare().
  uint32_t key_at(float distance) const;

  // The distance behind the key of another row's code, in units of its own; may be negative for ip.
  // REQUIRES: prepare_code().
  float distance_of(uint32_t key) const { return unit_ + static_cast<float>(static_cast<int64_t>(key) - base_); }

 private:
  void set_up(const VectorSpec& spec, const I8Params& params);

  void (*kernel_)(const int8_t*, const int8_t* const[4], size_t, int32_t[4]) = nullptr;
  int32_t (*one_)(const int8_t*, const int8_t*, size_t) = nullptr;
  const int8_t* code_ = nullptr;
  size_t stride_ = 0;
  uint32_t base_ = 0;  // the key of a product of 0
  uint32_t flip_ = 0;  // all ones to negate the product
  float unit_ = 0;     // cosine: the squared length of a code
  double steps_ = 1;   // of the key to a unit of distance
  std::vector<int8_t> own_;
};

}  // namespace lamina
