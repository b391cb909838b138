// Goal: what each durability promises is kept, syncs are shared, and a full disk refuses writes but not deletes.
// Method: power cuts, slow syncs and full disks, on a store in memory.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

constexpr const char* kReserve = "/kb.lamina/RESERVE";

uint64_t count(const FaultFileSystem& fs, FileOperation operation, const std::string& path_part) {
  uint64_t n = 0;
  for (const OperationRecord& record : fs.trace()) {
    n += record.operation == operation && record.path.find(path_part) != std::string::npos ? 1 : 0;
  }
  return n;
}

Rows after_power_cut(const MemoryFileSystem& fs) {
  const auto survivor = fs.after_power_cut(0);
  const auto store = open_store(*survivor);
  store->verify();
  return rows_in(*store);
}

TEST(DurabilityTest, WhatIsAcknowledgedUnderFsyncIsOnTheDisk) {
  MemoryFileSystem fs;
  const auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  for (int batch = 1; batch < 4; ++batch) {
    upsert(*store, batch_of(batch, 0, 3));
    EXPECT_EQ(after_power_cut(fs), batch_of(batch, 0, 3));
  }
}

TEST(DurabilityTest, TheLaxerOnesLoseNoMoreThanWhatCameAfterTheLastSync) {
  for (const Durability durability : {Durability::kInterval, Durability::kOs}) {
    MemoryFileSystem fs;
    const auto store = make_store(fs, {.durability = durability});
    store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(1, 0, 3));
    EXPECT_EQ(after_power_cut(fs), Rows());
    EXPECT_EQ(rows_in(*open_reader(fs)), batch_of(1, 0, 3));  // other processes see it
    store->sync();
    EXPECT_EQ(after_power_cut(fs), batch_of(1, 0, 3));
    upsert(*store, batch_of(2, 0, 3));
    EXPECT_EQ(after_power_cut(fs), batch_of(1, 0, 3));
    store->seal();
    EXPECT_EQ(after_power_cut(fs), batch_of(2, 0, 3));
    upsert(*store, batch_of(3, 0, 3));
    store->close();
    EXPECT_EQ(after_power_cut(fs), batch_of(3, 0, 3));
  }
}

TEST(DurabilityTest, AnIntervalEndsWithTheFirstCallAfterIt) {
  MemoryFileSystem fs;
  const auto store = make_store(fs, {.durability = Durability::kInterval});
  store->create_collection("docs", toy_spec());
  const auto pass = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1010)); };
  upsert(*store, batch_of(1, 0, 3));
  while (store->maintain(1)) {
  }
  EXPECT_EQ(after_power_cut(fs), Rows());
  pass();
  store->maintain(1);
  EXPECT_EQ(after_power_cut(fs), batch_of(1, 0, 3));
  upsert(*store, batch_of(2, 0, 3));
  EXPECT_EQ(after_power_cut(fs), batch_of(1, 0, 3));
  pass();
  upsert(*store, batch_of(3, 10, 3));
  Rows both = batch_of(2, 0, 3);
  both.merge(batch_of(3, 10, 3));
  EXPECT_EQ(after_power_cut(fs), both);
}

TEST(DurabilityTest, WritersShareSyncs) {
  MemoryFileSystem memory;
  FaultFileSystem fs(memory);
  const auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  fs.fail({.rule = {FileOperation::kSync, ".log"}, .error = 0, .sticky = true, .effect = [](const std::string&) {
             std::this_thread::sleep_for(std::chrono::milliseconds(20));
           }});
  const uint64_t before = count(fs, FileOperation::kSync, ".log");
  constexpr int kThreads = 8;
  constexpr int kWrites = 20;
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < kWrites; ++i) {
        upsert(*store, batch_of(i, t, 1));
        EXPECT_EQ(after_power_cut(memory).at(t), batch_of(i, t, 1).at(t));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const uint64_t syncs = count(fs, FileOperation::kSync, ".log") - before;
  EXPECT_LT(syncs, kThreads * kWrites / 2);
  EXPECT_GE(syncs, kWrites);
}

// Searches once whenever it is asked to, on a thread of its own.
class Searcher {
 public:
  explicit Searcher(Store& store) : thread_([this, &store] { run(store); }) {}
  ~Searcher() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  // False: none was done within ten seconds.
  bool search() {
    std::unique_lock lock(mutex_);
    const uint64_t mine = ++asked_;
    changed_.notify_all();
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return done_ >= mine; });
  }

 private:
  void run(Store& store) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return over_ || done_ < asked_; });
      if (over_) return;
      const uint64_t asked = asked_;
      lock.unlock();
      const auto snapshot = store.collection("docs")->snapshot();
      std::array<Hit, 3> hits;
      const std::array<float, kDim> query{};
      snapshot->vectors->search(query.data(), {.k = 3}, hits.data());
      rows_of(*snapshot);
      store.version();
      store.collections();
      lock.lock();
      done_ = asked;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  uint64_t asked_ = 0;
  uint64_t done_ = 0;
  bool over_ = false;
  std::thread thread_;
};

