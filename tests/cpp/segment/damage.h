// Flips and cuts: whatever is done to the bytes of a file, reading them must say so.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "base/environment.h"
#include "base/error.h"
#include "segment/sample.h"

namespace lamina {

enum class Answer { kFine, kDamaged, kTooOld, kTooNew };

inline Answer answer_of(const std::function<void()>& read) {
  try {
    read();
    return Answer::kFine;
  } catch (const CorruptionError&) {
    return Answer::kDamaged;
  } catch (const FormatVersionError& e) {
    return e.age == FormatVersionError::Age::kTooOld ? Answer::kTooOld : Answer::kTooNew;
  }
}

using ReadBytes = std::function<void(const std::shared_ptr<TestMapping>& file)>;

// One bit of every byte (of every flip_step()-th) flipped, another bit in each, one at a time.
inline void expect_flips_noticed(const sample::Buffer& bytes, const ReadBytes& read) {
  const auto file = std::make_shared<TestMapping>(bytes);
  ASSERT_EQ(answer_of([&] { read(file); }), Answer::kFine) << "before any damage";
  for (size_t at = 0; at < bytes.size(); at += flip_step()) {
    const auto bit = static_cast<std::byte>(1U << (at * 5 + at / 8) % 8);
    file->data()[at] ^= bit;
    ASSERT_NE(answer_of([&] { read(file); }), Answer::kFine) << "flipped at " << at;
    file->data()[at] ^= bit;
  }
}

// Every length shorter than the whole (every `step`-th of a long file), and a few longer ones.
inline void expect_cuts_noticed(const sample::Buffer& bytes, const ReadBytes& read, size_t step = 1) {
  for (size_t length = 0; length < bytes.size(); length += step) {
    const auto file = std::make_shared<TestMapping>(Bytes(bytes).first(length));
    ASSERT_NE(answer_of([&] { read(file); }), Answer::kFine) << "cut to " << length;
  }
  for (const size_t more : {size_t{1}, size_t{4096}, size_t{65536}}) {
    sample::Buffer longer = bytes;
    longer.resize(bytes.size() + more);
    const auto file = std::make_shared<TestMapping>(longer);
    ASSERT_NE(answer_of([&] { read(file); }), Answer::kFine) << "grown by " << more;
  }
}

}  // namespace lamina
