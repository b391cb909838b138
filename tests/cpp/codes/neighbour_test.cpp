// Goal: what lies beside a row tells about how far its neighbours are from a query: right on average, and nearly right
// for each; and whatever lies there, a key comes of it. Method: keys of random and clustered rows against those of
// their 8-bit codes; rows that are equal or zero; factors that no encoder writes.
#include "codes/neighbour.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/random.h"
#include "codes/specs.h"

namespace lamina {
namespace {

using testing::spec_of;

constexpr uint32_t kDims[] = {16, 48, 384, 768, 1000};
constexpr Metric kMetrics[] = {Metric::kCosine, Metric::kIp, Metric::kL2};

double dot(const float* a, const float* b, size_t n) { return std::inner_product(a, a + n, b, 0.0); }

// Rows about `clusters` centres, or about none; of length one for cosine.
std::vector<float> random_rows(const VectorSpec& spec, size_t n, size_t clusters, uint64_t seed) {
  Random random(seed);
  const auto draw = [&] { return static_cast<float>(random.unit() + random.unit() + random.unit() - 1.5); };
  std::vector<float> centres(clusters * spec.dim);
  for (float& x : centres) x = 2 * draw();
  std::vector<float> rows(n * spec.dim);
  for (size_t row = 0; row < n; ++row) {
    float* const x = &rows[row * spec.dim];
    for (uint32_t i = 0; i < spec.dim; ++i) {
      x[i] = draw() + (clusters == 0 ? 0 : centres[row % clusters * spec.dim + i]);
    }
    if (spec.metric != Metric::kCosine) continue;
    const auto length = static_cast<float>(std::sqrt(dot(x, x, spec.dim)));
    for (uint32_t i = 0; i < spec.dim; ++i) x[i] /= length;
  }
  return rows;
}

// Rows by their codes, rotated too.
struct Rows {
  Rows(const VectorSpec& s, const std::vector<float>& x)
      : spec(s), codes(x.size() / s.dim * i8_stride(s)), rotated(x.size() / s.dim * rotated_dim(s)) {
    std::vector<float> sample = x;
    params = train_i8(spec, sample);
    const Rotation rotation(rotated_dim(spec));
    for (size_t row = 0; row < x.size() / spec.dim; ++row) {
      encode_i8(spec, params, &x[row * spec.dim], 1, &codes[row * i8_stride(spec)]);
      std::copy_n(code(row), spec.dim, &rotated[row * rotation.dim()]);
      rotation.apply(&rotated[row * rotation.dim()]);
    }
  }
  const int8_t* code(size_t row) const { return &codes[row * i8_stride(spec)]; }
  const float* turned(size_t row) const { return &rotated[row * rotated_dim(spec)]; }

  std::vector<std::byte> beside(size_t row, const std::vector<size_t>& neighbours) const {
    std::vector<const float*> list;
    for (const size_t n : neighbours) list.push_back(turned(n));
    std::vector<std::byte> bytes(neighbour_stride(spec, list.size()), std::byte{0xee});
    encode_neighbours(spec, list.size(), turned(row), list, bytes.data());
    return bytes;
  }

  VectorSpec spec;
  I8Params params;
  std::vector<int8_t> codes;
  std::vector<float> rotated;
};

class Query {
 public:
  Query(const Rows& rows, const float* x) : rows_(rows) {
    fine.prepare(rows.spec, rows.params, x);
    about_.prepare(rows.spec, rows.params, fine, x);
  }
  std::vector<uint32_t> keys(size_t row, const std::vector<size_t>& neighbours) const {
    return keys(rows_.beside(row, neighbours), neighbours.size(), fine.key(rows_.code(row)));
  }
  std::vector<uint32_t> keys(const std::vector<std::byte>& bytes, size_t n, uint32_t key_of_row) const {
    std::vector<uint32_t> keys((n + kNeighbourBlock - 1) / kNeighbourBlock * kNeighbourBlock);
    about_.keys(bytes.data(), n, key_of_row, bytes.data(), keys.data());
    keys.resize(n);
    return keys;
  }

