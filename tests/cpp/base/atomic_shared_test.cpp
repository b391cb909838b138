// Goal: whoever reads has a value that was stored, whole, for as long as it is kept, and each is destroyed once, with
// the last who has it. Method: values that say when they are destroyed; readers beside writers, which sanitizers watch.
#include "base/atomic_shared.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace lamina {
namespace {

std::atomic<int> alive = 0;

struct Value {
  explicit Value(uint64_t n) : number(n), twice(2 * n) { ++alive; }
  ~Value() {
    number = twice = 1;
    --alive;
  }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  uint64_t number;
  uint64_t twice;
};

TEST(AtomicShared, HoldsNothingAtFirst) { EXPECT_EQ(AtomicShared<Value>().load(), nullptr); }

TEST(AtomicShared, KeepsAValueUntilItIsReplacedAndLetGo) {
  {
    AtomicShared<Value> shared;
    shared.store(std::make_shared<Value>(1));
    const auto kept = shared.load();
    shared.store(std::make_shared<Value>(2));
    EXPECT_EQ(shared.load()->number, 2U);
    EXPECT_EQ(kept->number, 1U);
    EXPECT_EQ(kept.use_count(), 1);
    EXPECT_EQ(alive, 2);
    shared.store(nullptr);
    EXPECT_EQ(shared.load(), nullptr);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(AtomicShared, ReadersBesideWriters) {
  constexpr uint64_t kLast = 20000;
  {
    AtomicShared<const Value> shared;
    shared.store(std::make_shared<const Value>(0));
    std::atomic<uint64_t> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        std::shared_ptr<const Value> seen = shared.load();
        while (seen->number != kLast) {
          const auto now = shared.load();
          wrong += now->twice != 2 * now->number || seen->twice != 2 * seen->number;
          seen = now;
        }
      });
    }
    for (uint64_t begin : {1, 2}) {
      threads.emplace_back([&, begin] {
        for (uint64_t n = begin; n < kLast; n += 2) shared.store(std::make_shared<const Value>(n));
      });
    }
    threads.back().join();
    threads.pop_back();
    threads.back().join();
    threads.pop_back();
    shared.store(std::make_shared<const Value>(kLast));
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0U);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace lamina
