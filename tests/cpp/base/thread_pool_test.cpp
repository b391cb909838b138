// Goal: parallel_for does every item once, whatever the threads, the nesting, the callers and the exceptions; a forked
// child has a pool of its own.
// Method: count the visits of each item; rendezvous inside fn to prove that threads run at the same time.
#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

// Threads in a forked child are what is tested here; ThreadSanitizer would end the child for it.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace lamina {
namespace {

using Visits = std::vector<std::atomic<int>>;

bool each_once(const Visits& visits) {
  for (const auto& n : visits) {
    if (n != 1) return false;
  }
  return true;
}

TEST(ThreadPool, EveryItemOnce) {
  for (const unsigned threads : {0U, 1U, 2U, 3U, 8U}) {
    for (const uint64_t items : {0U, 1U, 2U, 7U, 1000U}) {
      for (const uint64_t grain : {1U, 3U, 1000U, 5000U}) {
        Visits visits(items);
        parallel_for(10, 10 + items, grain, threads, [&](uint64_t begin, uint64_t end, unsigned worker) {
          EXPECT_TRUE(begin < end && end - begin <= grain);
          EXPECT_LT(worker, threads == 0 ? hardware_threads() : threads);
          for (uint64_t i = begin; i < end; ++i) ++visits[i - 10];
        });
        EXPECT_TRUE(each_once(visits));
      }
    }
  }
}

TEST(ThreadPool, RangesAtTheEndOfTheNumbers) {
  constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();
  std::atomic<uint64_t> items = 0;
  const auto count = [&](uint64_t begin, uint64_t end, unsigned) { items += end - begin; };
  parallel_for(kEnd - 10, kEnd, 4, 3, count);
  EXPECT_EQ(items, 10U);
  parallel_for(0, kEnd, kEnd, 3, count);
  EXPECT_EQ(items, kEnd + 10);
  parallel_for(5, 3, 1, 3, count);
  EXPECT_EQ(items, kEnd + 10);
}

TEST(ThreadPool, ThreadsRunAtTheSameTimeAsDifferentWorkers) {
  constexpr unsigned kThreads = 4;
  std::atomic<unsigned> arrived = 0;
  std::mutex mutex;
  std::set<unsigned> workers;
  std::set<std::thread::id> threads;
  parallel_for(0, kThreads, 1, kThreads, [&](uint64_t, uint64_t, unsigned worker) {
    ++arrived;
    while (arrived < kThreads) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    workers.insert(worker);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(workers, (std::set<unsigned>{0, 1, 2, 3}));
  EXPECT_EQ(threads.size(), kThreads);
  EXPECT_TRUE(threads.contains(std::this_thread::get_id()));
}

TEST(ThreadPool, OneThreadIsTheCallers) {
  parallel_for(0, 100, 10, 1, [caller = std::this_thread::get_id()](uint64_t, uint64_t, unsigned worker) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(worker, 0U);
  });
}

TEST(ThreadPool, FirstExceptionIsRethrownAndStopsTheRest) {
  for (const unsigned threads : {1U, 4U}) {
    std::atomic<int> calls = 0;
    EXPECT_THROW(parallel_for(0, 100000, 1, threads,
                              [&](uint64_t, uint64_t, unsigned) {
                                ++calls;
                                throw std::runtime_error("mine");
                              }),
                 std::runtime_error);
    EXPECT_LE(calls, static_cast<int>(threads));
  }
  Visits visits(100);
  parallel_for(0, 100, 1, 4,
               [&](uint64_t begin, uint64_t, unsigned) { ++visits[begin]; });  // the pool is none the worse
  EXPECT_TRUE(each_once(visits));
}

TEST(ThreadPool, NestedCallsRunInTheirThread) {
  Visits visits(40 * 25);
  parallel_for(0, 40, 1, 3, [&](uint64_t outer, uint64_t, unsigned) {
    const auto me = std::this_thread::get_id();
    parallel_for(0, 25, 2, 3, [&](uint64_t begin, uint64_t end, unsigned worker) {
      EXPECT_EQ(std::this_thread::get_id(), me);
      EXPECT_EQ(worker, 0U);
      for (uint64_t i = begin; i < end; ++i) ++visits[outer * 25 + i];
    });
  });
  EXPECT_TRUE(each_once(visits));
}

TEST(ThreadPool, SeveralCallersAtOnce) {
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([] {
      for (int round = 0; round < 50; ++round) {
        Visits visits(200);
        parallel_for(0, 200, 3, 3, [&](uint64_t begin, uint64_t end, unsigned) {
          for (uint64_t i = begin; i < end; ++i) ++visits[i];
        });
        EXPECT_TRUE(each_once(visits));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// True if two threads meet in a fresh process after fork.
bool two_threads_meet() {
  std::atomic<int> arrived = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  parallel_for(0, 2, 1, 2, [&](uint64_t, uint64_t, unsigned) {
    ++arrived;
    while (arrived < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  return arrived == 2;
}

TEST(ThreadPool, AForkedChildHasItsOwn) {
  ASSERT_TRUE(two_threads_meet());
  const pid_t child = fork();
  if (child == 0) _exit(two_threads_meet() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(two_threads_meet());
}

TEST(ThreadPool, ExitWithThreadsAtWorkDoesNotHang) {
  std::fflush(nullptr);  // or the child's exit() writes it again
  const pid_t child = fork();
  if (child == 0) {
    std::thread([] { parallel_for(0, 1000, 1, 3, [](uint64_t, uint64_t, unsigned) { usleep(100000); }); }).detach();
    usleep(20000);
    std::exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(ThreadPool, HardwareThreads) { EXPECT_GE(hardware_threads(), 1U); }

}  // namespace
}  // namespace lamina
