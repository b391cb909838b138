// Goal: damage costs what is damaged, and no more. A collection that cannot be opened keeps nothing else from being
// sealed, and loses none of its own writes; older versions cost the newest nothing. Method: files in memory, damaged
// at a known place and made whole again.
#include <gtest/gtest.h>

#include <algorithm>

#include "store/store.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

class DamageTest : public testing::Test {
 protected:
  std::vector<std::string> files(const std::string& extension) {
    std::vector<std::string> found;
    for (const std::string& name : fs.list(std::string(kPath) + "/files")) {
      if (name.ends_with(extension)) found.push_back(std::string(kPath) + "/files/" + name);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  void flip(const std::string& path, size_t at = 60) {
    const auto file = fs.open(path);
    std::vector<std::byte> bytes(file->size());
    file->read_at(0, bytes);
    bytes[at] ^= std::byte{1};
    fs.remove(path);
    fs.create(path)->append(bytes);
  }

  // Two collections with sealed rows. Returns a file without which "docs" cannot be opened.
  std::string make_two(StoreOptions options = {}) {
    const auto store = make_store(fs, options);
    store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(1, 0, 4));
    store->seal();
    const std::string file = files(".vec").back();
    store->create_collection("others", toy_spec());
    write(*store, Op(Verb::kUpsert, batch_of(1, 0, 4), "others"));
    store->seal();
    return file;
  }

  static Rows joined(std::initializer_list<Rows> parts) {
    Rows all;
    for (Rows part : parts) {
      part.merge(all);
      all = std::move(part);
    }
    return all;
  }

  MemoryFileSystem fs;
};

TEST_F(DamageTest, SealingPassesOverACollectionThatCannotBeOpened) {
  const std::string file = make_two();
  {
    const auto store = open_store(fs);
    upsert(*store, batch_of(2, 3, 3));
    write(*store, {Op(Verb::kUpsert, batch_of(2, 3, 3), "others"), Op(Verb::kUpsert, batch_of(3, 9, 1))});
    store->close();
  }
  flip(file);
  const Rows docs = joined({batch_of(1, 0, 4), batch_of(2, 3, 3), batch_of(3, 9, 1)});
  Rows others = joined({batch_of(1, 0, 4), batch_of(2, 3, 3)});
  for (int round = 0; round < 3; ++round) {
    const auto store = open_store(fs);
    const Rows more = batch_of(10 + round, 20 + round, 2);
    write(*store, Op(Verb::kUpsert, more, "others"));
    others = joined({others, more});
    try {
      store->seal();
      FAIL() << "it does not say what it passed over";
    } catch (const CorruptionError& error) {
      EXPECT_EQ(error.file, file);
      EXPECT_NE(error.found.find("'docs'"), std::string::npos) << error.found;
    }
    EXPECT_EQ(store->collection("others")->snapshot()->records->head_rows, 0U);
    EXPECT_EQ(rows_in(*store, "others"), others);
    EXPECT_EQ(rows_in(*open_reader(fs), "others"), others);
    store->optimize("others", 1);
    store->tag("others", "round " + std::to_string(round), {});
  }
  flip(file);
  const auto store = open_store(fs);
  EXPECT_EQ(rows_in(*store), docs);
  EXPECT_EQ(rows_in(*store, "others"), others);
  store->seal();
  EXPECT_EQ(rows_in(*store), docs);
  EXPECT_TRUE(store->verify().complete);
}

TEST_F(DamageTest, WhatIsLeftInTheLogIsNoReasonToSealAgain) {
  const std::string file = make_two();
  {
    const auto store = open_store(fs);
    upsert(*store, batch_of(2, 0, 500));
    store->close();
  }
  flip(file);
  const auto store = open_store(fs, {.log_limit = 4096});
  int said = 0;
  for (int step = 0; step < 20; ++step) {
    write(*store, Op(Verb::kUpsert, batch_of(step, 0, 2), "others"));
    try {
      while (store->maintain(1)) {
      }
    } catch (const CorruptionError&) {
      ++said;
    }
  }
  EXPECT_GE(said, 1);
  EXPECT_LE(said, 3) << "each time copies what is left";
}

TEST_F(DamageTest, APurgeThatCannotLookIntoTheLogIsRefused) {
  const std::string file = make_two();
  {
    const auto store = open_store(fs);
    write(*store, {Op(Verb::kUpsert, batch_of(2, 3, 3), "others"), Op(Verb::kUpsert, batch_of(3, 9, 1))});
    store->close();
  }
  flip(file);
  const auto store = open_store(fs);
  const std::vector<int64_t> ids = {3};
  EXPECT_THROW(store->purge("others", {IdKind::kInt, ids, {}}), CorruptionError);
  EXPECT_EQ(rows_in(*store, "others").size(), 6U);
}

TEST_F(DamageTest, ATornLogThatARecoveryLeftBehindStillGivesItsVersions) {
  const auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  for (int batch = 0; batch < 2; ++batch) {
    upsert(*store, batch_of(batch, 0, 4));
    store->seal();
  }
  upsert(*store, batch_of(2, 10, 1));
  const uint64_t before = store->version();
  store->optimize("docs", 1);  // seals, and then another manifest with the same log
  upsert(*store, batch_of(3, 10, 1));
  const auto crashed = fs.after_power_cut(1);
  const std::vector<std::string> logs = crashed->list(std::string(kPath) + "/log");
  const std::string log = std::string(kPath) + "/log/" + *std::ranges::max_element(logs);
  const uint64_t size = crashed->open(log)->size();
  crashed->open_append(log, size)->append(std::vector<std::byte>(20, std::byte{0x55}));
  const auto again = open_store(*crashed);
  EXPECT_EQ(again->recovery().bytes_cut, 20U);
  EXPECT_EQ(rows_of(*again->snapshot("docs", {.version = before})).at(10), batch_of(2, 10, 1).at(10));
  EXPECT_EQ(again->versions("docs").back().version, before + 1);
  EXPECT_TRUE(again->verify().complete);
}

class OlderFileTest : public DamageTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Kinds, OlderFileTest, testing::Values(".vec", ".rec", ".del", ".man"));

