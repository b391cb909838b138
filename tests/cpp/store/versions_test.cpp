// Goal: each version that is said to be kept is read as it was, by the writer and by readers, whatever has been sealed,
// merged, reopened or cut off since; what is no longer kept is said so, and its space comes back. Method: the rows of
// every version are remembered beside the store; files in memory. Faults and power cuts: version_scenarios.h.
#include "store/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "store/toy_store.h"

namespace lamina {
namespace {

std::set<std::string> files_of(FileSystem& fs) {
  std::set<std::string> all;
  for (const std::string folder : {"/roots", "/log", "/files"}) {
    for (const std::string& name : fs.list(kPath + folder)) all.insert(name);
  }
  return all;
}

class VersionsTest : public testing::Test {
 protected:
  VersionsTest() : store(make_store(fs)) {
    store->create_collection("docs", toy_spec());
    remember();
  }

  void remember() { by_version[store->collection("docs")->snapshot()->version] = rows_in(*store); }
  void put(int batch, int64_t first, int64_t count) {
    upsert(*store, batch_of(batch, first, count));
    remember();
  }
  void erase(std::vector<int64_t> ids) {
    write(*store, Op::erase(std::move(ids)));
    remember();
  }
  Rows at(Store& in, const VersionRef& wanted, const std::string& name = "docs") {
    return rows_of(*in.snapshot(name, wanted));
  }
  void expect_all_kept(Store& in) {
    std::vector<uint64_t> listed;
    for (const VersionInfo& one : in.versions("docs")) listed.push_back(one.version);
    std::vector<uint64_t> expected;
    for (const auto& [version, rows] : by_version) {
      expected.push_back(version);
      EXPECT_EQ(at(in, {.version = version}), rows) << "version " << version;
      EXPECT_EQ(in.snapshot("docs", {.version = version})->version, version);
    }
    EXPECT_EQ(listed, expected);
  }
  // A history with everything in it that moves rows about.
  void live_a_little() {
    put(1, 0, 6);
    put(2, 4, 6);
    erase({1, 3});
    store->seal();
    put(3, 2, 2);
    erase({0, 8});
    store->optimize("docs", 1);
    erase({2});
    store->create_collection("more", toy_spec());
    write(*store, Op(Verb::kUpsert, batch_of(7, 0, 2), "more"));
    put(4, 20, 3);
    store->optimize("docs", 1);
    put(5, 30, 2);
  }

  void cut_power(uint64_t seed) {
    survivor = fs.after_power_cut(seed);
    store = open_store(*survivor);
  }

