// Which rows a walk has seen: one bit each, and a note of which blocks were written, so that forgetting costs what
// was touched and not what there is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace lamina {

// One thread. Allocates only when it has to hold more rows than ever before.
class Visited {
 public:
  // Forgets all; rows below `rows` can be asked about.
  void reset(uint32_t rows) {
    for (size_t block = 0; block < dirty_.size(); ++block) {
      if (dirty_[block] == 0) continue;
      std::memset(&words_[block * kBlockWords], 0, kBlockWords * sizeof(uint64_t));
      dirty_[block] = 0;
    }
    const size_t blocks = (size_t{rows} >> kBlockShift) + 1;
    if (blocks <= dirty_.size()) return;
    words_.resize(blocks * kBlockWords);
    dirty_.resize(blocks);
  }

  bool is_new(uint32_t row) const { return (words_[row >> 6] >> (row & 63) & 1) == 0; }
  // Whether `row` is new; it is not any more.
  bool enter(uint32_t row) {
    uint64_t& word = words_[row >> 6];
    const uint64_t bit = uint64_t{1} << (row & 63);
    const bool fresh = (word & bit) == 0;
    word |= bit;
    dirty_[row >> kBlockShift] = 1;
    return fresh;
  }

 private:
  static constexpr unsigned kBlockShift = 12;
  static constexpr size_t kBlockWords = (size_t{1} << kBlockShift) / 64;

  std::vector<uint64_t> words_;
  std::vector<uint8_t> dirty_;
};

}  // namespace lamina