  I8Query fine;

 private:
  const Rows& rows_;
  NeighbourQuery about_;
};

TEST(Rotation, KeepsLengthsAndInnerProducts) {
  for (const uint32_t dim : kDims) {
    const VectorSpec spec = spec_of(dim, Metric::kL2);
    const size_t n = rotated_dim(spec);
    EXPECT_EQ(n % 16, 0U);
    EXPECT_LT(n - dim, 16U);
    std::vector<float> x = random_rows(spec, 2, 0, 1);
    x.resize(2 * n);
    std::vector<float> turned = x;
    const Rotation rotation(n);
    rotation.apply(turned.data());
    rotation.apply(turned.data() + n);
    const double square = dot(x.data(), x.data(), n);
    EXPECT_NEAR(dot(turned.data(), turned.data(), n), square, 1e-5 * square) << dim;
    EXPECT_NEAR(dot(turned.data(), turned.data() + n, n), dot(x.data(), x.data() + n, n), 1e-5 * square) << dim;
    EXPECT_GT(dot(x.data(), x.data(), n) - dot(x.data(), turned.data(), n), square / 4) << "it turns nothing";
  }
}

TEST(Rotation, SpreadsWhatOneComponentHolds) {
  for (const uint32_t dim : kDims) {
    const size_t n = rotated_dim(spec_of(dim, Metric::kL2));
    const Rotation rotation(n);
    for (const size_t at : {size_t{0}, n / 2, n - 1}) {
      std::vector<float> x(n);
      x[at] = 1;
      rotation.apply(x.data());
      const double even = std::sqrt(static_cast<double>(n));
      double size = 0;
      double most = 0;
      for (const float value : x) {
        size += std::abs(value);
        most = std::max<double>(most, std::abs(value));
      }
      EXPECT_GT(size, 0.5 * even) << dim << " " << at;
      EXPECT_LT(most, 6 / even) << dim << " " << at;
    }
  }
}

// By how much the estimates are wrong, over what they are wrong by: |q - r| |n - r| / sqrt(dim).
struct Errors {
  double mean = 0;
  double deviation = 0;
};

Errors errors(const VectorSpec& spec, size_t clusters) {
  constexpr size_t kRows = 200;
  constexpr size_t kNeighbours = 20;
  const std::vector<float> x = random_rows(spec, kRows, clusters, 3);
  const std::vector<float> queries = random_rows(spec, kRows, clusters, 4);
  const Rows rows(spec, x);
  const size_t dim = rotated_dim(spec);
  Random random(5);
  double sum = 0;
  double squares = 0;
  for (size_t row = 0; row < kRows; ++row) {
    const Query query(rows, &queries[row * spec.dim]);
    std::vector<float> q(dim);
    for (uint32_t i = 0; i < spec.dim; ++i) {
      q[i] = (queries[row * spec.dim + i] - rows.params.offset) * rows.params.scale;
    }
    Rotation(dim).apply(q.data());
    std::vector<size_t> neighbours;
    for (size_t n = 0; n < kNeighbours; ++n) neighbours.push_back((row + 1 + random.uniform(kRows - 1)) % kRows);
    const std::vector<uint32_t> keys = query.keys(row, neighbours);
    for (size_t n = 0; n < kNeighbours; ++n) {
      double from_row = 0;
      double apart = 0;
      for (size_t i = 0; i < dim; ++i) {
        const double r = rows.turned(row)[i];
        from_row += spec.metric == Metric::kIp ? q[i] * q[i] : (q[i] - r) * (q[i] - r);
        apart += (rows.turned(neighbours[n])[i] - r) * (rows.turned(neighbours[n])[i] - r);
      }
      const double steps = query.fine.steps_to_square(rows.params) * (spec.metric == Metric::kL2 ? 2 : 1);
      const double error = static_cast<double>(keys[n]) - query.fine.key(rows.code(neighbours[n]));
      const double relative = error / (steps * std::sqrt(from_row * apart / static_cast<double>(dim)));
      sum += relative;
      squares += relative * relative;
    }
  }
  constexpr double kCount = kRows * kNeighbours;
  return {sum / kCount, std::sqrt(squares / kCount - sum / kCount * sum / kCount)};
}

TEST(NeighbourCodes, AreRightOnAverageAndTheBetterTheMoreComponents) {
  for (const Metric metric : kMetrics) {
    for (const uint32_t dim : kDims) {
      for (const size_t clusters : {0U, 10U}) {
        const Errors found = errors(spec_of(dim, metric), clusters);
        EXPECT_LT(std::abs(found.mean), 0.15) << name_of(metric) << " " << dim << " " << clusters;
        EXPECT_LT(found.deviation, 1) << name_of(metric) << " " << dim << " " << clusters;
        EXPECT_GT(found.deviation, 0.5) << name_of(metric) << " " << dim << " " << clusters;
      }
    }
  }
}

TEST(NeighbourCodes, OfTheRowItselfHaveItsKey) {
  for (const Metric metric : kMetrics) {
    const VectorSpec spec = spec_of(100, metric);
    const std::vector<float> x = random_rows(spec, 40, 0, 1);
    const Rows rows(spec, x);
    const Query query(rows, &x[39 * spec.dim]);
    for (size_t row = 0; row < 40; ++row) {
      const std::vector<uint32_t> keys = query.keys(row, {row, (row + 1) % 40, row});
      const uint32_t own = query.fine.key(rows.code(row));
      EXPECT_EQ(keys[0], own);
      EXPECT_NE(keys[1], own);
      EXPECT_EQ(keys[2], own);
    }
  }
}

TEST(NeighbourCodes, AreTheSameWhereverAmongTheNeighbours) {
  const VectorSpec spec = spec_of(100, Metric::kCosine);
  const std::vector<float> x = random_rows(spec, 70, 0, 1);
  const Rows rows(spec, x);
  EXPECT_EQ(neighbour_stride(spec, 32), rotated_dim(spec) * 4 + 128);
  EXPECT_EQ(neighbour_stride(spec, 33), 2 * neighbour_stride(spec, 32));
  EXPECT_EQ(neighbour_stride(spec, 1), neighbour_stride(spec, 32));
  const Query query(rows, &x[69 * spec.dim]);
  EXPECT_TRUE(query.keys(0, {}).empty());
  for (const size_t count : {1U, 16U, 17U, 31U, 32U, 33U, 64U}) {
    std::vector<size_t> neighbours(count);
    std::iota(neighbours.begin(), neighbours.end(), size_t{1});
    const std::vector<uint32_t> keys = query.keys(0, neighbours);
    for (size_t n = 0; n < count; ++n) EXPECT_EQ(keys[n], query.keys(0, {neighbours[n]})[0]) << count << " " << n;
  }
}

TEST(NeighbourCodes, FreeSlotsAreZero) {
  const VectorSpec spec = spec_of(48, Metric::kL2);
  const Rows rows(spec, random_rows(spec, 3, 0, 1));
  std::vector<std::byte> bytes(neighbour_stride(spec, 40), std::byte{0xee});
  const float* const list[] = {rows.turned(1), rows.turned(2)};
  encode_neighbours(spec, 40, rows.turned(0), list, bytes.data());
  std::vector<std::byte> expected = rows.beside(0, {1, 2});
  expected.resize(bytes.size());
  EXPECT_EQ(bytes, expected);
}

TEST(NeighbourCodes, ZeroQueriesAndZeroRows) {
  for (const Metric metric : kMetrics) {
    const VectorSpec spec = spec_of(64, metric);
    std::vector<float> x = random_rows(spec, 10, 0, 1);
    std::fill_n(x.begin(), 2 * spec.dim, 0.0F);
    const Rows rows(spec, x);
    const Query none(rows, x.data());
    const Query some(rows, &x[9 * spec.dim]);
    EXPECT_EQ(none.keys(0, {1})[0], none.fine.key(rows.code(0))) << name_of(metric);
    EXPECT_EQ(some.keys(0, {1})[0], some.fine.key(rows.code(0))) << name_of(metric);
    if (metric == Metric::kIp) {
      EXPECT_EQ(none.keys(5, {0})[0], none.fine.key(rows.code(5))) << "all products are zero";
    }
    if (metric == Metric::kL2) {
      const double near = none.fine.key(rows.code(5));
      EXPECT_NEAR(none.keys(0, {5})[0], near, near / 7);
    }
  }
}

TEST(NeighbourCodes, NoKeyIsNearerThanTheQueryItself) {
  const VectorSpec spec = spec_of(16, Metric::kL2);
  const std::vector<float> x = random_rows(spec, 200, 0, 1);
  const Rows rows(spec, x);
  size_t at_query = 0;
  for (size_t row = 1; row < 200; ++row) {
    const Query query(rows, &x[row * spec.dim]);
    const uint32_t key = query.keys(0, {row})[0];  // truly 0; as often as not it is reckoned to be less
    EXPECT_LT(key, 2 * query.fine.key(rows.code(0)));
    at_query += key == 0;
  }
  EXPECT_GT(at_query, 20U);
}

TEST(NeighbourCodes, FactorsThatNobodyWroteGiveAKey) {
  constexpr uint16_t kWild[] = {0x7c00, 0xfc00, 0x7e00, 0xfe00, 0x7bff, 0xfbff, 0x0001, 0x8001};  // f16
  for (const Metric metric : kMetrics) {
    const VectorSpec spec = spec_of(64, metric);
    const std::vector<float> x = random_rows(spec, 40, 0, 1);
    const Rows rows(spec, x);
    const Query query(rows, &x[39 * spec.dim]);
    std::vector<std::byte> bytes = rows.beside(0, {1});
    const size_t factors = bytes.size() - 2 * kNeighbourBlock * sizeof(uint16_t);
    std::fill_n(bytes.begin(), factors, std::byte{0xff});
    for (const uint16_t a : kWild) {
      for (const uint16_t b : kWild) {
        std::memcpy(bytes.data() + factors, &a, sizeof a);
        std::memcpy(bytes.data() + factors + kNeighbourBlock * sizeof b, &b, sizeof b);
        const uint32_t row = query.fine.key(rows.code(0));
        const uint32_t key = query.keys(bytes, 1, row)[0];
        EXPECT_LE(std::abs(static_cast<int64_t>(key) - row), int64_t{1} << 30) << std::hex << a << " " << b;
        if ((a & 0x7fff) > 0x7c00 || (b & 0x7fff) > 0x7c00) {
          EXPECT_GT(key, row) << "no number is far";
        }
      }
    }
    for (const uint32_t row : {0U, 1U, 0x7fffffffU, 0x80000000U}) {
      const uint16_t nearest = 0xfc00;
      const uint16_t none = 0;
      std::memcpy(bytes.data() + factors, &nearest, sizeof nearest);
      std::memcpy(bytes.data() + factors + kNeighbourBlock * sizeof none, &none, sizeof none);
      EXPECT_LE(query.keys(bytes, 1, row)[0], row);
    }
  }
}

TEST(NeighbourQuery, ServesAnotherSpecAfterwards) {
  NeighbourQuery query;
  for (const uint32_t dim : {64U, 1000U, 64U, 50U}) {
    const VectorSpec spec = spec_of(dim, Metric::kL2);
    const std::vector<float> x = random_rows(spec, 10, 0, 1);
    const Rows rows(spec, x);
    const Query fresh(rows, x.data());
    query.prepare(spec, rows.params, fresh.fine, x.data());
    std::vector<uint32_t> keys(kNeighbourBlock);
    const std::vector<std::byte> bytes = rows.beside(1, {2, 3});
    query.keys(bytes.data(), 2, 1000000, bytes.data(), keys.data());
    keys.resize(2);
    EXPECT_EQ(keys, fresh.keys(rows.beside(1, {2, 3}), 2, 1000000));
  }
}

}  // namespace
}  // namespace lamina
