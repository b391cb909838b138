// Goal: whatever signals interrupt and however few bytes a call moves, each operation on files does what it says.
// Method: every system call that can be interrupted is, once or many times, and moves one byte at a time.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <tuple>

#include "io/file.h"
#include "io/scratch_directory.h"
#include "io/system_call.h"

namespace lamina {
namespace {

constexpr size_t kOneByte = 1;
constexpr size_t kAnyBytes = size_t{1} << 30;

// How many times each call is interrupted, and the most bytes that it moves.
class InterruptionTest : public testing::TestWithParam<std::tuple<int, size_t>> {
 protected:
  InterruptionTest() {
    const auto [interruptions, bytes] = GetParam();
    posix::disturbance = {.interruptions = interruptions, .transfer_bytes = bytes};
  }
  ~InterruptionTest() override { posix::disturbance = {}; }

  std::string at(const std::string& name) { return join(scratch_.path(), name); }
  std::string content(const std::string& name) {
    std::array<std::byte, 64> bytes;
    const size_t size = fs_.open(at(name))->read_at(0, bytes);
    return std::string(as_text(Bytes(bytes).first(size)));
  }
  // The operation meets as many calls that are interrupted as it should.
  template <class Operation>
  void expect_interrupted(int calls, Operation&& operation) {
    posix::disturbance.interrupted = 0;
    operation();
    EXPECT_EQ(posix::disturbance.interrupted, calls * std::get<0>(GetParam()));
  }
  int calls_for(int bytes) const { return std::get<1>(GetParam()) == kOneByte ? bytes : 1; }

  FileSystem& fs_ = FileSystem::posix();

 private:
  ScratchDirectory scratch_;
};

TEST_P(InterruptionTest, AFileIsWrittenSyncedAndRead) {
  const auto file = fs_.create(at("a"));
  expect_interrupted(calls_for(11), [&] { file->append(as_bytes("hello world")); });
  EXPECT_EQ(file->size(), 11U);
  expect_interrupted(1, [&] { file->sync(); });
  expect_interrupted(0, [&] { file->close(); });
  expect_interrupted(2, [&] { fs_.open_append(at("a"), 5)->close(); });  // opened, and truncated
  const auto again = fs_.open_append(at("a"), 5);
  again->append(as_bytes(", you"));
  again->sync();
  EXPECT_EQ(content("a"), "hello, you");
  std::array<std::byte, 4> middle;
  const auto in = fs_.open(at("a"));
  expect_interrupted(calls_for(4), [&] { EXPECT_EQ(in->read_at(3, middle), 4U); });
  EXPECT_EQ(as_text(middle), "lo, ");
  EXPECT_EQ(as_text(fs_.map(at("a"))->bytes()), "hello, you");
}

TEST_P(InterruptionTest, ALockIsTakenAndItsNoteWritten) {
  const auto lock = fs_.try_lock(at("LOCK"));
  ASSERT_NE(lock, nullptr);
  expect_interrupted(calls_for(13), [&] { lock->write(as_bytes("held by me, 7")); });
  EXPECT_EQ(content("LOCK"), "held by me, 7");
  expect_interrupted(calls_for(5) + 1, [&] { lock->write(as_bytes("by me")); });  // and truncated
  EXPECT_EQ(content("LOCK"), "by me");
  expect_interrupted(2, [&] { EXPECT_TRUE(fs_.is_locked(at("LOCK"))); });
  expect_interrupted(2, [&] { EXPECT_FALSE(fs_.try_lock_and_remove(at("LOCK"))); });
  EXPECT_FALSE(fs_.open(at("LOCK"))->lock_shared());
}

TEST_P(InterruptionTest, DirectoriesAreMadeListedSyncedAndRemoved) {
  fs_.make_directory(at("d"));
  fs_.create(at("d/a"))->close();
  fs_.rename(at("d/a"), at("d/b"));
  expect_interrupted(2, [&] { fs_.sync_directory(at("d")); });
  expect_interrupted(1, [&] { EXPECT_EQ(fs_.list(at("d")), std::vector<std::string>{"b"}); });
  expect_interrupted(1, [&] { EXPECT_GT(fs_.free_bytes(at("d")), 0U); });
  expect_interrupted(2, [&] { EXPECT_TRUE(fs_.try_lock_and_remove(at("d/b"))); });
  fs_.remove_directory(at("d"));
  EXPECT_FALSE(fs_.exists(at("d")));
}

TEST_P(InterruptionTest, WhatIsPublishedIsWhole) {
  fs_.make_directory(at("scratch"));
  publish(fs_, at("scratch"), at(""), "whole", as_bytes("all of it"));
  EXPECT_EQ(content("whole"), "all of it");
}

INSTANTIATE_TEST_SUITE_P(Of, InterruptionTest,
                         testing::Combine(testing::Values(0, 1, 100), testing::Values(kOneByte, kAnyBytes)));

}  // namespace
}  // namespace lamina
