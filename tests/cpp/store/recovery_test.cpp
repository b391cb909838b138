// Goal: after damage, a typed error, and never a third thing; what recovery mends, it says. Method: logs are torn at
// each length; every byte is flipped.
#include "store/store.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/environment.h"
#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

class LogDamageTest : public testing::Test {
 protected:
  void SetUp() override {
    store = make_store(fs, {.keep_versions_us = 0});
    store->create_collection("docs", toy_spec());
    for (int batch = 0; batch < 3; ++batch) upsert(*store, batch_of(batch, 2 * batch, 2));
    three = fs.after_power_cut(1);
    upsert(*store, batch_of(3, 6, 2));
    four = fs.after_power_cut(1);
    log = std::string(kPath) + "/log/" + fs.list(std::string(kPath) + "/log").at(0);
  }
  static std::vector<std::byte> bytes_of(FileSystem& files, const std::string& path) {
    const auto file = files.open(path);
    std::vector<std::byte> bytes(file->size());
    file->read_at(0, bytes);
    return bytes;
  }
  static void replace(FileSystem& files, const std::string& path, Bytes bytes) {
    files.remove(path);
    files.create(path)->append(bytes);
  }
  static std::string outcome(FileSystem& files) {
    try {
      const auto opened = open_store(files);
      opened->verify();
      return "records " + std::to_string(opened->collection("docs")->snapshot()->records->live);
    } catch (const CorruptionError&) {
      return "damaged";
    } catch (const FormatVersionError&) {
      return "damaged";
    }
  }

  MemoryFileSystem fs;
  std::shared_ptr<Store> store;
  std::unique_ptr<MemoryFileSystem> three;  // as it was after three writes
  std::unique_ptr<MemoryFileSystem> four;
  std::string log;
};

TEST_F(LogDamageTest, ATornTailIsCutAtEachLength) {
  const std::vector<std::byte> after = bytes_of(*four, log);
  const uint64_t before = bytes_of(*three, log).size();
  for (uint64_t end = before; end <= after.size(); ++end) {
    const auto torn = three->after_power_cut(1);
    torn->open_append(log, before)->append(Bytes(after).subspan(before, end - before));
    const bool whole = end == after.size();
    const auto reader = open_reader(*torn);
    EXPECT_EQ(reader->collection("docs")->snapshot()->records->live, whole ? 8u : 6u);
    const auto opened = open_store(*torn);
    EXPECT_EQ(opened->collection("docs")->snapshot()->records->live, whole ? 8u : 6u);
    EXPECT_EQ(opened->recovery().bytes_cut, whole ? 0 : end - before) << end;
    EXPECT_EQ(opened->recovery().note.empty(), false);
    opened->verify();
    upsert(*opened, batch_of(9, 50, 1));
  }
}

TEST_F(LogDamageTest, OnlyTheLastFrameOfAKilledWriterIsInDoubt) {
  const std::vector<std::byte> after = bytes_of(*four, log);
  const uint64_t before = bytes_of(*three, log).size();
  for (uint64_t end = 0; end < after.size(); end = end < before ? std::min(end + 7, before) : end + 1) {
    const auto cut = four->after_power_cut(1);
    replace(*cut, log, Bytes(after).first(end));
    const auto same = cut->after_power_cut(1);
    EXPECT_EQ(outcome(*cut), end < before ? "damaged" : "records 6") << "cut to " << end;
    if (end < before) continue;
    EXPECT_NE(open_store(*same)->recovery().note.find("is lost"), std::string::npos) << "cut to " << end;
  }
  for (uint64_t at = 0; at < after.size(); at += flip_step()) {
    const auto flipped = four->after_power_cut(1);
    std::vector<std::byte> bytes = after;
    bytes[at] ^= std::byte{1};
    replace(*flipped, log, bytes);
    EXPECT_EQ(outcome(*flipped), at < before ? "damaged" : "records 6") << "byte " << at;
  }
}

TEST_F(LogDamageTest, WithoutANoteOnlyTheLastFrameIsInDoubt) {
  const std::vector<std::byte> after = bytes_of(*four, log);
  const uint64_t before = bytes_of(*three, log).size();
  for (uint64_t at = 0; at < after.size(); at += flip_step()) {
    const auto flipped = four->after_power_cut(1);
    flipped->remove(std::string(kPath) + "/LOCK");
    std::vector<std::byte> bytes = after;
    bytes[at] ^= std::byte{0x80};
    replace(*flipped, log, bytes);
    EXPECT_EQ(outcome(*flipped), at < before ? "damaged" : "records 6") << "byte " << at;
  }
}

