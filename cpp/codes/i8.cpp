#include "codes/i8.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace lamina {
namespace {

constexpr float kMost = 127;
constexpr int32_t kSign = INT32_MIN;
constexpr size_t kEncodedAtOnce = 64;
constexpr double kWild = 0.0003;  // of the sample at each end: a component of any size there must not count

struct Range {
  float low;
  float high;
};

I8Params params_for(Range range) {
  I8Params params;
  params.offset = range.low + (range.high - range.low) / 2;
  const float half = (range.high - range.low) / 2;
  params.scale = std::isnormal(half) && std::isnormal(kMost / half) ? kMost / half : 1;
  return params;
}

float quantise(const I8Params& params, float x) {
  const float scaled = (x - params.offset) * params.scale;
  return std::clamp(scaled, -kMost, kMost);
}

// The same rounded to the nearest, halves away from zero. Sign and size are taken apart as bits, so that a loop of it
// has no branches: those on signs are mispredicted half of the time, which is most of what encoding took.
int32_t rounded(const I8Params& params, float x) {
  const auto scaled = std::bit_cast<int32_t>((x - params.offset) * params.scale);
  const int32_t size = std::min(scaled & ~kSign, std::bit_cast<int32_t>(kMost));
  const auto code = static_cast<int32_t>(std::bit_cast<float>(size) + 0.5F);
  return scaled < 0 ? -code : code;
}

// The largest of their sizes; floats that are not negative order as their bits do.
float largest(const float* x, size_t n) {
  int32_t most = 0;
  for (size_t i = 0; i < n; ++i) most = std::max(most, std::bit_cast<int32_t>(x[i]) & ~kSign);
  return std::bit_cast<float>(most);
}

double squared_error(const I8Params& params, const std::vector<float>& sample) {
  double sum = 0;
  for (const float x : sample) {
    const double code = std::nearbyint(quantise(params, x));
    const double error = (static_cast<double>(x) - params.offset) - code / params.scale;
    sum += error * error;
  }
  return sum;
}

// What lies between the quantiles (1 - share)/2 of sorted values.
Range middle(const std::vector<float>& sorted, double share, bool symmetric) {
  const auto last = static_cast<double>(sorted.size() - 1);
  const auto cut = static_cast<size_t>(last * (1 - share) / 2);
  const Range range{sorted[cut], sorted[sorted.size() - 1 - cut]};
  if (!symmetric) return range;
  const float most = std::max(std::abs(range.low), std::abs(range.high));
  return {-most, most};
}

}  // namespace

I8Params train_i8(const VectorSpec& spec, std::vector<float>& sample) {
  if (sample.empty()) return {};
  std::sort(sample.begin(), sample.end());
  const auto wild = static_cast<ptrdiff_t>(static_cast<double>(sample.size()) * kWild);
  sample.erase(sample.end() - wild, sample.end());
  sample.erase(sample.begin(), sample.begin() + wild);
  I8Params best;
  double least = HUGE_VAL;
  for (const double share : {1.0, 0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98}) {
    const I8Params params = params_for(middle(sample, share, spec.metric != Metric::kL2));
    const double error = squared_error(params, sample);
    if (error < least) {
      least = error;
      best = params;
    }
  }
  return best;
}

bool still_fits(const I8Params& ours, const I8Params& fresh) {
  const float ratio = fresh.scale / ours.scale;
  const float moved = std::abs(fresh.offset - ours.offset) * ours.scale;  // in steps of the code
  return ratio > 0.6F && ratio < 1.6F && moved < kMost / 3;
}

void encode_i8(const VectorSpec& spec, const I8Params& params, const float* x, float factor, int8_t* code) {
  int32_t block[kEncodedAtOnce];
  for (size_t begin = 0; begin < spec.dim; begin += kEncodedAtOnce) {
    const size_t n = std::min(kEncodedAtOnce, spec.dim - begin);
    for (size_t i = 0; i < n; ++i) block[i] = rounded(params, x[begin + i] * factor);
    for (size_t i = 0; i < n; ++i) code[begin + i] = static_cast<int8_t>(block[i]);
  }
  std::fill(code + spec.dim, code + i8_stride(spec), int8_t{0});
}

void I8Query::set_up(const VectorSpec& spec, const I8Params& params) {
  const bool l2 = spec.metric == Metric::kL2;
  kernel_ = l2 ? kernels().l2_i8_x4 : kernels().ip_i8_x4;
  one_ = l2 ? kernels().l2_i8 : kernels().ip_i8;
  stride_ = i8_stride(spec);
  base_ = l2 ? 0 : 0x80000000U;
  flip_ = l2 ? 0 : 0xFFFFFFFFU;
  unit_ = spec.metric == Metric::kCosine ? params.scale * params.scale : 0;
}

void I8Query::prepare(const VectorSpec& spec, const I8Params& params, const float* query) {
  set_up(spec, params);
  own_.resize(stride_);
  code_ = own_.data();
  I8Params mine = params;
  if (spec.metric != Metric::kL2) {  // the order by inner product does not depend on the query's scale
    const float most = largest(query, spec.dim);
    mine = params_for({-most, most});
  }
  encode_i8(spec, mine, query, 1, own_.data());
  steps_ = double{mine.scale} * params.scale;
}

uint32_t I8Query::key_at(float distance) const {
  const double from_product_0 = flip_ == 0 ? distance : double{distance} - 1;  // by inner product: 1 - dot
  return static_cast<uint32_t>(std::clamp(base_ + from_product_0 * steps_, 0.0, double{UINT32_MAX}));
}

void I8Query::prepare_code(const VectorSpec& spec, const I8Params& params, const int8_t* code) {
  set_up(spec, params);
  code_ = code;
}

}  // namespace lamina
