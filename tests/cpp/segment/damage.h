// Flips and cuts: whatever is done to the bytes of a file, reading them must say so.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
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

// Tells whoever counts, in the test's properties, of as many flips more.
inline void record_flips(int flips) {
  const testing::TestResult& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.test_property_count(); ++i) flips += std::stoi(result.GetTestProperty(i).value());
  testing::Test::RecordProperty("flips", flips);
}

// flip_bits() bits of every byte (of every flip_step()-th) flipped, one at a time, beginning with another in each.
inline void expect_flips_noticed(const sample::Buffer& bytes, const ReadBytes& read) {
  const auto file = std::make_shared<TestMapping>(bytes);
  ASSERT_EQ(answer_of([&] { read(file); }), Answer::kFine) << "before any damage";
  int flips = 0;
  for (size_t at = 0; at < bytes.size(); at += flip_step()) {
    for (uint64_t turn = 0; turn < flip_bits(); ++turn, ++flips) {
      const auto bit = static_cast<std::byte>(1U << (at * 5 + at / 8 + turn) % 8);
      file->data()[at] ^= bit;
      ASSERT_NE(answer_of([&] { read(file); }), Answer::kFine) << "flipped at " << at;
      file->data()[at] ^= bit;
    }
  }
  record_flips(flips);
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
