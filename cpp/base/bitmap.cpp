#include "base/bitmap.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace lamina {
namespace {

// Clears the bits from `row` on; false if there were none.
bool clear_from(Bitmap::Words& words, size_t row) {
  uint64_t cleared = 0;
  for (size_t w = row / 64; w < words.size(); ++w) {
    const uint64_t keep = w == row / 64 ? (uint64_t{1} << row % 64) - 1 : 0;
    cleared |= words[w] & ~keep;
    words[w] &= keep;
  }
  return cleared != 0;
}

}  // namespace

void Bitmap::replace(size_t i, std::shared_ptr<Chunk> chunk) {
  count_ -= count_in_chunk(i);
  chunk->count = 0;
  for (const uint64_t word : chunk->words) chunk->count += static_cast<uint32_t>(std::popcount(word));
  count_ += chunk->count;
  chunks_[i] = chunk->count == 0 ? nullptr : std::move(chunk);
}

Bitmap Bitmap::of(uint64_t size, std::span<const uint64_t> words) {
  const uint64_t needed = (size + 63) / 64;
  if (words.size() < needed) throw std::out_of_range("bits of fewer than " + std::to_string(size) + " rows");
  if (size % 64 != 0 && words[needed - 1] >> size % 64 != 0) {
    throw std::out_of_range("a row past " + std::to_string(size));
  }
  Bitmap result(size);
  for (size_t i = 0; i < result.chunks_.size(); ++i) {
    auto chunk = std::make_shared<Chunk>();
    const auto rest = words.subspan(i * kChunkWords, std::min(kChunkWords, needed - i * kChunkWords));
    std::copy(rest.begin(), rest.end(), chunk->words.begin());
    result.replace(i, std::move(chunk));
  }
  return result;
}

Bitmap Bitmap::with(std::span<const uint32_t> rows) const {
  std::vector<std::shared_ptr<Chunk>> changed(chunks_.size());
  for (const uint32_t row : rows) {
    if (row >= size_) throw std::out_of_range("row " + std::to_string(row) + " of " + std::to_string(size_));
    const size_t i = row / kChunkRows;
    if (!changed[i]) changed[i] = chunks_[i] ? std::make_shared<Chunk>(*chunks_[i]) : std::make_shared<Chunk>();
    uint64_t& word = changed[i]->words[row % kChunkRows / 64];
    const uint64_t bit = uint64_t{1} << row % 64;
    if ((word & bit) == 0) ++changed[i]->count;
    word |= bit;
  }
  Bitmap result = *this;
  for (size_t i = 0; i < changed.size(); ++i) {
    if (!changed[i]) continue;
    result.count_ += changed[i]->count - count_in_chunk(i);
    result.chunks_[i] = std::move(changed[i]);
  }
  return result;
}

Bitmap Bitmap::with_chunk(size_t i, std::span<const uint64_t, kChunkWords> words) const {
  if (i >= chunks_.size())
    throw std::out_of_range("chunk " + std::to_string(i) + " of " + std::to_string(chunks_.size()));
  auto chunk = std::make_shared<Chunk>();
  std::copy(words.begin(), words.end(), chunk->words.begin());
  const uint64_t rows = size_ - i * kChunkRows;
  if (rows < kChunkRows && clear_from(chunk->words, rows)) {
    throw std::out_of_range("a row past " + std::to_string(size_) + " in chunk " + std::to_string(i));
  }
  Bitmap result = *this;
  result.replace(i, std::move(chunk));
  return result;
}

Bitmap Bitmap::resized(uint64_t size) const {
  Bitmap result(size);
  const size_t shared = std::min(chunks_.size(), result.chunks_.size());
  for (size_t i = 0; i < shared; ++i) {
    const uint64_t rows = size - i * kChunkRows;
    if (size < size_ && rows < kChunkRows && chunks_[i]) {
      auto chunk = std::make_shared<Chunk>(*chunks_[i]);
      clear_from(chunk->words, rows);
      result.replace(i, std::move(chunk));
    } else {
      result.chunks_[i] = chunks_[i];
      result.count_ += count_in_chunk(i);
    }
  }
  return result;
}

Bitmap Bitmap::inverted() const {
  Bitmap result(size_);
  for (size_t i = 0; i < chunks_.size(); ++i) {
    auto chunk = std::make_shared<Chunk>();
    for (size_t w = 0; w < kChunkWords; ++w) chunk->words[w] = chunks_[i] ? ~chunks_[i]->words[w] : ~uint64_t{0};
    const uint64_t rows = size_ - i * kChunkRows;
    if (rows < kChunkRows) clear_from(chunk->words, rows);
    result.replace(i, std::move(chunk));
  }
  return result;
}

Bitmap Bitmap::united(const Bitmap& other) const {
  Bitmap result = *this;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (!other.chunks_[i] || other.chunks_[i] == chunks_[i]) continue;
    if (!chunks_[i]) {
      result.chunks_[i] = other.chunks_[i];
      result.count_ += other.count_in_chunk(i);
      continue;
    }
    auto chunk = std::make_shared<Chunk>(*other.chunks_[i]);
    for (size_t w = 0; w < kChunkWords; ++w) chunk->words[w] |= chunks_[i]->words[w];
    result.replace(i, std::move(chunk));
  }
  return result;
}

Bitmap Bitmap::without(const Bitmap& other) const {
  Bitmap result = *this;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (!chunks_[i] || !other.chunks_[i]) continue;
    auto chunk = std::make_shared<Chunk>(*chunks_[i]);
    for (size_t w = 0; w < kChunkWords; ++w) chunk->words[w] &= ~other.chunks_[i]->words[w];
    result.replace(i, std::move(chunk));
  }
  return result;
}

bool Bitmap::operator==(const Bitmap& other) const {
  if (size_ != other.size_ || count_ != other.count_) return false;
  return std::equal(
      chunks_.begin(), chunks_.end(), other.chunks_.begin(),
      [](const ChunkPointer& a, const ChunkPointer& b) { return a == b || (a && b && a->words == b->words); });
}

}  // namespace lamina
