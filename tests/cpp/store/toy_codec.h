// Columns for tests: one text a row, each with its length before it.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "store/record_codec.h"

namespace lamina {

struct ToyCodec final : RecordCodec {
  static std::vector<std::byte> encode(const std::vector<std::string>& texts) {
    ByteWriter out;
    for (const std::string& text : texts) out.string(text);
    return out.take();
  }
  static std::vector<std::string> decode(Bytes block, uint32_t rows) {
    try {
      ByteReader in(block, "block");
      std::vector<std::string> texts;
      for (uint32_t row = 0; row < rows; ++row) texts.push_back(in.string());
      in.expect_end();
      return texts;
    } catch (const CorruptionError& wrong) {
      throw std::invalid_argument(wrong.what());
    }
  }

  void check(Bytes block, uint32_t rows) const override { decode(block, rows); }
  std::vector<std::byte> concat_take(std::span<const Slice> slices) const override {
    std::vector<std::string> taken;
    for (const Slice& slice : slices) {
      ByteReader in(slice.block, "block");
      std::vector<std::string> texts;
      while (in.remaining() > 0) texts.push_back(in.string());
      for (const uint32_t row : slice.rows) taken.push_back(texts.at(row));
    }
    return encode(taken);
  }
};

inline const ToyCodec kToyCodec;

// Does something once, in the middle of a merge or a seal.
struct InterruptedCodec final : RecordCodec {
  void check(Bytes block, uint32_t rows) const override { kToyCodec.check(block, rows); }
  std::vector<std::byte> concat_take(std::span<const Slice> slices) const override {
    if (const auto once = std::exchange(interruption, nullptr)) once();
    return kToyCodec.concat_take(slices);
  }
  mutable std::function<void()> interruption;
};

}  // namespace lamina