class EveryByteTest : public LogDamageTest, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(History, EveryByteTest, testing::Bool());

TEST_P(EveryByteTest, CountsAfterACleanClose) {
  if (GetParam()) {
    store->close();
    store = open_store(fs);
  }
  store->seal();
  upsert(*store, batch_of(4, 0, 3));
  write(*store, Op::erase({5, 6}));
  store->seal();  // bitmaps, and more than one segment
  if (GetParam()) store->tag("docs", "kept", {});
  if (GetParam()) store->optimize("docs", 1);
  upsert(*store, batch_of(5, 2, 2));
  store->close();
  ASSERT_EQ(outcome(fs), "records 6");
  const std::string directory = kPath;
  int kinds = 0;
  for (const std::string folder : {"roots", "log", "files"}) {
    for (const std::string& name : fs.list(join(directory, folder))) {
      const std::string path = join(join(directory, folder), name);
      const std::vector<std::byte> whole = bytes_of(fs, path);
      const size_t step = whole.size() > 4096 ? 509 : (GetParam() ? 3 : 1) * flip_step();
      ++kinds;
      for (size_t at = 0; at < whole.size(); at += step) {
        const auto flipped = fs.after_power_cut(1);
        std::vector<std::byte> bytes = whole;
        bytes[at] ^= std::byte{4};
        replace(*flipped, path, bytes);
        ASSERT_EQ(outcome(*flipped), "damaged") << path << " byte " << at;
      }
      for (size_t size = 0; size < whole.size(); size += 3 * step) {
        const auto cut = fs.after_power_cut(1);
        replace(*cut, path, Bytes(whole).first(size));
        ASSERT_EQ(outcome(*cut), "damaged") << path << " cut to " << size;
      }
      if (GetParam() && folder == "roots") continue;  // what an older one gave may be had from the next
      const auto missing = fs.after_power_cut(1);
      missing->remove(path);
      ASSERT_EQ(outcome(*missing), "damaged") << path << " removed";
    }
  }
  EXPECT_GT(kinds, 6);
}

TEST_F(LogDamageTest, AnotherLogOfTheSameLengthIsNotThisOne) {
  store->close();
  std::vector<std::vector<std::byte>> ends;
  for (const int batch : {5, 6}) {  // two copies of one store, each closed after a write of its own
    const auto copy = fs.after_power_cut(1);
    const auto opened = open_store(*copy);
    upsert(*opened, batch_of(batch, 0, 2));
    opened->close();
    ends.push_back(bytes_of(*copy, log));
    if (batch == 5) continue;
    ASSERT_EQ(ends[0].size(), ends[1].size());
    EXPECT_EQ(outcome(*copy), "records 8");
    const auto mixed = copy->after_power_cut(1);
    replace(*mixed, log, ends[0]);
    EXPECT_EQ(outcome(*mixed), "damaged");
  }
}

TEST_F(LogDamageTest, AnotherManifestOrBitmapOfTheSameSizeIsNotThisOne) {
  store->seal();
  const auto newest = [](FileSystem& files, const std::string& extension) {
    std::string found;
    for (const std::string& name : files.list(std::string(kPath) + "/files")) {
      if (name.ends_with(extension)) found = std::string(kPath) + "/files/" + name;
    }
    return found;
  };
  const auto sibling = fs.after_power_cut(1);
  const auto other = open_store(*sibling);
  write(*store, Op::erase({1}));
  write(*other, Op::erase({2}));
  write(*store, Op(Verb::kUpsert, batch_of(9, 50, 1)).learn("", "one"));
  write(*other, Op(Verb::kUpsert, batch_of(9, 50, 1)).learn("", "two"));
  store->seal();
  other->seal();
  for (const char* extension : {".man", ".del"}) {
    const auto mixed = fs.after_power_cut(1);
    const std::vector<std::byte> bytes = bytes_of(*sibling, newest(*sibling, extension));
    ASSERT_EQ(bytes.size(), bytes_of(*mixed, newest(*mixed, extension)).size());
    replace(*mixed, newest(*mixed, extension), bytes);
    EXPECT_EQ(outcome(*mixed), "damaged") << extension;
  }
}