TEST_P(OlderFileTest, IsFoundDamagedAndCostsTheNewestNothing) {
  auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  upsert(*store, batch_of(1, 0, 4));
  store->seal();
  write(*store, Op::erase({2}));
  store->seal();
  const std::string file = files(GetParam()).front();
  store->optimize("docs", 1);
  store->close();
  flip(file);

  store = open_store(fs);
  upsert(*store, batch_of(2, 7, 1));
  EXPECT_EQ(rows_in(*store).size(), 4U);
  store->seal();
  store->optimize("docs", 1);
  try {
    store->verify();
    FAIL() << "not noticed";
  } catch (const CorruptionError& error) {
    EXPECT_EQ(error.file, file);
    EXPECT_NE(error.found.find(" of 'docs'"), std::string::npos) << error.found;
  }
  store->cleanup(0);
  EXPECT_FALSE(fs.exists(file));
  EXPECT_TRUE(store->verify().complete);
}

TEST_F(DamageTest, AnOlderRootThatIsDamagedGoesWithItsTime) {
  auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  for (int batch = 0; batch < 3; ++batch) {
    upsert(*store, batch_of(batch, 0, 4));
    store->seal();
  }
  store->close();
  const std::string roots = std::string(kPath) + "/roots";
  flip(join(roots, fs.list(roots).front()));
  store = open_store(fs);
  EXPECT_EQ(rows_in(*store).size(), 4U);
  EXPECT_THROW(store->verify(), CorruptionError);
  const std::vector<std::string> before = files(".vec");
  const auto maintain = [&] {
    while (store->maintain(1)) {
    }
  };
  EXPECT_THROW(maintain(), CorruptionError) << "nobody knows what the root names";
  EXPECT_TRUE(std::ranges::includes(files(".vec"), before));
  store->cleanup(0);
  EXPECT_TRUE(store->verify().complete);
}

}  // namespace
}  // namespace lamina
