// Goal: what was purged is in no version and in no byte of any file, and everything else is as it was. Method: records
// with texts and vectors that nothing else could hold, in every place that a store keeps records; each file is
// searched.
#include "store/store.h"

#include <gtest/gtest.h>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

constexpr int64_t kSecretId = 0x5ec2e7'1d5ec2e7;
const std::string kSecretText = "what nobody may read any more";
constexpr float kSecretVector = 1.2345678e-11F;

Rows secret() { return {{kSecretId, {kSecretText, kSecretVector}}}; }

// Names of the files that hold any of the secret.
std::vector<std::string> holders(FileSystem& fs) {
  return files_with(fs, {std::as_bytes(std::span(&kSecretId, 1)), as_bytes(kSecretText),
                         std::as_bytes(std::span(&kSecretVector, 1))});
}

class PurgeTest : public testing::Test {
 protected:
  PurgeTest() : store(make_store(fs)) {
    store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(1, 0, 5));
  }
  PurgeReport purge() {
    const std::vector<int64_t> ids = {kSecretId, 2};
    Ids wanted;
    wanted.ints = ids;
    return store->purge("docs", wanted);
  }
  void expect_gone() {
    EXPECT_EQ(holders(fs), std::vector<std::string>());
    store->verify();
    for (const std::string& name : store->collections()) {
      for (const VersionInfo& one : store->versions(name)) {
        const auto snapshot = store->snapshot(name, {.version = one.version});
        EXPECT_FALSE(rows_of(*snapshot).contains(kSecretId));
      }
    }
  }

  MemoryFileSystem fs;
  std::shared_ptr<Store> store;
};

TEST_F(PurgeTest, FromEverywhereAtOnce) {
  upsert(*store, secret());
  store->seal();
  store->tag("docs", "tagged", {});
  const auto branch = store->branch("docs", "branch", {});
  upsert(*store, batch_of(2, 10, 3));
  write(*store, Op::erase({kSecretId, 3}));  // dead rows of the trunk, live ones of the branch
  store->seal();
  upsert(*store, secret());  // again, under another rid, in a second segment
  store->seal();
  store->optimize("branch", 1);  // its own files
  upsert(*store, secret());      // in the head, in the log
  write(*store, Op(Verb::kUpsert, batch_of(3, 20, 2), "branch"));
  ASSERT_GT(holders(fs).size(), 4u);
  Rows expected = rows_in(*store);
  Rows expected_branch = rows_in(*store, "branch");
  const uint64_t before = store->version();

  const PurgeReport report = purge();
  EXPECT_EQ(report.deleted, 2u);
  EXPECT_GT(report.version, before);
  expect_gone();
  for (Rows* rows : {&expected, &expected_branch}) {
    rows->erase(kSecretId);
    rows->erase(2);
  }
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(rows_in(*store, "branch"), expected_branch);
  Rows tagged = batch_of(1, 0, 5);
  tagged.erase(2);
  EXPECT_EQ(rows_of(*store->snapshot("docs", {.tag = "tagged"})), tagged);
  upsert(*store, batch_of(4, 30, 1));
  expected.merge(batch_of(4, 30, 1));
  EXPECT_EQ(rows_in(*open_reader(fs)), expected);
  EXPECT_EQ(purge().deleted, 0u);
  store->close();
  store = open_store(fs);
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(rows_in(*store, "branch"), expected_branch);
  expect_gone();
}

TEST_F(PurgeTest, WhatWasDeletedLongAgo) {
  upsert(*store, secret());
  store->seal();
  write(*store, Op::erase({kSecretId}));
  store->seal();
  store->optimize("docs", 1);
  ASSERT_FALSE(holders(fs).empty());  // as history
  EXPECT_EQ(purge().deleted, 1u);
  expect_gone();
}

TEST_F(PurgeTest, RecordsWithoutVectorsAndVectorsThatAreStale) {
  upsert(*store, {{kSecretId, {kSecretText, std::nullopt}}});
  store->seal();
  upsert(*store, secret());
  store->seal();
  write(*store, Op(Verb::kUpsert, {{kSecretId, {"x", kSecretVector}}}).keep_vectors());
  EXPECT_EQ(purge().deleted, 2u);
  expect_gone();
}

TEST_F(PurgeTest, AnotherCollectionKeepsItsOwn) {
  store->create_collection("other", toy_spec());
  write(*store, Op(Verb::kUpsert, secret(), "other"));
  upsert(*store, secret());
  purge();
  EXPECT_EQ(rows_in(*store, "other"), secret());
  store->verify();
}

TEST_F(PurgeTest, AReaderThatHoldsTheRecordsRefusesIt) {
  upsert(*store, secret());
  const auto reader = open_reader(fs);
  const Rows before = rows_in(*store);
  const uint64_t version = store->version();
  try {
    purge();
    FAIL() << "purged what a reader holds";
  } catch (const LockedError& e) {
    EXPECT_NE(e.path.find("/roots/"), std::string::npos);
  }
  EXPECT_EQ(rows_in(*store), before);
  EXPECT_EQ(store->version(), version);
  EXPECT_FALSE(holders(fs).empty());
  write(*store, Op::erase({kSecretId, 2}));
  store->optimize("docs", 1);
  EXPECT_THROW(purge(), LockedError);
  reader->reload();
  purge();
  expect_gone();
  EXPECT_EQ(rows_in(*reader), rows_in(*store));
}

TEST_F(PurgeTest, AllRecords) {
  const Rows all = rows_in(*store);
  std::vector<int64_t> ids;
  for (const auto& [id, row] : all) ids.push_back(id);
  Ids wanted;
  wanted.ints = ids;
  EXPECT_EQ(store->purge("docs", wanted).deleted, all.size());
  EXPECT_TRUE(rows_in(*store).empty());
  upsert(*store, batch_of(2, 0, 2));
  store->verify();
  EXPECT_EQ(store->purge("docs", Ids{}).deleted, 0u);
}

TEST_F(PurgeTest, PowerIsCutAtEachOperation) {
  upsert(*store, secret());
  store->seal();
  store->tag("docs", "tagged", {});
  upsert(*store, batch_of(2, 3, 3));
  const Rows before = rows_in(*store);
  Rows after = before;
  after.erase(kSecretId);
  after.erase(2);
  const auto start = fs.after_power_cut(1);
  for (uint64_t nth = 0;; nth += 2) {
    const auto memory = start->after_power_cut(1);
    FaultFileSystem faulty(*memory);
    store = open_store(faulty);
    faulty.fail({.rule = {.nth = nth}, .sticky = true, .half_write = true});
    bool done = true;
    try {
      purge();
    } catch (const Error&) {
      done = false;
    }
    store.reset();
    faulty.heal();
    for (uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(testing::Message() << "operation " << nth << ", seed " << seed);
      const auto survivor = memory->after_power_cut(seed);
      const auto opened = open_store(*survivor);
      const Rows found = rows_in(*opened);
      EXPECT_TRUE(found == after || (!done && found == before));
      if (done) {
        EXPECT_EQ(holders(*survivor), std::vector<std::string>());
      }
      opened->verify();
      if (HasFailure()) return;
    }
    if (done) return;
  }
}

}  // namespace
}  // namespace lamina
