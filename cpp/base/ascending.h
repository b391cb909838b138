// The order of many keys: of integers without comparing them, since a comparison of random ones is a branch that is
// guessed wrongly half of the time.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace lamina {

// The places of keys from the least on, and these keys. Equal ones stay in the order of their places.
template <class Key>
struct Ascending {
  std::vector<Key> keys;
  std::vector<uint32_t> places;
};

// REQUIRES, of the next two: fewer than 2³² keys.
template <class Key>
Ascending<Key> ascending(std::span<const Key> keys) {
  Ascending<Key> result{{}, std::vector<uint32_t>(keys.size())};
  std::iota(result.places.begin(), result.places.end(), 0U);
  std::ranges::stable_sort(result.places, {}, [&](uint32_t place) { return keys[place]; });
  result.keys.reserve(keys.size());
  for (const uint32_t place : result.places) result.keys.push_back(keys[place]);
  return result;
}

// Byte by byte from the lowest, each time in the order of the time before: of n numbers up to 65,536 two passes. Bytes
// in which all agree are passed over.
template <std::integral Key>
Ascending<Key> ascending(std::span<const Key> keys) {
  Ascending<Key> from{{keys.begin(), keys.end()}, std::vector<uint32_t>(keys.size())};
  std::iota(from.places.begin(), from.places.end(), 0U);
  if (std::ranges::is_sorted(keys)) return from;
  constexpr auto kNegative = std::signed_integral<Key> ? uint64_t{1} << 63 : 0;  // flipped, they come first
  const auto digits = [](Key key) { return static_cast<uint64_t>(key) ^ kNegative; };
  uint64_t differing = 0;
  for (const Key key : keys) differing |= digits(key) ^ digits(keys.front());
  Ascending<Key> to{std::vector<Key>(keys.size()), std::vector<uint32_t>(keys.size())};
  for (unsigned shift = 0; shift < 64 && differing >> shift != 0; shift += 8) {
    if ((differing >> shift & 0xFF) == 0) continue;
    std::array<uint32_t, 256> ends{};
    for (const Key key : from.keys) ++ends[digits(key) >> shift & 0xFF];
    std::exclusive_scan(ends.begin(), ends.end(), ends.begin(), 0U);
    for (size_t i = 0; i < from.keys.size(); ++i) {
      const uint32_t at = ends[digits(from.keys[i]) >> shift & 0xFF]++;
      to.keys[at] = from.keys[i];
      to.places[at] = from.places[i];
    }
    std::swap(from, to);
  }
  return from;
}

}  // namespace lamina
