// Goal: small segments join each other, and the largest is written again only for a stated share of change. Method: the
// policy is asked about sizes, and played through many small refreshes.
#include "store/merge_policy.h"

#include <gtest/gtest.h>

#include <numeric>

namespace lamina {
namespace {

constexpr uint64_t kRowBytes = 2000;

SegmentSize segment(uint64_t rows, uint64_t dead = 0) { return {rows, rows - dead, rows * kRowBytes}; }

std::vector<size_t> chosen(const std::vector<SegmentSize>& segments) { return choose_merge(segments); }

TEST(MergePolicy, WhatIsCleanAndAloneStays) {
  EXPECT_TRUE(chosen({}).empty());
  EXPECT_TRUE(chosen({segment(100'000)}).empty());
  EXPECT_TRUE(chosen({segment(100'000), segment(1000)}).empty());
}

TEST(MergePolicy, TheLargestIsWrittenAgainForAThirdOfChange) {
  EXPECT_TRUE(chosen({segment(100'000, 33'000)}).empty());
  EXPECT_EQ(chosen({segment(100'000, 34'000)}), std::vector<size_t>({0}));
  EXPECT_EQ(chosen({segment(24'000), segment(100'000, 10'000)}), std::vector<size_t>({0, 1}));
}

TEST(MergePolicy, FourOfASizeJoin) {
  EXPECT_TRUE(chosen({segment(100'000), segment(1000), segment(1000), segment(1000)}).empty());
  EXPECT_EQ(chosen({segment(1000), segment(100'000), segment(1000), segment(3000), segment(1000)}),
            std::vector<size_t>({0, 2, 3, 4}));
  EXPECT_TRUE(chosen({segment(100'000), segment(100), segment(100), segment(1000), segment(1000)}).empty());
}

TEST(MergePolicy, NeverMoreThanEight) {
  std::vector<SegmentSize> segments;
  for (uint64_t rows = 10; segments.size() < 9; rows *= 10) segments.push_back(segment(rows));
  EXPECT_EQ(chosen(segments), std::vector<size_t>({0, 1, 2, 3}));
  segments.pop_back();
  EXPECT_TRUE(chosen(segments).empty());
}

TEST(MergePolicy, AHeadIsSealedForTheLargestSake) {
  EXPECT_FALSE(head_is_due({}, 100'000));
  const std::vector<SegmentSize> one = {segment(50'000, 10'000)};
  EXPECT_FALSE(head_is_due(one, 1000));
  EXPECT_TRUE(head_is_due(one, 10'000));
  EXPECT_FALSE(head_is_due(std::vector<SegmentSize>{segment(100)}, 500));
}

// A thousand rows at a time, half of them new and half in the place of others, each sealed by itself.
TEST(MergePolicy, FiftySmallRefreshesLeaveFewSegmentsAndWriteLittle) {
  std::vector<SegmentSize> segments = {segment(100'000)};
  uint64_t written = 0;
  for (int refresh = 0; refresh < 50; ++refresh) {
    segments[0].live -= 500;
    segments.push_back(segment(1000));
    written += 1000;
    for (std::vector<size_t> merged; !(merged = choose_merge(segments)).empty();) {
      uint64_t live = 0;
      for (const size_t i : merged) live += segments[i].live;
      for (size_t i = merged.size(); i > 0; --i)
        segments.erase(segments.begin() + static_cast<ptrdiff_t>(merged[i - 1]));
      segments.insert(segments.begin() + static_cast<ptrdiff_t>(merged[0]), segment(live));
      written += live;
    }
    EXPECT_LE(segments.size(), 8U) << refresh;
  }
  EXPECT_LE(written, 50'000U * 8);
}

}  // namespace
}  // namespace lamina
