#include "codes/i4.h"

#include <algorithm>
#include <array>

namespace lamina {
namespace {

constexpr uint32_t kValues = 255;  // of an 8-bit code, counted from -127
constexpr uint32_t kLast = 15;
constexpr size_t kBlock = 128;    // elements
constexpr size_t kSample = 1024;  // rows

uint32_t above_least(int8_t code) { return static_cast<uint32_t>(std::max(code + 127, 0)); }

uint32_t quantise(const I4Params& params, uint32_t value) {
  return value < params.low ? 0 : std::min((value - params.low) / params.step, kLast);
}

// In half steps of the 8-bit code, so that it is exact.
int64_t squared_error(const I4Params& params, const std::array<int64_t, kValues>& counts) {
  int64_t sum = 0;
  for (uint32_t value = 0; value < kValues; ++value) {
    const auto middle = 2 * params.low + (2 * quantise(params, value) + 1) * params.step - 1;
    const int64_t off = int64_t{2 * value} - int64_t{middle};
    sum += counts[value] * off * off;
  }
  return sum;
}

}  // namespace

I4Params train_i4(const VectorSpec& spec, const int8_t* codes, size_t rows) {
  std::array<int64_t, kValues> counts{};
  const size_t apart = rows / kSample + 1;
  for (size_t row = 0; row < rows; row += apart) {
    const int8_t* const code = codes + row * i8_stride(spec);
    for (size_t i = 0; i < spec.dim; ++i) ++counts[above_least(code[i])];
  }
  I4Params best;
  int64_t least = INT64_MAX;
  for (uint32_t step = 1; step <= I4Params::kMaxStep; ++step) {
    for (uint32_t low = 0; low + kLast * step < kValues; ++low) {
      const int64_t error = squared_error({step, low}, counts);
      if (error >= least) continue;
      least = error;
      best = {step, low};
    }
  }
  return best;
}

void encode_i4(const VectorSpec& spec, const I4Params& params, const int8_t* code, uint8_t* packed) {
  std::fill_n(packed, i4_stride(spec), uint8_t{0});
  for (size_t i = 0; i < spec.dim; ++i) {
    const uint32_t u = quantise(params, above_least(code[i]));
    const bool high = i % kBlock >= kBlock / 2;
    packed[i / kBlock * (kBlock / 2) + i % (kBlock / 2)] |= static_cast<uint8_t>(high ? u << 4 : u);
  }
}

void I4Query::prepare(const VectorSpec& spec, const I4Params& params, const I8Query& query) {
  const bool l2 = spec.metric == Metric::kL2;
  kernel_ = l2 ? kernels().l2_i4_x4 : kernels().ip_i4_x4;
  base_ = l2 ? 0 : 0x80000000U;
  flip_ = l2 ? 0 : 0xFFFFFFFFU;
  elements_ = 2 * i4_stride(spec);
  own_.assign(elements_, 0);
  if (!l2) {  // the order by inner product does not depend on where the codes begin
    std::copy_n(query.code(), spec.dim, own_.data());
    return;
  }
  // Where the query lies among the middles, which are 8 apart: that of u at 8u.
  const auto step = static_cast<int32_t>(params.step);
  const int32_t first = 2 * static_cast<int32_t>(params.low) + step - 1;  // twice the first of them
  for (size_t i = 0; i < spec.dim; ++i) {
    const int32_t beyond = std::max(2 * (query.code()[i] + 127) - first, 0);
    const auto place = static_cast<int32_t>(static_cast<float>(4 * beyond) / static_cast<float>(step) + 0.5F);
    own_[i] = static_cast<int8_t>(std::min(place, 127));
  }
}

}  // namespace lamina
