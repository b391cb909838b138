// Goal: many keys are put in order, equal ones as they stood.
// Method: random ones of few and of many values, at the ends of their type too, against the standard library's sort.
#include "base/ascending.h"

#include <gtest/gtest.h>

#include <limits>
#include <string_view>

#include "base/random.h"

namespace lamina {
namespace {

template <class Key>
void expect_ascending(const std::vector<Key>& keys) {
  std::vector<uint32_t> places(keys.size());
  std::iota(places.begin(), places.end(), 0U);
  std::ranges::stable_sort(places, {}, [&](uint32_t place) { return keys[place]; });
  const Ascending<Key> found = ascending(std::span(keys));
  EXPECT_EQ(found.places, places);
  ASSERT_EQ(found.keys.size(), keys.size());
  for (size_t i = 0; i < places.size(); ++i) EXPECT_EQ(found.keys[i], keys[places[i]]);
}

template <class Key>
void expect_integers_ascending() {
  using Limits = std::numeric_limits<Key>;
  expect_ascending<Key>({});
  expect_ascending<Key>({7});
  expect_ascending<Key>({7, 7, 7});
  expect_ascending<Key>({Limits::max(), 0, Limits::min(), 1, Limits::max(), Limits::min()});
  Random random(3);
  for (const uint64_t values : {2, 300, 1 << 20}) {
    std::vector<Key> keys;
    for (int i = 0; i < 1000; ++i) {
      const auto drawn = static_cast<Key>(random.uniform(values));
      keys.push_back(i % 3 == 0 ? static_cast<Key>(Key{} - drawn) : drawn);
    }
    expect_ascending(keys);
    std::ranges::sort(keys);
    expect_ascending(keys);
  }
  std::vector<Key> any;
  for (int i = 0; i < 1000; ++i) any.push_back(static_cast<Key>(random.next_u64()));
  expect_ascending(any);
}

TEST(Ascending, PutsIntegersInOrder) {
  expect_integers_ascending<int64_t>();
  expect_integers_ascending<uint64_t>();
}

TEST(Ascending, PutsTextsInOrder) {
  expect_ascending<std::string_view>({});
  expect_ascending<std::string_view>({"b", "", "ab", "b", "a", "\xff", "ab"});
}

}  // namespace
}  // namespace lamina
