// Goal: the trace counts what it says. Method: one of each, and a lock that another thread holds for a moment.
#include "io/wait_trace.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "io/file.h"
#include "io/scratch_directory.h"

#ifdef __linux__

namespace lamina {
namespace {

class WaitTraceTest : public testing::Test {
 protected:
  // What `call` adds to the trace of this thread.
  template <class Call>
  static WaitTrace traced(Call&& call) {
    const WaitTrace before = WaitTrace::of_this_thread();
    call();
    const WaitTrace after = WaitTrace::of_this_thread();
    return {after.locks - before.locks, after.waits - before.waits, after.syncs - before.syncs};
  }
};

TEST_F(WaitTraceTest, ALockThatIsFreeIsNotWaitedFor) {
  std::mutex mutex;
  std::shared_mutex shared;
  const WaitTrace found = traced([&] {
    const std::lock_guard lock(mutex);
    { const std::shared_lock reading(shared); }
    const std::unique_lock writing(shared);
  });
  EXPECT_EQ(found.locks, 3U);
  EXPECT_EQ(found.waits, 0U);
  EXPECT_EQ(found.syncs, 0U);
}

TEST_F(WaitTraceTest, ALockOfAnotherThreadIs) {
  std::mutex mutex;
  mutex.lock();
  WaitTrace found;
  std::atomic<bool> begun = false;
  std::thread other([&] {
    found = traced([&] {
      begun = true;
      const std::lock_guard lock(mutex);
    });
  });
  while (!begun) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  mutex.unlock();
  other.join();
  EXPECT_EQ(found.locks, 1U);
  EXPECT_EQ(found.waits, 1U);
}

TEST_F(WaitTraceTest, SyncsOfFilesAndDirectoriesCount) {
  const ScratchDirectory directory;
  FileSystem& fs = FileSystem::posix();
  const WaitTrace found = traced([&] {
    const auto file = fs.create(directory.path() + "/file");
    file->sync();
    fs.sync_directory(directory.path());
  });
  EXPECT_EQ(found.syncs, 2U);
}

}  // namespace
}  // namespace lamina

#endif
