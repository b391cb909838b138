// The end of a vector that does not fill a register, for instruction sets without masked loads.
#pragma once

#include <cstring>

#include "kernels/distance_loop.h"

namespace lamina {

struct FirstBytes {
  uint64_t low, high;
};

template <class Word>
LAMINA_INLINE uint64_t load_word(const uint8_t* p) {
  Word word = 0;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

// 0 < count < 16 bytes and zeros behind them. Two words that may overlap reach both ends without reading past them.
LAMINA_INLINE FirstBytes first_bytes(const void* from, size_t count) {
  const auto* p = static_cast<const uint8_t*>(from);
  const size_t bits = 8 * count;
  if (count >= 8) {
    const uint64_t high = count == 8 ? 0 : load_word<uint64_t>(p + count - 8) >> (128 - bits);
    return {.low = load_word<uint64_t>(p), .high = high};
  }
  uint64_t low = p[0];
  if (count >= 4) {
    low = load_word<uint32_t>(p) | load_word<uint32_t>(p + count - 4) << (bits - 32);
  } else if (count >= 2) {
    low = load_word<uint16_t>(p) | load_word<uint16_t>(p + count - 2) << (bits - 16);
  }
  return {.low = low, .high = 0};
}

}  // namespace lamina