TEST(RecoveryTest, AFullDiskRefusesAWriteAndTheStoreGoesOn) {
  MemoryFileSystem memory;
  FaultFileSystem faulty(memory);
  const auto store = make_store(faulty);
  store->create_collection("docs", toy_spec());
  upsert(*store, batch_of(1, 0, 3));
  faulty.fail({.rule = {.operation = FileOperation::kWrite, .path_part = ".log"}, .error = ENOSPC, .half_write = true});
  try {
    upsert(*store, batch_of(2, 10, 3));
    FAIL() << "written to a full disk";
  } catch (const StorageError& e) {
    EXPECT_EQ(e.error_number, ENOSPC);
  }
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 3));
  upsert(*store, batch_of(3, 20, 3));
  Rows expected = batch_of(1, 0, 3);
  expected.merge(batch_of(3, 20, 3));
  EXPECT_EQ(rows_in(*store), expected);
  const auto survivor = memory.after_power_cut(0);
  EXPECT_EQ(rows_in(*open_store(*survivor)), expected);
}

TEST(RecoveryTest, AFailedSyncPoisonsTheHandle) {
  MemoryFileSystem memory;
  FaultFileSystem faulty(memory);
  auto store = make_store(faulty);
  store->create_collection("docs", toy_spec());
  upsert(*store, batch_of(1, 0, 3));
  faulty.fail({.rule = {.operation = FileOperation::kSync, .path_part = ".log"},
               .effect = [&](const std::string& path) { memory.lose_unsynced(path); }});
  EXPECT_THROW(upsert(*store, batch_of(2, 10, 3)), StorageError);
  EXPECT_THROW(upsert(*store, batch_of(3, 20, 3)), StorageError);
  EXPECT_THROW(store->seal(), StorageError);
  EXPECT_THROW(store->drop_collection("docs"), StorageError);
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 3));
  store.reset();
  // The page cache still shows the second write. What a reopened store counts must be on the disk.
  store = open_store(memory);
  const Rows found = rows_in(*store);
  EXPECT_EQ(rows_in(*open_store(*memory.after_power_cut(0))), found);
}

TEST(RecoveryTest, LaxerPoliciesLoseOnlyWhatWasNotSynced) {
  for (const Durability durability : {Durability::kInterval, Durability::kOs}) {
    MemoryFileSystem memory;
    const auto store = make_store(memory, {.durability = durability});
    store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(1, 0, 3));
    store->sync();
    for (int batch = 2; batch < 5; ++batch) upsert(*store, batch_of(batch, 10 * batch, 3));
    store->create_collection("more", toy_spec());  // a root behind which nothing may be missing
    for (int batch = 5; batch < 9; ++batch) upsert(*store, batch_of(batch, 10 * batch, 3));
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const auto survivor = memory.after_power_cut(seed);
      const auto opened = open_store(*survivor);
      const Rows found = rows_in(*opened);
      Rows expected = batch_of(1, 0, 3);
      for (int batch = 2; batch < 9 && (batch < 5 || found.size() > expected.size()); ++batch) {
        expected.merge(batch_of(batch, 10 * batch, 3));
      }
      EXPECT_EQ(found, expected) << "seed " << seed;  // all that was synced, and no gap in the rest
      opened->verify();
    }
  }
}

TEST(RecoveryTest, AnInterruptedMakingIsGoneOnWith) {
  MemoryFileSystem fs;
  fs.make_directory(kPath);
  fs.make_directory(std::string(kPath) + "/roots");
  EXPECT_THROW(open_store(fs), NotFoundError);
  make_store(fs)->create_collection("docs", toy_spec());
  EXPECT_EQ(open_store(fs)->collections().size(), 1u);
}

TEST(RecoveryTest, ARootThatItsWriterDidNotSyncIsSyncedBeforeOlderOnesGo) {
  MemoryFileSystem memory;
  for (int round = 0; round < 2; ++round) {  // the first root, and one that follows another
    FaultFileSystem faulty(memory);
    faulty.fail({.rule = {.operation = FileOperation::kSyncDirectory, .path_part = "/roots"}, .sticky = true});
    EXPECT_THROW(make_store(faulty)->create_collection("docs", toy_spec()), StorageError);
    open_store(memory)->close();
    for (uint64_t seed = 0; seed < 20; ++seed) open_store(*memory.after_power_cut(seed));
  }
}

TEST(RecoveryTest, LeftoversAreSwept) {
  MemoryFileSystem fs;
  auto store = make_store(fs);
  store->create_collection("docs", toy_spec());
  store->close();
  const std::string directory = kPath;
  for (const char* name : {"/scratch/half", "/files/00000000000000f0.vec", "/log/00000000000000f1.log"}) {
    fs.create(directory + name)->append(as_bytes("half"));
  }
  store = open_store(fs);
  EXPECT_EQ(store->recovery().files_swept, 3u);
  upsert(*store, batch_of(1, 0, 3));
  store->seal();
  store->verify();
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 3));
}

}  // namespace
}  // namespace lamina
