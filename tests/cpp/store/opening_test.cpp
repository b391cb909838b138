// Goal: a store costs what is used of it. Opening reads the root and the log; a collection's files are opened when it
// is first used, and then no others; what is damaged in one is found then, and leaves the others usable. Method: the
// files that a FaultFileSystem saw opened.
#include "store/store.h"

#include <gtest/gtest.h>

#include <set>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

constexpr int kCollections = 20;

std::string name_of(int collection) { return "c" + std::to_string(collection); }

// A store of many collections with sealed rows, and some rows of the first in the log.
class OpeningTest : public testing::Test {
 protected:
  OpeningTest() {
    const auto store = make_store(memory);
    for (int i = 0; i < kCollections; ++i) {
      store->create_collection(name_of(i), toy_spec());
      write(*store, Op(Verb::kAdd, batch_of(i, 0, 3), name_of(i)));
    }
    store->seal();
    write(*store, Op(Verb::kAdd, batch_of(50, 10, 2), name_of(0)));
    store->close();
  }

  // Files of collections that were opened or mapped since the last call.
  std::set<std::string> opened() {
    std::set<std::string> paths;
    const auto trace = fs.trace();
    for (; seen < trace.size(); ++seen) {
      const OperationRecord& record = trace[seen];
      const bool opens = record.operation == FileOperation::kOpen || record.operation == FileOperation::kMap;
      if (opens && record.path.find("/files/") != std::string::npos) paths.insert(record.path);
    }
    return paths;
  }

  void expect_one_at_a_time(const Store& store) {
    opened();
    std::set<std::string> known;
    for (int i = 0; i < kCollections; ++i) {
      const Rows expected = batch_of(i, 0, 3);
      Rows found = rows_in(store, name_of(i));
      if (i == 0) found.erase(10), found.erase(11);
      EXPECT_EQ(found, expected);
      const std::set<std::string> paths = opened();
      EXPECT_EQ(paths.size(), 3U) << "manifest, records, vectors";
      for (const std::string& path : paths) EXPECT_TRUE(known.insert(path).second) << path << " of another";
      rows_in(store, name_of(i));
      EXPECT_TRUE(opened().empty());
    }
  }

  static void maintain(Store& store) {
    while (store.maintain(1)) {
    }
  }

  std::string manifest_of(int collection) {
    const auto reader = open_store(fs, {.read_only = true});
    opened();
    reader->collection(name_of(collection))->snapshot();
    for (const std::string& path : opened()) {
      if (path.ends_with(".man")) return path;
    }
    return "";
  }

  void flip(const std::string& path) {
    const auto file = memory.open(path);
    std::vector<std::byte> bytes(file->size());
    file->read_at(0, bytes);
    bytes[60] ^= std::byte{1};
    memory.remove(path);
    memory.create(path)->append(bytes);
  }

  MemoryFileSystem memory;
  FaultFileSystem fs{memory};
  size_t seen = 0;
};

TEST_F(OpeningTest, AReaderOpensWhatIsUsed) {
  const auto reader = open_store(fs, {.read_only = true});
  EXPECT_TRUE(opened().empty());
  EXPECT_EQ(reader->collections().size(), size_t{kCollections});
  expect_one_at_a_time(*reader);
}

TEST_F(OpeningTest, AWriterOpensWhatIsUsed) {
  const auto store = open_store(fs);
  EXPECT_EQ(store->collections().size(), size_t{kCollections});
  EXPECT_TRUE(opened().empty());
  expect_one_at_a_time(*store);
}

