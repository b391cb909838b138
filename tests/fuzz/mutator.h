// The mutator of all fuzzers: half of the time it writes a number that parsers dislike somewhere, else it leaves the
// input to libFuzzer. Checksums are repaired by the targets, after every mutation.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "base/random.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  constexpr std::array<uint64_t, 16> kDisliked = {
      0, 1, 2, 7, 8, 9, 64, 4095, 4096, 65535, 65536, 0x7fffffff, 1 << 20, 0xfffffffe, 0x80000000, ~uint64_t{0}};
  lamina::Random random(seed);
  if (size < 8 || random.uniform(2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const size_t width = size_t{1} << random.uniform(4);
  const size_t at = random.uniform(size - width + 1);
  uint64_t value = 0;
  std::memcpy(&value, data + at, width);
  const uint64_t choice = random.uniform(kDisliked.size() + 3);
  if (choice < kDisliked.size()) {
    value = kDisliked[choice];
  } else {
    value += choice - kDisliked.size() - 1;  // one less, the same, one more
  }
  std::memcpy(data + at, &value, width);
  return size;
}
