// Goal: sealing loses nothing, whatever happens while it writes its files, and keeps the log short. Method: writes,
// failures and merges in the middle of a seal, on a store in memory; the state afterwards and after a power cut.
#include <gtest/gtest.h>

#include <cerrno>
#include <future>
#include <thread>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

uint64_t count(const FaultFileSystem& fs, FileOperation operation, const std::string& path_part) {
  uint64_t n = 0;
  for (const OperationRecord& record : fs.trace()) {
    n += record.operation == operation && record.path.find(path_part) != std::string::npos ? 1 : 0;
  }
  return n;
}

void expect_everywhere(const MemoryFileSystem& fs, Store& store, const Rows& expected) {
  EXPECT_EQ(rows_in(store), expected);
  store.verify();
  for (const uint64_t seed : {0, 1}) {
    const auto survivor = fs.after_power_cut(seed);
    EXPECT_EQ(rows_in(*open_reader(*survivor)), expected);
    const auto recovered = open_store(*survivor);
    EXPECT_EQ(rows_in(*recovered), expected);
    recovered->verify();
    recovered->seal();
    recovered->optimize("docs", 1);
    EXPECT_EQ(rows_in(*recovered), expected);
    recovered->verify();
  }
}

TEST(SealTest, WritesGoOnWhileItsFilesAreWritten) {
  MemoryFileSystem fs;
  const InterruptedCodec codec;
  const auto store = Store::open(fs, kPath, {.create = true}, kToyHasher, codec);
  store->create_collection("docs", toy_spec());
  store->create_collection("gone", toy_spec());
  upsert(*store, batch_of(1, 0, 20));
  store->seal();
  upsert(*store, batch_of(2, 10, 20));
  write(*store, Op(Verb::kUpsert, batch_of(2, 0, 2), "gone"));
  const auto reader = open_reader(fs);
  codec.interruption = [&] {
    upsert(*store, batch_of(3, 25, 10));  // of the head that is being sealed, and new
    write(*store, Op::erase({3, 12, 34}));
    write(*store, Op(Verb::kUpdate, {{5, {"kept", std::nullopt}}, {13, {"kept", std::nullopt}}}).keep_vectors());
    write(*store, Op(Verb::kUpsert, {}).learn("", "tuned"));
    store->drop_collection("gone");
    store->create_collection("new", toy_spec());
    write(*store, Op(Verb::kUpsert, batch_of(4, 0, 2), "new"));
    upsert(*store, batch_of(5, 12, 1));
  };
  Rows expected = batch_of(3, 25, 10);
  expected.merge(batch_of(2, 10, 20));
  expected.merge(batch_of(1, 0, 20));
  for (const int64_t id : {3, 34}) expected.erase(id);
  expected[5].text = expected[13].text = "kept";
  expected[12] = batch_of(5, 12, 1).at(12);

  const uint64_t log_before = store->stats().log_bytes;
  store->seal();
  ASSERT_FALSE(codec.interruption);
  EXPECT_LT(store->stats().log_bytes, log_before + 1000);  // what was sealed is out of it
  const StoreStats::OfCollection stats = store->stats().collections[0];
  EXPECT_EQ(stats.head_records, 12u);
  EXPECT_EQ(stats.head_vectors, 10u);
  EXPECT_EQ(stats.vector_segments, 2u);
  EXPECT_EQ(store->collection("docs")->snapshot()->spec->settings, "tuned");
  EXPECT_EQ(rows_in(*store, "new"), batch_of(4, 0, 2));
  EXPECT_TRUE(reader->reload());
  EXPECT_EQ(rows_in(*reader), expected);
  expect_everywhere(fs, *store, expected);

  upsert(*store, batch_of(6, 0, 2));
  for (const auto& [id, row] : batch_of(6, 0, 2)) expected[id] = row;
  reader->reload();
  EXPECT_EQ(rows_in(*reader), expected);
  store->seal();
  reader->reload();
  EXPECT_EQ(rows_in(*reader), expected);
  expect_everywhere(fs, *store, expected);
}

// Stops in the middle of each piece of work that writes records.
struct SteppedCodec final : RecordCodec {
  void check(Bytes block, uint32_t rows) const override { kToyCodec.check(block, rows); }
  std::vector<std::byte> concat_take(std::span<const Slice> slices) const override {
    if (const int step = ++steps; at) at(step);
    return kToyCodec.concat_take(slices);
  }
  mutable std::atomic<int> steps = 0;
  std::function<void(int step)> at;
};

TEST(SealTest, AMergeMayBeginBeforeItAndEndInIt) {
  MemoryFileSystem fs;
  SteppedCodec codec;
  const auto store = Store::open(fs, kPath, {.create = true}, kToyHasher, codec);
  store->create_collection("docs", toy_spec());
  for (const int batch : {1, 2}) {
    upsert(*store, batch_of(batch, batch * 5, 10));
    store->seal();
  }
  Rows expected = batch_of(2, 10, 10);
  expected.merge(batch_of(1, 5, 10));

  std::promise<void> in_seal;
  std::promise<void> merged;
  std::thread sealer;
  codec.steps = 0;
  codec.at = [&](int step) {
    if (step == 1) {  // the merge has looked at what there is
      write(*store, Op::erase({5, 12}));
      upsert(*store, batch_of(3, 6, 3));
      sealer = std::thread([&] { store->seal(); });
      in_seal.get_future().wait();
      write(*store, Op::erase({7, 13}));
    } else if (step == 2) {
      in_seal.set_value();
      merged.get_future().wait();
    }
  };
  for (const int64_t id : {5, 12}) expected.erase(id);
  for (const auto& [id, row] : batch_of(3, 6, 3)) expected[id] = row;
  for (const int64_t id : {7, 13}) expected.erase(id);
  store->optimize("docs", 1);
  EXPECT_EQ(rows_in(*store), expected);
  merged.set_value();
  sealer.join();
  codec.at = nullptr;
  const StoreStats::OfCollection stats = store->stats().collections[0];
  EXPECT_EQ(stats.record_segments, 2u);
  EXPECT_EQ(stats.vector_segments, 2u);
  expect_everywhere(fs, *store, expected);
}

