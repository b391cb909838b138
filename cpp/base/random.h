// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): the same seed draws the
// same numbers on every platform. Not for secrets.
#pragma once

#include <cstdint>

namespace lamina {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next_u64() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // Below n, each value as likely as any other: draws from the uneven head of the range are thrown away.
  // REQUIRES: n > 0.
  uint64_t uniform(uint64_t n) {
    const uint64_t uneven = (0 - n) % n;
    uint64_t drawn = next_u64();
    while (drawn < uneven) drawn = next_u64();
    return drawn % n;
  }

  double unit() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }  // in [0, 1)

 private:
  uint64_t state_;
};

}  // namespace lamina
