// How much a test does, where whoever runs it may say.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace lamina {

inline uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Of the bytes of a small file, every how many-th is flipped: all, or with LAMINA_FLIP_STEP fewer.
inline uint64_t flip_step() { return from_environment("LAMINA_FLIP_STEP", 1); }

// How many bits of such a byte, one at a time.
inline uint64_t flip_bits() { return from_environment("LAMINA_FLIP_BITS", 1); }

}  // namespace lamina