// The writer is stopped in each of its writes, syncs and renames until somebody has searched.
TEST(DurabilityTest, SearchesWaitForNothingThatTheWriterWaitsFor) {
  MemoryFileSystem memory;
  FaultFileSystem fs(memory);
  const auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  upsert(*store, batch_of(0, 0, 5));
  std::atomic<int> stops = 0;
  {
    Searcher searcher(*store);
    for (const FileOperation operation : {FileOperation::kWrite, FileOperation::kSync, FileOperation::kSyncDirectory,
                                          FileOperation::kRename, FileOperation::kRemove}) {
      fs.fail({.rule = {operation}, .error = 0, .sticky = true, .effect = [&](const std::string& path) {
                 ++stops;
                 EXPECT_TRUE(searcher.search()) << "while " << path << " is written";
               }});
    }
    store->create_collection("more", toy_spec());
    upsert(*store, batch_of(1, 3, 5));
    write(*store, Op::erase({1}));
    store->seal();
    upsert(*store, batch_of(2, 6, 5));
    store->optimize("docs", 1);
    write(*store, Op(Verb::kUpsert, {}).learn("", "tuned"));
    store->drop_collection("more");
    store->sync();
    store->verify();
    fs.heal();
  }
  EXPECT_GT(stops, 50);
}

TEST(FullDiskTest, DeletesGoThroughInTheReserve) {
  MemoryFileSystem memory;
  FaultFileSystem fs(memory);
  const auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  store->create_collection("more", toy_spec());
  ASSERT_TRUE(memory.exists(kReserve));
  EXPECT_EQ(memory.open(kReserve)->size(), 1U << 20);
  upsert(*store, batch_of(1, 0, 9));
  Rows expected = batch_of(1, 0, 9);
  const auto fill = [&](const std::string& path_part) {
    fs.fail({.rule = {FileOperation::kWrite, path_part}, .error = ENOSPC, .half_write = true});
  };
  const auto remake = [&] {
    EXPECT_FALSE(memory.exists(kReserve));
    store->maintain(1);
    EXPECT_TRUE(memory.exists(kReserve));
  };

  fill(".log");
  EXPECT_THROW(upsert(*store, batch_of(2, 0, 1)), StorageError);  // it is not for this
  EXPECT_TRUE(memory.exists(kReserve));
  EXPECT_EQ(rows_in(*store), expected);
  upsert(*store, batch_of(3, 20, 1));  // and the handle is as good as before
  expected.merge(batch_of(3, 20, 1));

  fill(".log");
  EXPECT_EQ(write(*store, Op::erase({1, 2})).deleted, 2u);
  expected.erase(1);
  expected.erase(2);
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(after_power_cut(memory), expected);
  remake();

  fill(".root");
  store->drop_collection("more");
  EXPECT_EQ(store->collections(), std::vector<std::string>{"docs"});
  remake();

  fill(".log");
  EXPECT_EQ(write(*store, Op(Verb::kClear, {})).deleted, expected.size());
  upsert(*store, batch_of(4, 0, 2));
  EXPECT_EQ(after_power_cut(memory), batch_of(4, 0, 2));
  remake();

  fill(".root");
  store->close();
  EXPECT_FALSE(memory.exists(kReserve));
  const auto again = open_store(fs);
  EXPECT_TRUE(again->recovery().clean);
  EXPECT_TRUE(memory.exists(kReserve));
  EXPECT_EQ(rows_in(*again), batch_of(4, 0, 2));
}

TEST(FullDiskTest, WithoutAReserveADeleteIsRefusedAndChangesNothing) {
  MemoryFileSystem memory;
  FaultFileSystem fs(memory);
  fs.fail({.rule = {FileOperation::kWrite, "RESERVE"}, .error = ENOSPC, .sticky = true});
  const auto store = make_store(fs);
  EXPECT_FALSE(memory.exists(kReserve));
  EXPECT_TRUE(memory.list("/kb.lamina/scratch").empty());
  store->create_collection("docs", toy_spec());
  upsert(*store, batch_of(1, 0, 3));
  fs.fail({.rule = {FileOperation::kWrite, ".log"}, .error = ENOSPC});
  EXPECT_THROW(write(*store, Op::erase({1})), StorageError);
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 3));
  EXPECT_EQ(write(*store, Op::erase({1})).deleted, 1u);
}

}  // namespace
}  // namespace lamina
