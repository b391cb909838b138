#include "codes/neighbour.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/random.h"

namespace lamina {
namespace {

constexpr uint64_t kSeed = 0x6e65696768626f72;
constexpr int kTurns = 2;
constexpr size_t kGroup = 4;  // components that are looked up together
constexpr size_t kEntries = 16;
constexpr size_t kLanes = 16;  // sums that are kept apart, for the compiler
constexpr float kMostEntry = 255;
constexpr float kMostSum = 65535;
constexpr int32_t kFarthest = 1 << 30;  // from the key of a row to those of its neighbours

// Of a, as it is stored: squared lengths in steps of 8-bit codes are more than f16 holds.
float unit_of_a(size_t rotated) { return 16 * static_cast<float>(rotated); }

void hadamard(float* x, size_t n) {
  for (size_t half = 1; half < n; half *= 2) {
    for (float* pair = x; pair < x + n; pair += 2 * half) {
      for (size_t i = 0; i < half; ++i) {
        const float a = pair[i];
        const float b = pair[i + half];
        pair[i] = a + b;
        pair[i + half] = a - b;
      }
    }
  }
}

// Twice the sum of those of four numbers whose sign is that of their bit, for each way to set four bits.
void write_entries(const int32_t* x, uint8_t* entries) {
  static_assert(std::endian::native == std::endian::little);
  constexpr uint64_t kAll = 0x0101010101010101;  // a byte is an entry
  constexpr uint64_t kWithBit[] = {0x0100010001000100, 0x0101000001010000, 0x0101010100000000};
  const auto twice = [&](size_t i) { return static_cast<uint64_t>(2 * std::abs(x[i])); };
  uint64_t low = 0;
  for (size_t i = 0; i < 3; ++i) low += twice(i) * (x[i] < 0 ? kAll ^ kWithBit[i] : kWithBit[i]);
  uint64_t high = low;
  (x[3] < 0 ? low : high) += twice(3) * kAll;
  std::memcpy(entries, &low, sizeof low);
  std::memcpy(entries + sizeof low, &high, sizeof high);
}

float total(const std::array<float, kLanes>& sums) { return std::accumulate(sums.begin(), sums.end(), 0.0F); }

}  // namespace

Rotation::Rotation(size_t dim) : dim_(dim), block_(std::bit_floor(dim)), signs_(kTurns * block_) {
  Random random(kSeed);
  const float size = 1 / std::sqrt(static_cast<float>(block_));
  for (float& sign : signs_) sign = random.next_u64() % 2 == 0 ? size : -size;
}

void Rotation::apply(float* x) const {
  for (int turn = 0; turn < kTurns; ++turn) {
    const float* const signs = signs_.data() + turn * block_;
    float* const block = turn % 2 == 0 ? x : x + dim_ - block_;
    for (size_t i = 0; i < block_; ++i) block[i] *= signs[i];
    hadamard(block, block_);
  }
}

void encode_neighbours(const VectorSpec& spec, size_t degree, const float* row,
                       std::span<const float* const> neighbours, std::byte* out) {
  const size_t dim = rotated_dim(spec);
  std::fill_n(out, neighbour_stride(spec, degree), std::byte{0});
  for (size_t n = 0; n < neighbours.size(); ++n) {
    std::byte* const block = out + n / kNeighbourBlock * neighbour_block_bytes(spec);
    const size_t place = n % kNeighbourBlock;
    std::byte* const codes = block + place % 16;
    const unsigned shift = place < 16 ? 0 : kGroup;
    std::array<float, kLanes> squared{};
    std::array<float, kLanes> size{};
    std::array<float, kLanes> along{};  // of <s, Rr>
    std::array<uint8_t, kLanes> positive;
    for (size_t i = 0; i < dim; i += kLanes) {
      const float* const to = neighbours[n] + i;
      const float* const from = row + i;
      for (size_t j = 0; j < kLanes; ++j) {
        const float e = to[j] - from[j];
        squared[j] += e * e;
        size[j] += std::abs(e);
        along[j] += e > 0 ? from[j] : -from[j];
        positive[j] = e > 0 ? 1 : 0;
      }
      for (size_t j = 0; j < kLanes; j += kGroup) {
        const int signs = positive[j] | positive[j + 1] << 1 | positive[j + 2] << 2 | positive[j + 3] << 3;
        codes[(i + j) / kGroup * 16] |= static_cast<std::byte>(signs << shift);
      }
    }
    const float f = total(size) > 0 ? total(squared) / total(size) : 0;
    float factors[2] = {total(squared) + 2 * f * total(along), 2 * f};
    if (spec.metric == Metric::kIp) factors[0] = 0;
    if (spec.metric == Metric::kCosine) factors[0] /= 2;
    if (spec.metric != Metric::kL2) factors[1] /= 2;
    factors[0] /= unit_of_a(dim);
    auto* const stored = reinterpret_cast<f16*>(block + dim / kGroup * 16);
    kernels().f32_to_f16(factors, stored + place, 1);
    kernels().f32_to_f16(factors + 1, stored + kNeighbourBlock + place, 1);
  }
}

void NeighbourQuery::prepare(const VectorSpec& spec, const I8Params& params, const I8Query& fine, const float* query) {
  const size_t dim = rotated_dim(spec);
  if (rotation_.dim() != dim) rotation_ = Rotation(dim);
  groups_ = dim / kGroup;
  rotated_.assign(dim, 0);
  table_.resize(groups_ * kEntries);
  for (size_t i = 0; i < spec.dim; ++i) rotated_[i] = (query[i] - params.offset) * params.scale;
  rotation_.apply(rotated_.data());

  float widest = 0;
  float sum = 0;
  for (size_t i = 0; i < dim; i += kGroup) {
    const float* const x = &rotated_[i];
    const float four = (std::abs(x[0]) + std::abs(x[1])) + (std::abs(x[2]) + std::abs(x[3]));
    widest = std::max(widest, four);
    sum += four;
  }
  // As fine as entries of 8 bits and sums of 16 can hold, with all rounded up.
  const float halves = static_cast<float>(dim) / 2;
  const float steps = std::min((kMostEntry / 2 - 2) / widest, (kMostSum / 2 - halves) / sum);
  const float scale = std::isfinite(steps) ? steps : 0;
  int32_t size = 0;
  for (size_t i = 0; i < dim; i += kGroup) {
    int32_t x[kGroup];
    for (size_t j = 0; j < kGroup; ++j) {
      const float scaled = rotated_[i + j] * scale;
      x[j] = static_cast<int32_t>(scaled + std::copysign(0.5F, scaled));
      size += std::abs(x[j]);
    }
    write_entries(x, &table_[i / kGroup * kEntries]);
  }
  // <s, x> is what is looked up, less the size of x.
  const float a_square = fine.steps_to_square(params);
  a_ = a_square * unit_of_a(dim);
  b_ = scale > 0 ? a_square / scale : 0;
  b_first_ = b_ * static_cast<float>(size);
}

void NeighbourQuery::keys(const std::byte* codes, size_t neighbours, uint32_t key_of_row, const std::byte* next,
                          uint32_t* keys) const {
  const size_t bytes = groups_ * 16;
  const auto nearest = -static_cast<int32_t>(std::min<uint32_t>(key_of_row, kFarthest));
  for (size_t begin = 0; begin < neighbours; begin += kNeighbourBlock) {
    uint16_t sums[kNeighbourBlock];
    float factors[2 * kNeighbourBlock];
    kernels().sum_lookups_x32(table_.data(), reinterpret_cast<const uint8_t*>(codes), groups_,
                              reinterpret_cast<const uint8_t*>(next), sums);
    kernels().f16_to_f32(reinterpret_cast<const f16*>(codes + bytes), factors, 2 * kNeighbourBlock);
    for (size_t i = 0; i < kNeighbourBlock; ++i) {
      const float b = b_first_ - b_ * static_cast<float>(static_cast<int32_t>(sums[i]));
      const float more = factors[i] * a_ + factors[kNeighbourBlock + i] * b;
      constexpr auto kMost = static_cast<float>(kFarthest);
      // In this order, what is no number, from a damaged file, counts as far.
      const auto rounded = static_cast<int32_t>(std::max(-kMost, std::min(kMost, more)));
      keys[begin + i] = key_of_row + static_cast<uint32_t>(std::max(rounded, nearest));
    }
    codes += bytes + sizeof(f16) * 2 * kNeighbourBlock;
    next += bytes + sizeof(f16) * 2 * kNeighbourBlock;
  }
}

}  // namespace lamina
