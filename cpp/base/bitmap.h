// A set of row numbers in chunks of 65,536, shared copy-on-write: a value. Copying costs one pointer a chunk, so a
// writer makes the next bitmap from the current one while readers go on with theirs.
//
// Threads: a Bitmap is never changed by its const members; one that is only read needs no lock.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace lamina {

class Bitmap {
 public:
  static constexpr size_t kChunkRows = 65536;
  static constexpr size_t kChunkWords = kChunkRows / 64;
  using Words = std::array<uint64_t, kChunkWords>;

  Bitmap() = default;
  explicit Bitmap(uint64_t size) : size_(size), chunks_((size + kChunkRows - 1) / kChunkRows) {}

  // Of so many rows, those whose bit is set: of row r bit r % 64 of words[r / 64]. std::out_of_range for a bit past
  // `size`, or for too few words.
  static Bitmap of(uint64_t size, std::span<const uint64_t> words);

  uint64_t size() const { return size_; }    // rows
  uint64_t count() const { return count_; }  // rows in the set, exact

  // REQUIRES: row < size().
  bool test(uint64_t row) const {
    const Chunk* chunk = chunks_[row / kChunkRows].get();
    return chunk != nullptr && (chunk->words[row % kChunkRows / 64] >> (row % 64) & 1) != 0;
  }

  size_t chunk_count() const { return chunks_.size(); }
  // The bits of rows [i * kChunkRows, (i + 1) * kChunkRows), bit r of word w being row 64 w + r; null if none is set.
  const Words* chunk(size_t i) const { return chunks_[i] ? &chunks_[i]->words : nullptr; }
  uint32_t count_in_chunk(size_t i) const { return chunks_[i] ? chunks_[i]->count : 0; }

  // A bitmap with these rows in the set as well; only the chunks that they change are copied. Repeated rows and
  // rows already there are fine; one past size() is std::out_of_range.
  Bitmap with(std::span<const uint32_t> rows) const;
  // A bitmap whose chunk i is `words` (as a file held them). A bit past size() is std::out_of_range.
  Bitmap with_chunk(size_t i, std::span<const uint64_t, kChunkWords> words) const;
  Bitmap resized(uint64_t size) const;  // new rows are not in the set, rows cut off leave it

  Bitmap inverted() const;  // the rows that are not in the set

  // REQUIRES: the same size().
  Bitmap united(const Bitmap& other) const;
  Bitmap without(const Bitmap& other) const;
  bool operator==(const Bitmap& other) const;

  // Calls fn(row) for each row of the set, ascending.
  template <class Fn>
  void for_each(Fn&& fn) const {
    for (size_t i = 0; i < chunks_.size(); ++i) {
      if (!chunks_[i]) continue;
      for (size_t w = 0; w < kChunkWords; ++w) {
        for (uint64_t bits = chunks_[i]->words[w]; bits != 0; bits &= bits - 1) {
          fn(static_cast<uint32_t>(i * kChunkRows + w * 64 + static_cast<size_t>(std::countr_zero(bits))));
        }
      }
    }
  }

 private:
  struct Chunk {
    Words words{};
    uint32_t count = 0;
  };
  using ChunkPointer = std::shared_ptr<const Chunk>;  // null: no row of it is set

  void replace(size_t i, std::shared_ptr<Chunk> chunk);  // counts the chunk; one without a row becomes null

  uint64_t size_ = 0;
  uint64_t count_ = 0;
  std::vector<ChunkPointer> chunks_;
};

}  // namespace lamina
