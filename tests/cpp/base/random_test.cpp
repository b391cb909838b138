// Goal: the generator draws the published SplitMix64 sequence, and without bias below n.
// Method: the first numbers of the reference for seed 1234567; bounds and rough frequencies.
#include "base/random.h"

#include <gtest/gtest.h>

#include <array>

namespace lamina {
namespace {

TEST(Random, ReferenceSequence) {
  Random random(1234567);
  for (const uint64_t expected :
       {6457827717110365317U, 3203168211198807973U, 9817491932198370423U, 4593380528125082431U}) {
    EXPECT_EQ(random.next_u64(), expected);
  }
}

TEST(Random, UniformStaysBelowAndHitsAll) {
  Random random(5);
  std::array<int, 6> drawn{};
  for (int i = 0; i < 6000; ++i) ++drawn.at(random.uniform(6));
  for (const int n : drawn) EXPECT_NEAR(n, 1000, 150);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.uniform(1), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_LT(random.uniform((uint64_t{1} << 63) + 1), (uint64_t{1} << 63) + 1);
}

TEST(Random, UnitIsInItsInterval) {
  Random random(6);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double x = random.unit();
    ASSERT_TRUE(x >= 0 && x < 1);
    sum += x;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

}  // namespace
}  // namespace lamina