TEST(SealTest, AnOptimizeThatIsAlwaysOvertakenSaysSo) {
  MemoryFileSystem fs;
  SteppedCodec codec;
  const auto store = Store::open(fs, kPath, {.create = true}, kToyHasher, codec);
  bool making = false;
  const auto make = [&] {
    making = true;
    store->create_collection("docs", toy_spec());
    for (const int batch : {1, 2}) {
      upsert(*store, batch_of(batch, batch * 5, 5));
      store->seal();
    }
    making = false;
  };
  make();
  int overtaken = 0;
  codec.at = [&](int) {
    if (making) return;
    ++overtaken;
    store->drop_collection("docs");
    make();
  };
  EXPECT_THROW(store->optimize("docs", 1), ConflictError);
  EXPECT_GE(overtaken, 2);
  codec.at = nullptr;
  EXPECT_EQ(rows_in(*store).size(), 10u);
  store->optimize("docs", 1);
  EXPECT_EQ(store->stats().collections[0].record_segments, 1u);
  store->verify();
}

TEST(SealTest, OneThatFailedIsMadeUpForByTheNext) {
  MemoryFileSystem memory;
  FaultFileSystem fs(memory);
  const auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  Rows expected;
  for (const char* file : {".rec", ".vec", ".man", ".root"}) {
    upsert(*store, batch_of(1, static_cast<int64_t>(expected.size()), 5));
    expected.merge(batch_of(1, static_cast<int64_t>(expected.size()), 5));
    fs.fail({.rule = {FileOperation::kWrite, file}, .error = ENOSPC, .half_write = true});
    EXPECT_THROW(store->seal(), StorageError) << file;
    EXPECT_EQ(rows_in(*store), expected);
    write(*store, Op::erase({static_cast<int64_t>(expected.size()) - 1}));
    expected.erase(static_cast<int64_t>(expected.size()) - 1);
  }
  EXPECT_EQ(rows_in(*store), expected);
  store->seal();
  EXPECT_EQ(store->stats().collections[0].head_records, 0u);
  expect_everywhere(memory, *store, expected);
}

TEST(SealTest, AFullLogSealsItselfAndStaysBounded) {
  MemoryFileSystem fs;
  constexpr uint64_t kLimit = 4000;
  const auto store = make_store(fs, {.log_limit = kLimit});
  store->create_collection("docs", toy_spec());
  uint64_t most = 0;
  for (int batch = 0; batch < 60; ++batch) {
    upsert(*store, batch_of(batch, batch, 4));
    most = std::max(most, store->stats().log_bytes);
  }
  EXPECT_GE(most, kLimit);
  EXPECT_LT(most, 2 * kLimit);
  EXPECT_GT(store->stats().collections[0].record_segments, 2u);
}

TEST(SealTest, WritersWaitWhereALogIsTwiceAsLongAsItShouldBe) {
  MemoryFileSystem fs;
  constexpr uint64_t kLimit = 4000;
  SteppedCodec codec;
  const auto store = Store::open(fs, kPath, {.create = true, .log_limit = kLimit}, kToyHasher, codec);
  store->create_collection("docs", toy_spec());
  std::atomic<uint64_t> most = 0;
  codec.at = [&](int) {  // a slow seal
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    most = std::max(most.load(), store->stats().log_bytes);
  };
  constexpr int kThreads = 4;
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (int batch = 0; batch < 60; ++batch) upsert(*store, batch_of(batch, t * 1000 + batch, 4));
    });
  }
  for (std::thread& writer : writers) writer.join();
  codec.at = nullptr;
  EXPECT_GT(codec.steps, 2);
  EXPECT_LT(most, 2 * kLimit + kThreads * 1000);
  EXPECT_EQ(rows_in(*store).size(), kThreads * 63u);
}

TEST(SealTest, OneThatFailsIsNotTriedAtEachWrite) {
  MemoryFileSystem memory;
  FaultFileSystem fs(memory);
  const auto store = make_store(fs, {.log_limit = 40000});
  store->create_collection("docs", toy_spec());
  fs.fail({.rule = {FileOperation::kSync, ".rec"}, .error = ENOSPC, .sticky = true});
  Rows expected;
  for (int batch = 0; batch < 100; ++batch) {  // some 600 bytes of log each
    upsert(*store, batch_of(batch, batch, 4));
    for (const auto& [id, row] : batch_of(batch, batch, 4)) expected[id] = row;
    try {
      store->maintain(1);
    } catch (const StorageError&) {
    }
  }
  const uint64_t tried = count(fs, FileOperation::kCreate, ".rec");
  EXPECT_GE(tried, 2u);
  EXPECT_LE(tried, 8u);
  EXPECT_EQ(rows_in(*store), expected);
  fs.heal();
  store->seal();
  EXPECT_EQ(store->stats().log_bytes, 64u);
  expect_everywhere(memory, *store, expected);
}

}  // namespace
}  // namespace lamina
