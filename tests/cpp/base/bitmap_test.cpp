// Goal: Bitmap is a set of row numbers, and an old one never changes when a new one is made from it.
// Method: against std::set over random rows that cross chunks; sharing by comparing chunk addresses.
#include "base/bitmap.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "base/random.h"

namespace lamina {
namespace {

constexpr uint64_t kRows = 3 * Bitmap::kChunkRows + 777;

std::vector<uint32_t> draw(Random& random, size_t n, uint64_t below = kRows) {
  std::vector<uint32_t> rows;
  for (size_t i = 0; i < n; ++i) rows.push_back(static_cast<uint32_t>(random.uniform(below)));
  return rows;
}

void expect_equal(const Bitmap& bitmap, const std::set<uint32_t>& oracle) {
  EXPECT_EQ(bitmap.count(), oracle.size());
  std::vector<uint32_t> rows;
  bitmap.for_each([&](uint32_t row) { rows.push_back(row); });
  EXPECT_EQ(rows, std::vector<uint32_t>(oracle.begin(), oracle.end()));
  uint64_t counted = 0;
  for (size_t i = 0; i < bitmap.chunk_count(); ++i) counted += bitmap.count_in_chunk(i);
  EXPECT_EQ(counted, oracle.size());
}

TEST(Bitmap, EmptyOnes) {
  const Bitmap none;
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(none.chunk_count(), 0U);
  EXPECT_EQ(none, none.with({}));
  const Bitmap zeros(kRows);
  EXPECT_EQ(zeros.chunk_count(), 4U);
  EXPECT_EQ(zeros.count(), 0U);
  EXPECT_FALSE(zeros.test(kRows - 1));
  EXPECT_EQ(zeros.chunk(3), nullptr);
}

TEST(Bitmap, WithAddsAndLeavesTheOldOneAlone) {
  Random random(1);
  std::set<uint32_t> oracle;
  Bitmap bitmap(kRows);
  for (int round = 0; round < 50; ++round) {
    const Bitmap before = bitmap;
    const std::set<uint32_t> before_oracle = oracle;
    const auto rows = draw(random, random.uniform(40));
    bitmap = bitmap.with(rows);
    oracle.insert(rows.begin(), rows.end());
    expect_equal(bitmap, oracle);
    expect_equal(before, before_oracle);
  }
  for (uint32_t row = 0; row < kRows; ++row) ASSERT_EQ(bitmap.test(row), oracle.contains(row)) << row;
}

TEST(Bitmap, OnlyTouchedChunksAreCopied) {
  const Bitmap a = Bitmap(kRows).with(std::vector<uint32_t>{1, 70000, 140000});
  const Bitmap b = a.with(std::vector<uint32_t>{70001});
  EXPECT_EQ(a.chunk(0), b.chunk(0));
  EXPECT_NE(a.chunk(1), b.chunk(1));
  EXPECT_EQ(a.chunk(2), b.chunk(2));
  EXPECT_EQ(b.chunk(3), nullptr);
}

TEST(Bitmap, RepeatedAndPresentRowsCountOnce) {
  const Bitmap a = Bitmap(100).with(std::vector<uint32_t>{5, 5, 5, 99});
  EXPECT_EQ(a.count(), 2U);
  EXPECT_EQ(a.with(std::vector<uint32_t>{99, 5}).count(), 2U);
}

TEST(Bitmap, RowsPastTheEndAreRefused) {
  const Bitmap a(100);
  EXPECT_THROW(a.with(std::vector<uint32_t>{3, 100}), std::out_of_range);
  EXPECT_THROW(Bitmap().with(std::vector<uint32_t>{0}), std::out_of_range);
  Bitmap::Words words{};
  words[100 / 64] = uint64_t{1} << 100 % 64;
  EXPECT_THROW(a.with_chunk(0, words), std::out_of_range);
  words[100 / 64] = uint64_t{1} << 99 % 64;
  EXPECT_TRUE(a.with_chunk(0, words).test(99));
  EXPECT_THROW(a.with_chunk(1, words), std::out_of_range);
}

TEST(Bitmap, ChunksRoundTrip) {
  Random random(2);
  const auto rows = draw(random, 1000);
  const Bitmap a = Bitmap(kRows).with(rows);
  Bitmap b(kRows);
  for (size_t i = 0; i < a.chunk_count(); ++i) {
    if (a.chunk(i) != nullptr) b = b.with_chunk(i, *a.chunk(i));
  }
  EXPECT_EQ(a, b);
  expect_equal(b, {rows.begin(), rows.end()});
  EXPECT_FALSE(a == b.with(std::vector<uint32_t>{static_cast<uint32_t>(a.test(9) ? 10 : 9)}));
  EXPECT_EQ(b.with_chunk(0, Bitmap::Words{}).chunk(0), nullptr);
}

TEST(Bitmap, OfBitsAndInverted) {
  Random random(5);
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{64}, uint64_t{100}, uint64_t{65536}, kRows}) {
    std::vector<uint64_t> words((size + 63) / 64);
    std::set<uint32_t> oracle, others;
    for (uint32_t row = 0; row < size; ++row) {
      const bool in = random.uniform(3) == 0 && row / 65536 != 1;  // a chunk without any
      (in ? oracle : others).insert(row);
      if (in) words[row / 64] |= uint64_t{1} << row % 64;
    }
    const Bitmap a = Bitmap::of(size, words);
    EXPECT_EQ(a.size(), size);
    expect_equal(a, oracle);
    expect_equal(a.inverted(), others);
    EXPECT_EQ(a.inverted().inverted(), a);
    if (size == kRows) {
      EXPECT_EQ(a.chunk(1), nullptr);
    }
  }
  const std::vector<uint64_t> wide{0, uint64_t{1} << 36};
  EXPECT_THROW(Bitmap::of(100, wide), std::out_of_range);
  EXPECT_THROW(Bitmap::of(129, wide), std::out_of_range);
  EXPECT_TRUE(Bitmap::of(101, wide).test(100));
}

TEST(Bitmap, Resized) {
  Random random(3);
  const auto rows = draw(random, 2000);
  const Bitmap a = Bitmap(kRows).with(rows);
  const std::set<uint32_t> oracle(rows.begin(), rows.end());
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{1}, uint64_t{65536}, uint64_t{65537}, uint64_t{100000}, kRows, 5 * kRows}) {
    const Bitmap b = a.resized(size);
    EXPECT_EQ(b.size(), size);
    expect_equal(b, {oracle.begin(), oracle.lower_bound(static_cast<uint32_t>(size))});
    expect_equal(b.resized(kRows), {oracle.begin(), oracle.lower_bound(static_cast<uint32_t>(size))});
  }
}

TEST(Bitmap, UnionAndDifference) {
  Random random(4);
  const auto left = draw(random, 3000);
  const auto right = draw(random, 100, 70000);
  const Bitmap a = Bitmap(kRows).with(left);
  const Bitmap b = Bitmap(kRows).with(right);
  std::set<uint32_t> united(left.begin(), left.end());
  united.insert(right.begin(), right.end());
  expect_equal(a.united(b), united);
  EXPECT_EQ(a.united(b), b.united(a));
  EXPECT_EQ(a.united(a), a);
  std::set<uint32_t> rest(left.begin(), left.end());
  for (const uint32_t row : right) rest.erase(row);
  expect_equal(a.without(b), rest);
  EXPECT_EQ(a.without(a), Bitmap(kRows));
}

}  // namespace
}  // namespace lamina
