// The nearest rows that a walk has met, in order, and how far it has got in expanding them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace lamina {

// How many of the nearest rows a walk keeps and expands: all of `most`; or, where a bound is known beyond which nothing
// is looked for, the nearest `least` of them and what lies within it.
struct Breadth {
  Breadth(size_t ef) : most(ef), least(ef) {}
  Breadth(size_t ef, size_t nearest, uint32_t key) : most(ef), least(nearest), bound(key) {}

  size_t most;
  size_t least;
  uint32_t bound = 0;  // a key
};

// One sorted array and a cursor: cheaper than two heaps while it is short. An entry is key, row and a bit "expanded" in
// one number, so that one comparison orders by (key, row). One thread; reset() allocates only when the breadth has
// grown.
class Pool {
 public:
  static constexpr uint32_t kMaxRows = 0x7FFFFFFF;  // a row leaves one bit free

  void reset(const Breadth& breadth) {
    if (entries_.size() < breadth.most + 1) entries_.resize(breadth.most + 1);
    breadth_ = breadth;
    size_ = 0;
    cursor_ = 0;
  }

  // Whether there is room for such a key.
  bool takes(uint32_t key) const { return size_ < breadth_.most || key <= this->key(size_ - 1); }

  // Whether the row is now the one to expand next.
  bool insert(uint32_t key, uint32_t row) {
    const uint64_t entry = uint64_t{key} << 32 | uint64_t{row} << 1;
    uint64_t* const first = entries_.data();
    if (size_ == breadth_.most) {
      if (entry >= first[size_ - 1]) return false;
    } else {
      ++size_;
    }
    // Branch-free search among all but the last, which goes or has just been made room for.
    const uint64_t* at = first;
    for (size_t n = size_ - 1; n > 0;) {
      const size_t half = (n + 1) / 2;
      at += at[half - 1] < entry ? half : 0;
      n -= half;
    }
    const auto place = static_cast<size_t>(at - first);
    std::memmove(first + place + 1, first + place, (size_ - 1 - place) * sizeof(uint64_t));
    first[place] = entry;
    if (place > cursor_) return false;
    cursor_ = place;
    return true;
  }

  bool has_next() const { return cursor_ < size_ && (cursor_ < breadth_.least || key(cursor_) <= breadth_.bound); }
  uint32_t next() const { return row(cursor_); }
  uint32_t next_key() const { return key(cursor_); }
  // The nearest row not expanded yet, which it now is.
  uint32_t pop() {
    const uint32_t nearest = row(cursor_);
    entries_[cursor_] |= 1;
    do ++cursor_;
    while (cursor_ < size_ && (entries_[cursor_] & 1) != 0);
    return nearest;
  }

  size_t size() const { return size_; }
  size_t capacity() const { return breadth_.most; }
  void keep_expanded() { size_ = cursor_; }  // once a walk has ended
  uint32_t row(size_t i) const { return static_cast<uint32_t>(entries_[i]) >> 1; }
  uint32_t key(size_t i) const { return static_cast<uint32_t>(entries_[i] >> 32); }

 private:
  std::vector<uint64_t> entries_;
  Breadth breadth_ = 0;
  size_t size_ = 0;
  size_t cursor_ = 0;
};

}  // namespace lamina
