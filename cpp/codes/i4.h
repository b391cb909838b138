// The 4-bit code of an 8-bit one: u = clamp(floor((c + 127 - low) / step), 0, 15) per component, packed as
// kernels/kernels.h says and padded with zeros to whole cache lines. It stands for the middle of what has the same u.
//
// Half the bytes of the 8-bit code to fetch, and less than half the instructions. What it costs is told by
// measurement: see index/calibration.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes/i8.h"

namespace lamina {

struct I4Params {
  uint32_t step = 0;  // 8-bit steps to one of this code, 1 to kMaxStep; 0: there is no such code
  uint32_t low = 0;   // where u = 0 begins, above -127; at most kMaxLow

  static constexpr uint32_t kMaxStep = 16;
  static constexpr uint32_t kMaxLow = 254;
};

inline size_t i4_stride(const VectorSpec& spec) { return (size_t{spec.dim} + 127) / 128 * 64; }

// The parameters with the least squared error on some of these rows, which lie back to back.
I4Params train_i4(const VectorSpec& spec, const int8_t* codes, size_t rows);

// Writes i4_stride() bytes.
void encode_i4(const VectorSpec& spec, const I4Params& params, const int8_t* code, uint8_t* packed);

// A query against many codes. A key orders as the distance does; 0 is nearest.
class I4Query {
 public:
  // From its 8-bit code: REQUIRES: query.prepare(). Allocates only when dim has grown.
  void prepare(const VectorSpec& spec, const I4Params& params, const I8Query& query);

  void keys4(const uint8_t* const codes[4], uint32_t keys[4]) const {
    int32_t values[4];
    kernel_(own_.data(), codes, elements_, values);
    for (int i = 0; i < 4; ++i) keys[i] = base_ + (static_cast<uint32_t>(values[i]) ^ flip_) - flip_;
  }

 private:
  void (*kernel_)(const int8_t*, const uint8_t* const[4], size_t, int32_t[4]) = nullptr;
  std::vector<int8_t> own_;
  size_t elements_ = 0;
  uint32_t base_ = 0;  // the key of a product of 0
  uint32_t flip_ = 0;  // all ones to negate the product
};

}  // namespace lamina
