// A hash for tests: four lanes of multiply and rotate over 8-byte words. Any one flipped bit changes it; no secret.
#pragma once

#include <bit>

#include "segment/hasher.h"

namespace lamina {

struct ToyHasher final : Hasher {
  Digest digest(Bytes bytes) const override {
    uint64_t state = 0x6c616d696e610000 ^ bytes.size();
    const auto mix = [&](uint64_t word) { state = std::rotl((state ^ word) * 0x9e3779b97f4a7c15, 29); };
    size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) mix(load_le<uint64_t>(bytes.data() + at));
    uint64_t rest = 0;
    for (unsigned shift = 0; at < bytes.size(); ++at, shift += 8) rest |= std::to_integer<uint64_t>(bytes[at]) << shift;
    mix(rest);
    Digest digest;
    for (size_t lane = 0; lane < 4; ++lane) {
      mix(lane);
      store_le(digest.data() + 8 * lane, state ^ state >> 32);
    }
    return digest;
  }
};

inline const ToyHasher kToyHasher;

}  // namespace lamina