TEST_F(OpeningTest, WritesMaintenanceAndClosingOpenWhatTheyTouch) {
  const auto store = open_store(fs);
  opened();
  write(*store, Op(Verb::kUpsert, batch_of(60, 20, 1), name_of(3)));
  EXPECT_EQ(opened().size(), 3U);
  maintain(*store);
  const std::set<std::string> manifests = opened();  // read once, to know which files are needed
  EXPECT_EQ(manifests.size(), 2U * kCollections) << "of the newest root, and of the one before its seal";
  for (const std::string& path : manifests) EXPECT_TRUE(path.ends_with(".man")) << path;
  maintain(*store);
  EXPECT_TRUE(opened().empty());
  store->seal();  // of two collections, one of which was only in the log; what was written is opened again
  EXPECT_LE(opened().size(), 3U + 2 * 3U);
  store->create_collection("new", toy_spec());
  store->close();
  EXPECT_LE(opened().size(), 3U) << "manifests that the last sweep did not see";
}

TEST_F(OpeningTest, AReloadOpensNothingAndUseOpensWhatHasChanged) {
  const auto store = open_store(memory);
  const auto reader = open_store(fs, {.read_only = true});
  for (int i = 0; i < kCollections / 2; ++i) rows_in(*reader, name_of(i));
  opened();
  write(*store, Op(Verb::kUpsert, batch_of(60, 0, 1), name_of(3)));
  write(*store, Op(Verb::kUpsert, batch_of(60, 0, 1), name_of(15)));
  EXPECT_TRUE(reader->reload());
  EXPECT_TRUE(opened().empty());
  EXPECT_EQ(rows_in(*reader, name_of(3)), rows_in(*store, name_of(3)));
  EXPECT_TRUE(opened().empty());
  EXPECT_EQ(rows_in(*reader, name_of(15)), rows_in(*store, name_of(15)));
  EXPECT_EQ(opened().size(), 3U);
  store->seal();
  store->close();
  reader->reload();
  EXPECT_TRUE(opened().empty());
  EXPECT_EQ(rows_in(*reader, name_of(3)), rows_in(*open_store(memory), name_of(3)));
}

TEST_F(OpeningTest, AnUnopenedCollectionReadsOnWhileTheStoreChanges) {
  const auto reader = open_store(fs, {.read_only = true});
  const auto store = open_store(memory);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kCollections; ++i) write(*store, Op(Verb::kUpsert, batch_of(70 + round, 0, 3), name_of(i)));
    store->seal();
    store->optimize(name_of(1), 1);
    if (round == 1) reader->reload();
  }
  EXPECT_EQ(rows_in(*reader, name_of(1)), batch_of(71, 0, 3));
  reader->reload();
  EXPECT_EQ(rows_in(*reader, name_of(1)), batch_of(72, 0, 3));
  EXPECT_EQ(rows_in(*reader, name_of(2)), batch_of(72, 0, 3));
}

TEST_F(OpeningTest, DamageOfOneCollectionLeavesTheOthersUsable) {
  const std::string path = manifest_of(0);
  flip(path);
  for (const bool read_only : {true, false}) {
    const auto store = open_store(memory, {.read_only = read_only});
    const auto damaged = store->collection(name_of(0));
    for (int attempt = 0; attempt < 2; ++attempt) {
      try {
        damaged->snapshot();
        FAIL() << "not noticed";
      } catch (const CorruptionError& error) {
        EXPECT_EQ(error.file, path);
      }
    }
    EXPECT_EQ(rows_in(*store, name_of(1)), batch_of(1, 0, 3));
    EXPECT_THROW(store->verify(), CorruptionError);
    if (read_only) continue;
    EXPECT_THROW(write(*store, Op(Verb::kUpsert, batch_of(1, 0, 1), name_of(0))), CorruptionError);
    EXPECT_EQ(write(*store, Op(Verb::kUpsert, batch_of(1, 0, 1), name_of(1))).updated, 1U);
  }
}

TEST_F(OpeningTest, AHandleThatNeverWasOpenedSaysWhyItCannotBe) {
  const auto store = open_store(memory);
  const auto dropped = store->collection(name_of(4));
  const auto other = store->collection(name_of(5));
  store->drop_collection(name_of(4));
  EXPECT_THROW(dropped->snapshot(), NotFoundError);
  store->close();
  EXPECT_THROW(other->snapshot(), ClosedError);
}

}  // namespace
}  // namespace lamina