  MemoryFileSystem fs;
  std::unique_ptr<MemoryFileSystem> survivor;
  std::shared_ptr<Store> store;
  std::map<uint64_t, Rows> by_version;
};

TEST_F(VersionsTest, EveryVersionIsReadAsItWas) {
  live_a_little();
  expect_all_kept(*store);
  expect_all_kept(*open_reader(fs));
  store->close();
  expect_all_kept(*open_reader(fs));
  store = open_store(fs);
  expect_all_kept(*store);
  put(6, 40, 2);
  store->verify();
  expect_all_kept(*store);
  while (store->maintain(1)) {
  }
  expect_all_kept(*store);
  expect_all_kept(*open_store(*fs.after_power_cut(0)));
}

TEST_F(VersionsTest, SpaceComesBackWhileThereIsAlwaysSomethingToMerge) {
  store->close();
  store = open_store(fs, {.keep_versions_us = 0});
  size_t most = 0;
  for (int round = 0; round < 12; ++round) {
    upsert(*store, batch_of(round, 0, 30));
    store->seal();
    store->maintain(1);  // one thing of what is due: the next seal is quicker than the rest
    most = std::max(most, fs.list(std::string(kPath) + "/log").size());
  }
  EXPECT_LE(most, 3U);
}

TEST_F(VersionsTest, AVersionOfTheStoreMeansTheCollectionAsItWasThen) {
  put(1, 0, 3);
  const uint64_t before = store->version();
  store->create_collection("more", toy_spec());
  write(*store, Op(Verb::kUpsert, batch_of(7, 0, 2), "more"));
  const uint64_t between = store->version();
  put(2, 2, 3);
  EXPECT_EQ(at(*store, {.version = between}), by_version.at(before));
  EXPECT_EQ(store->snapshot("docs", {.version = between})->version, before);
  EXPECT_THROW(store->snapshot("docs", {.version = store->version() + 1}), NotFoundError);
  EXPECT_THROW(store->snapshot("more", {.version = before}), NotFoundError);
}

TEST_F(VersionsTest, ATimeMeansTheNewestVersionBeforeIt) {
  put(1, 0, 3);
  put(2, 2, 3);
  store->seal();
  put(3, 5, 1);
  for (const VersionInfo& one : store->versions("docs")) {
    const auto found = store->snapshot("docs", {.time_us = one.time_us});
    EXPECT_GE(found->version, one.version);  // two may have one time
    EXPECT_EQ(rows_of(*found), by_version.at(found->version));
  }
  const int64_t first = store->versions("docs").front().time_us;
  EXPECT_THROW(store->snapshot("docs", {.time_us = first - 1}), NotFoundError);
  EXPECT_EQ(at(*store, {.time_us = std::numeric_limits<int64_t>::max()}), rows_in(*store));
}

TEST_F(VersionsTest, WhatIsNoLongerKeptIsSaidSoAndItsSpaceComesBack) {
  live_a_little();
  store->seal();
  EXPECT_GT(store->stats().history_bytes, 0u);
  const uint64_t newest = store->versions("docs").back().version;
  const CleanupReport report = store->cleanup(0);
  EXPECT_GT(report.files, 0u);
  EXPECT_GT(report.bytes, 0u);
  EXPECT_EQ(report.pinned, 0u);
  EXPECT_EQ(store->stats().history_bytes, 0u);
  EXPECT_EQ(store->versions("docs").size(), 1u);
  EXPECT_EQ(store->versions("docs").back().version, newest);
  try {
    store->snapshot("docs", {.version = newest - 1});
    FAIL() << "a version that was given up";
  } catch (const NotFoundError& e) {
    EXPECT_NE(std::string(e.what()).find("from " + std::to_string(newest)), std::string::npos) << e.what();
  }
  EXPECT_EQ(fs.list(std::string(kPath) + "/roots").size(), 1u);
  EXPECT_EQ(fs.list(std::string(kPath) + "/log").size(), 1u);
  store->verify();
  EXPECT_EQ(store->cleanup(0).files, 0u);
}

TEST_F(VersionsTest, ASnapshotHoldsWhatItNeedsAndCleanupSaysSo) {
  live_a_little();
  store->seal();
  const auto reader = open_reader(fs);
  const uint64_t oldest = std::next(by_version.begin())->first;
  auto held = reader->snapshot("docs", {.version = oldest});
  EXPECT_GT(store->cleanup(0).pinned, 0u);
  EXPECT_EQ(at(*reader, {.version = oldest}), by_version.at(oldest));
  EXPECT_EQ(rows_of(*held), by_version.at(oldest));
  held.reset();
  EXPECT_EQ(store->cleanup(0).pinned, 0u);
  EXPECT_THROW(store->snapshot("docs", {.version = oldest}), NotFoundError);
}

TEST_F(VersionsTest, ManyRootsThatSayTheSameLeaveOne) {
  put(1, 0, 3);
  for (int i = 0; i < 20; ++i) store->create_collection("c" + std::to_string(i), toy_spec());
  for (int i = 0; i < 5; ++i) {
    store->close();
    store = open_store(fs);
    put(2 + i, i, 2);
  }
  while (store->maintain(1)) {
  }
  EXPECT_LE(fs.list(std::string(kPath) + "/roots").size(), 2u);
  expect_all_kept(*store);
}

TEST_F(VersionsTest, TagsAreKeptForEver) {
  put(1, 0, 4);
  const uint64_t tagged = store->tag("docs", "first", {});
  EXPECT_EQ(tagged, by_version.rbegin()->first);
  const size_t roots = fs.list(std::string(kPath) + "/roots").size();
  EXPECT_EQ(store->tag("docs", "again", {}), tagged);  // nothing in the head: one root
  EXPECT_EQ(fs.list(std::string(kPath) + "/roots").size(), roots + 1);
  EXPECT_THROW(store->tag("docs", "first", {}), std::invalid_argument);
  EXPECT_THROW(store->tag("docs", "", {}), std::invalid_argument);
  EXPECT_THROW(store->tag("none", "x", {}), NotFoundError);
  put(2, 2, 4);
  erase({0});
  const uint64_t middle = by_version.rbegin()->first;
  put(3, 9, 1);
  EXPECT_EQ(store->tag("docs", "middle", {.version = middle}), middle);
  store->optimize("docs", 1);
  store->cleanup(0);
  for (int round = 0; round < 2; ++round) {
    const auto reader = open_reader(fs);
    for (Store* in : {store.get(), reader.get()}) {
      EXPECT_EQ(at(*in, {.tag = "first"}), by_version.at(tagged));
      EXPECT_EQ(at(*in, {.tag = "middle"}), by_version.at(middle));
      EXPECT_EQ(at(*in, {.version = tagged}), by_version.at(tagged));
      EXPECT_THROW(in->snapshot("docs", {.tag = "none"}), NotFoundError);
      const auto versions = in->versions("docs");
      EXPECT_EQ(versions.front().version, tagged);
      EXPECT_EQ(versions.front().tags, (std::vector<std::string>{"first", "again"}));
    }
    store->close();
    store = open_store(fs);
  }
  store->untag("docs", "first");
  EXPECT_THROW(store->untag("docs", "first"), NotFoundError);
  EXPECT_THROW(store->snapshot("docs", {.tag = "first"}), NotFoundError);
  EXPECT_EQ(at(*store, {.tag = "again"}), by_version.at(tagged));
  store->untag("docs", "again");
  store->untag("docs", "middle");
  store->cleanup(0);
  EXPECT_EQ(store->versions("docs").size(), 1u);
  EXPECT_EQ(store->stats().history_bytes, 0u);
  store->verify();
}

TEST_F(VersionsTest, ABranchSharesEverythingUntilOneOfThemChanges) {
  put(1, 0, 6);
  put(2, 4, 4);
  store->seal();
  const auto before = files_of(fs);
  const auto branch = store->branch("docs", "experiment", {});
  EXPECT_EQ(files_of(fs).size(), before.size() + 2);  // a manifest and a root
  EXPECT_EQ(rows_of(*branch->snapshot()), rows_in(*store));
  const Rows common = rows_in(*store);
  const uint64_t begun = branch->snapshot()->version;
  upsert(*store, batch_of(3, 0, 2));
  write(*store, Op(Verb::kUpsert, batch_of(4, 100, 2), "experiment"));
  write(*store, Op::erase({4}, "experiment"));
  const auto expect = [&](Store& in) {
    Rows trunk = common, other = common;
    for (const auto& [id, row] : batch_of(3, 0, 2)) trunk[id] = row;
    for (const auto& [id, row] : batch_of(4, 100, 2)) other[id] = row;
    other.erase(4);
    EXPECT_EQ(rows_in(in), trunk);
    EXPECT_EQ(rows_in(in, "experiment"), other);
  };
  expect(*store);
  EXPECT_EQ(at(*store, {.version = begun}, "experiment"), common);
  store->optimize("docs", 1);
  store->cleanup(0);
  expect(*store);
  expect(*open_reader(fs));
  store->close();
  store = open_store(fs);
  expect(*store);
  store->verify();
  EXPECT_THROW(store->branch("docs", "experiment", {}), std::invalid_argument);
  EXPECT_THROW(store->snapshot("experiment", {.version = 2}), NotFoundError);
}

TEST_F(VersionsTest, ABranchBeginsWhereItIsTold) {
  live_a_little();
  for (const auto& [version, rows] : by_version) {
    const std::string name = "from " + std::to_string(version);
    store->branch("docs", name, {.version = version});
    EXPECT_EQ(rows_in(*store, name), rows);
    write(*store, Op(Verb::kAdd, batch_of(9, 1000, 1), name));
  }
  store->optimize("docs", 1);
  cut_power(1);
  for (const auto& [version, rows] : by_version) {
    Rows expected = rows;
    expected.merge(batch_of(9, 1000, 1));
    EXPECT_EQ(rows_in(*store, "from " + std::to_string(version)), expected);
  }
  store->verify();
}

TEST_F(VersionsTest, ARenamedCollectionGoesOnAndAReplacedOneIsGone) {
  put(1, 0, 4);
  store->tag("docs", "kept", {});
  const Rows tagged = rows_in(*store);
  const auto trunk = store->collection("docs");
  const auto branch = store->branch("docs", "experiment", {});
  write(*store, Op(Verb::kUpsert, batch_of(2, 2, 4), "experiment"));
  const Rows promoted = rows_in(*store, "experiment");
  const auto reader = open_reader(fs);
  const auto seen = reader->collection("experiment");
  const auto seen_trunk = reader->collection("docs");
  EXPECT_THROW(store->rename_collection("experiment", "docs", false), std::invalid_argument);
  EXPECT_THROW(store->rename_collection("none", "docs", true), NotFoundError);
  EXPECT_THROW(store->rename_collection("docs", "", true), std::invalid_argument);
  store->rename_collection("docs", "docs", false);
  store->rename_collection("experiment", "docs", true);
  EXPECT_EQ(store->collections(), (std::vector<std::string>{"docs"}));
  EXPECT_EQ(branch->name(), "docs");
  EXPECT_FALSE(branch->dropped());
  EXPECT_TRUE(trunk->dropped());
  EXPECT_EQ(rows_in(*store), promoted);
  EXPECT_EQ(at(*store, {.tag = "kept"}), tagged);
  write(*store, Op(Verb::kUpsert, batch_of(3, 50, 1)));
  EXPECT_EQ(branch->snapshot()->records->live, promoted.size() + 1);
  EXPECT_TRUE(reader->reload());
  EXPECT_EQ(seen->name(), "docs");
  EXPECT_FALSE(seen->dropped());
  EXPECT_TRUE(seen_trunk->dropped());
  EXPECT_EQ(rows_of(*seen->snapshot()), rows_in(*store));
  store->rollback("docs", {.tag = "kept"}, {});
  EXPECT_EQ(rows_in(*store), tagged);
  store->verify();
  cut_power(1);
  EXPECT_EQ(rows_in(*store), tagged);
  EXPECT_EQ(at(*store, {.tag = "kept"}), tagged);
}

TEST_F(VersionsTest, TagsOfOneNameDoNotMeet) {
  put(1, 0, 4);
  store->tag("docs", "x", {});
  store->branch("docs", "experiment", {});
  store->tag("experiment", "x", {});
  EXPECT_THROW(store->rename_collection("experiment", "docs", true), std::invalid_argument);
  EXPECT_EQ(store->collections().size(), 2u);
  store->untag("experiment", "x");
  store->rename_collection("experiment", "docs", true);
  store->drop_collection("docs");
  cut_power(1);
  EXPECT_TRUE(store->collections().empty());
}

TEST_F(VersionsTest, RollbackIsANewVersion) {
  live_a_little();
  const auto history = by_version;
  for (const auto& [version, rows] : history) {
    if (version == by_version.rbegin()->first) continue;
    const uint64_t made = store->rollback("docs", {.version = version}, {});
    EXPECT_EQ(made, store->version());
    EXPECT_EQ(rows_in(*store), rows);
    remember();
    put(50, 1000, 2);  // under rids that nobody had
    erase({1000});
  }
  EXPECT_EQ(store->rollback("docs", {.version = store->version()}, {}), by_version.rbegin()->first);
  EXPECT_THROW(store->rollback("docs", {.tag = "none"}, {}), NotFoundError);
  expect_all_kept(*store);
  expect_all_kept(*open_reader(fs));
  store->verify();
  cut_power(0);
  expect_all_kept(*store);
}

TEST_F(VersionsTest, ADroppedCollectionLeavesItsSpaceWhenItsTimeIsUp) {
  put(1, 0, 4);
  store->seal();
  store->tag("docs", "x", {});
  store->create_collection("more", toy_spec());
  store->drop_collection("docs");
  while (store->maintain(1)) {
  }
  EXPECT_GT(store->stats().history_bytes, 0u);
  store->cleanup(0);
  EXPECT_EQ(store->stats().history_bytes, 0u);
  EXPECT_EQ(fs.list(std::string(kPath) + "/files").size(), 1u);
}

TEST_F(VersionsTest, AMergeThatIsUnderWayDoesNotUndoARollback) {
  const InterruptedCodec codec;
  store->close();
  store = Store::open(fs, kPath, {}, kToyHasher, codec);
  put(1, 0, 4);
  store->seal();
  put(2, 2, 4);
  const uint64_t before = std::prev(by_version.end(), 2)->first;
  store->seal();
  codec.interruption = [&] { store->rollback("docs", {.version = before}, {}); };
  store->optimize("docs", 1);
  EXPECT_EQ(rows_in(*store), by_version.at(before));
  EXPECT_EQ(rows_in(*open_reader(fs)), by_version.at(before));
}

}  // namespace
}  // namespace lamina
