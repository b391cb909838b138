// Goal: the pool keeps the nearest rows in order and hands each out once. Method: random inserts and pops beside a
// sorted vector; Visited beside a set.
#include "index/pool.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "index/visited.h"

namespace lamina {
namespace {

struct Slow {
  uint32_t key;
  uint32_t row;
  bool expanded = false;
  bool operator<(const Slow& other) const { return key != other.key ? key < other.key : row < other.row; }
};

TEST(Pool, IsASortedListThatForgetsTheFarthest) {
  Random random(1);
  Pool pool;
  for (const size_t capacity : {1U, 2U, 3U, 7U, 64U}) {
    pool.reset(capacity);
    std::vector<Slow> slow;
    for (uint32_t row = 0; row < 500; ++row) {
      const auto key = static_cast<uint32_t>(random.uniform(300));
      pool.insert(key, row);
      slow.push_back({key, row});
      std::sort(slow.begin(), slow.end());
      if (slow.size() > capacity) slow.pop_back();
      if (random.uniform(3) == 0) {
        const auto next = std::find_if(slow.begin(), slow.end(), [](const Slow& s) { return !s.expanded; });
        ASSERT_EQ(pool.has_next(), next != slow.end());
        if (next != slow.end()) {
          ASSERT_EQ(pool.pop(), next->row);
          next->expanded = true;
        }
      }
      ASSERT_EQ(pool.size(), slow.size());
      for (size_t i = 0; i < slow.size(); ++i) {
        ASSERT_EQ(pool.row(i), slow[i].row);
        ASSERT_EQ(pool.key(i), slow[i].key);
      }
    }
  }
}

TEST(Pool, ExpandsWhatIsWithinABoundAndTheNearestBesides) {
  Pool pool;
  pool.reset({8, 2, 30});
  for (const uint32_t key : {50U, 10U, 40U, 20U, 30U}) pool.insert(key, key);
  for (const uint32_t row : {10U, 20U, 30U}) EXPECT_EQ(pool.pop(), row);
  EXPECT_FALSE(pool.has_next()) << "the third is the last within the bound";
  pool.keep_expanded();
  EXPECT_EQ(pool.size(), 3U);

  pool.reset({8, 2, 5});
  for (const uint32_t key : {50U, 10U, 20U}) pool.insert(key, key);
  EXPECT_EQ(pool.pop(), 10U);
  EXPECT_EQ(pool.pop(), 20U);
  EXPECT_FALSE(pool.has_next()) << "two were asked for, though they lie beyond it";
}

TEST(Pool, HoldsTheLargestRowAndKey) {
  Pool pool;
  pool.reset(2);
  pool.insert(0xFFFFFFFFU, Pool::kMaxRows - 1);
  EXPECT_TRUE(pool.insert(0, 0));
  EXPECT_EQ(pool.pop(), 0U);
  EXPECT_EQ(pool.pop(), Pool::kMaxRows - 1);
  EXPECT_FALSE(pool.has_next());
  EXPECT_EQ(pool.key(1), 0xFFFFFFFFU);
}

TEST(Visited, ForgetsEverythingAtReset) {
  Random random(2);
  Visited visited;
  for (const uint32_t rows : {10U, 5000U, 100U, 70000U}) {
    visited.reset(rows);
    std::set<uint32_t> seen;
    for (int i = 0; i < 2000; ++i) {
      const auto row = static_cast<uint32_t>(random.uniform(rows));
      EXPECT_EQ(visited.enter(row), seen.insert(row).second);
    }
  }
}

}  // namespace
}  // namespace lamina
