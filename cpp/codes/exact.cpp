#include "codes/exact.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "base/error.h"

namespace lamina {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

float to_float(double value) {
  return static_cast<float>(std::clamp(value, -static_cast<double>(kLargest), static_cast<double>(kLargest)));
}

// Sums that are kept apart do not wait for each other.
double norm(const float* x, size_t n) {
  constexpr size_t kLanes = 8;
  std::array<double, kLanes> sums{};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) sums[j] += static_cast<double>(x[i + j]) * x[i + j];
  }
  for (; i < n; ++i) sums[i % kLanes] += static_cast<double>(x[i]) * x[i];
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

float element(const VectorSpec& spec, const std::byte* row, size_t i) {
  if (spec.dtype == DType::kF32) {
    float x;
    std::memcpy(&x, row + i * sizeof x, sizeof x);
    return x;
  }
  f16 half;
  std::memcpy(&half, row + i * sizeof half, sizeof half);
  float x;
  kernels().f16_to_f32(&half, &x, 1);
  return x;
}

}  // namespace

void store_vector(const VectorSpec& spec, const void* given, std::byte* stored) {
  if (spec.dtype != DType::kF16) {
    std::memcpy(stored, given, spec.vector_bytes());
    return;
  }
  constexpr float kBeyondHalf = 65520;  // rounds to infinity
  const auto* x = static_cast<const float*>(given);
  for (size_t i = 0; i < spec.dim; ++i) {
    if (std::abs(x[i]) >= kBeyondHalf) {
      throw InvalidVectorError("component " + std::to_string(i) + " is " + std::to_string(x[i]) +
                               ", beyond float16 (65504): store float32");
    }
  }
  kernels().f32_to_f16(x, reinterpret_cast<f16*>(stored), spec.dim);
}

void load_vector(const VectorSpec& spec, const std::byte* stored, float* out) {
  if (spec.dtype == DType::kF32) {
    std::memcpy(out, stored, spec.vector_bytes());
  } else {
    kernels().f16_to_f32(reinterpret_cast<const f16*>(stored), out, spec.dim);
  }
}

float inverse_norm(const VectorSpec& spec, const std::byte* stored) {
  double sum = 0;
  if (spec.dtype == DType::kF32) {
    const auto* x = reinterpret_cast<const float*>(stored);
    for (size_t i = 0; i < spec.dim; ++i) sum += static_cast<double>(x[i]) * x[i];
  } else {
    constexpr size_t kBlock = 256;
    float block[kBlock];
    const auto* x = reinterpret_cast<const f16*>(stored);
    for (size_t i = 0; i < spec.dim; i += kBlock) {
      const size_t n = std::min<size_t>(kBlock, spec.dim - i);
      kernels().f16_to_f32(x + i, block, n);
      for (size_t j = 0; j < n; ++j) sum += static_cast<double>(block[j]) * block[j];
    }
  }
  return sum == 0 ? 0 : to_float(1 / std::sqrt(sum));
}

float at_length_one(const VectorSpec& spec, const void* query, float distance) {
  if (spec.metric != Metric::kIp) return distance;
  constexpr double kShortest = 1e-5;
  const double length = norm(static_cast<const float*>(query), spec.dim);
  if (length < kShortest) return -std::numeric_limits<float>::infinity();
  return to_float(1 - (1 - static_cast<double>(distance)) / length);
}

void ExactQuery::prepare(const VectorSpec& spec, const void* query) {
  spec_ = spec;
  kernels_ = &kernels();
  query_ = query;
  if (spec.metric != Metric::kCosine) return;
  const auto* x = static_cast<const float*>(query);
  const double length = norm(x, spec.dim);
  zero_ = length == 0;
  unit_.resize(spec.dim);
  const double factor = zero_ ? 0 : 1 / length;
  for (size_t i = 0; i < spec.dim; ++i) unit_[i] = static_cast<float>(x[i] * factor);
}

void ExactQuery::distances4(const std::byte* const rows[4], const float inverse_norms[4], float out[4]) const {
  const auto* query = static_cast<const float*>(query_);
  const float* const f32[4] = {reinterpret_cast<const float*>(rows[0]), reinterpret_cast<const float*>(rows[1]),
                               reinterpret_cast<const float*>(rows[2]), reinterpret_cast<const float*>(rows[3])};
  const f16* const half[4] = {reinterpret_cast<const f16*>(rows[0]), reinterpret_cast<const f16*>(rows[1]),
                              reinterpret_cast<const f16*>(rows[2]), reinterpret_cast<const f16*>(rows[3])};
  const bool is_f32 = spec_.dtype == DType::kF32;
  switch (spec_.metric) {
    case Metric::kL2:
      is_f32 ? kernels_->l2_f32_x4(query, f32, spec_.dim, out) : kernels_->l2_f16_x4(query, half, spec_.dim, out);
      break;
    case Metric::kIp:
    case Metric::kCosine: {
      const float* x = spec_.metric == Metric::kIp ? query : unit_.data();
      is_f32 ? kernels_->ip_f32_x4(x, f32, spec_.dim, out) : kernels_->ip_f16_x4(x, half, spec_.dim, out);
      if (spec_.metric == Metric::kCosine) return cosine4(rows, inverse_norms, out);
      for (int i = 0; i < 4; ++i) out[i] = 1 - out[i];
      break;
    }
    case Metric::kHamming: {
      const uint8_t* const bits[4] = {
          reinterpret_cast<const uint8_t*>(rows[0]), reinterpret_cast<const uint8_t*>(rows[1]),
          reinterpret_cast<const uint8_t*>(rows[2]), reinterpret_cast<const uint8_t*>(rows[3])};
      uint32_t differing[4];
      kernels_->hamming_x4(static_cast<const uint8_t*>(query_), bits, spec_.vector_bytes(), differing);
      for (int i = 0; i < 4; ++i) out[i] = static_cast<float>(differing[i]);
      return;
    }
  }
  for (int i = 0; i < 4; ++i) {
    if (!std::isfinite(out[i])) out[i] = to_float(in_double(rows[i]));
  }
}

// `out` holds the dot products with the unit query.
void ExactQuery::cosine4(const std::byte* const rows[4], const float inverse_norms[4], float out[4]) const {
  // Outside of these, 1/|x| or the dot product has lost digits to the ends of the float range.
  constexpr float kLeast = 1e-37F;
  constexpr float kMost = 1e30F;
  for (int i = 0; i < 4; ++i) {
    const float inverse = inverse_norms[i];
    if (zero_ || inverse == 0) {
      out[i] = 1;
    } else if (inverse >= kLeast && inverse <= kMost && std::isfinite(out[i])) {
      out[i] = std::clamp(1 - out[i] * inverse, 0.0F, 2.0F);
    } else {
      out[i] = static_cast<float>(std::clamp(in_double(rows[i]), 0.0, 2.0));
    }
  }
}

double ExactQuery::in_double(const std::byte* row) const {
  const float* query = direction();
  double dot = 0;
  double difference = 0;
  double square = 0;
  for (size_t i = 0; i < spec_.dim; ++i) {
    const double q = query[i];
    const double x = element(spec_, row, i);
    dot += q * x;
    difference += (q - x) * (q - x);
    square += x * x;
  }
  if (spec_.metric == Metric::kL2) return difference;
  if (spec_.metric == Metric::kIp) return 1 - dot;
  return square == 0 ? 1 : 1 - dot / std::sqrt(square);
}

}  // namespace lamina
