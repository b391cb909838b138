// Goal: a reader sees what was acknowledged, never more, never less, never older, while a writer writes, seals, merges
// and sweeps beside it. Method: reloads between and during the writer's steps, on files in memory.
#include "store/reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "store/toy_store.h"

namespace lamina {
namespace {

class ReaderTest : public testing::Test {
 protected:
  ReaderTest() : store(make_store(fs, {.keep_versions_us = 0})) { store->create_collection("docs", toy_spec()); }

  MemoryFileSystem fs;
  std::shared_ptr<Store> store;
};

TEST_F(ReaderTest, ReloadFindsEachAcknowledgedWrite) {
  const auto reader = open_reader(fs);
  const auto docs = reader->collection("docs");
  EXPECT_FALSE(reader->reload());
  Rows expected;
  for (int batch = 0; batch < 12; ++batch) {
    const Rows before = expected;
    upsert(*store, batch_of(batch, batch * 3, 5));
    for (const auto& [id, row] : batch_of(batch, batch * 3, 5)) expected[id] = row;
    write(*store, Op::erase({batch * 4}));
    expected.erase(batch * 4);
    if (batch % 4 == 2) store->seal();
    if (batch % 4 == 3) store->optimize("docs", 1);
    if (batch == 5) write(*store, Op(Verb::kUpsert, {}).learn("", "tuned"));
    if (batch == 7) store->create_collection("more", toy_spec());
    EXPECT_EQ(rows_of(*docs->snapshot()), before);  // not before it is asked
    EXPECT_TRUE(reader->reload());
    EXPECT_FALSE(reader->reload());
    EXPECT_EQ(rows_of(*docs->snapshot()), expected) << "batch " << batch;
    EXPECT_EQ(reader->version(), store->version());
    EXPECT_EQ(docs->snapshot()->version, store->collection("docs")->snapshot()->version);
    EXPECT_EQ(rows_in(*open_reader(fs)), expected);
  }
  EXPECT_EQ(docs->snapshot()->spec->settings, "tuned");
  EXPECT_EQ(reader->collections().size(), 2u);
  reader->verify();
  store->drop_collection("docs");
  EXPECT_TRUE(reader->reload());
  EXPECT_TRUE(docs->dropped());
  EXPECT_EQ(rows_of(*docs->snapshot()), expected);
  EXPECT_THROW(reader->collection("docs"), NotFoundError);
}

TEST_F(ReaderTest, WhatAReaderHoldsIsNotSwept) {
  upsert(*store, batch_of(1, 0, 5));
  store->seal();
  while (store->maintain(1)) {
  }
  const auto reader = open_reader(fs);
  const auto files = fs.list(std::string(kPath) + "/files");
  upsert(*store, batch_of(2, 3, 5));
  store->optimize("docs", 1);
  store->optimize("docs", 1);
  const auto held = fs.list(std::string(kPath) + "/files");
  for (const std::string& name : files) {
    EXPECT_NE(std::find(held.begin(), held.end(), name), held.end()) << name;
  }
  reader->verify();
  store->verify();
  EXPECT_EQ(rows_in(*reader), batch_of(1, 0, 5));
  reader->close();
  upsert(*store, batch_of(3, 3, 5));
  store->seal();
  while (store->maintain(1)) {
  }
  const auto left = fs.list(std::string(kPath) + "/files");
  for (const std::string& name : files) EXPECT_EQ(std::find(left.begin(), left.end(), name), left.end()) << name;
  EXPECT_EQ(fs.list(std::string(kPath) + "/roots").size(), 1u);
  EXPECT_EQ(fs.list(std::string(kPath) + "/log").size(), 1u);
}

TEST_F(ReaderTest, ACollectionThatStaysTheSameIsNotReplayed) {
  store->create_collection("more", toy_spec());
  const auto reader = open_reader(fs);
  for (int round = 0; round < 3; ++round) {
    write(*store, Op(Verb::kAdd, batch_of(round, 5, 1)));  // under another rid each time
    reader->reload();
    store->create_collection("more " + std::to_string(round), toy_spec());  // reads all of the log again, for this one
    reader->reload();
    EXPECT_EQ(rows_in(*reader), batch_of(round, 5, 1));
    EXPECT_EQ(reader->stats().collections[0].head_records + reader->stats().collections[0].dead_records, 1u);
    write(*store, Op::erase({5}));
  }
}

TEST_F(ReaderTest, ItWritesNothing) {
  upsert(*store, batch_of(1, 0, 5));
  store->close();
  const auto reader = open_reader(fs);
  EXPECT_THROW(upsert(*reader, batch_of(1, 0, 5)), ReadOnlyError);
  EXPECT_THROW(reader->create_collection("x", toy_spec()), ReadOnlyError);
  EXPECT_THROW(reader->drop_collection("docs"), ReadOnlyError);
  EXPECT_THROW(reader->seal(), ReadOnlyError);
  EXPECT_THROW(reader->sync(), ReadOnlyError);
  EXPECT_THROW(reader->optimize("docs", 1), ReadOnlyError);
  EXPECT_EQ(reader->verify().records, 5u);
  EXPECT_EQ(reader->stats().collections[0].records, 5u);
  reader->close();
  reader->close();
  EXPECT_THROW(reader->reload(), ClosedError);
  EXPECT_THROW(reader->collection("docs"), ClosedError);
}

TEST_F(ReaderTest, AnUnacknowledgedWriteIsNotSeen) {
  upsert(*store, batch_of(1, 0, 5));
  const auto dead = fs.after_power_cut(1);
  const std::string log = std::string(kPath) + "/log/" + fs.list(std::string(kPath) + "/log").at(0);
  upsert(*store, batch_of(2, 0, 9));  // on another disk: its frame, but not the note that acknowledges it
  const auto file = fs.open(log);
  std::vector<std::byte> bytes(file->size());
  file->read_at(0, bytes);
  const uint64_t before = dead->open(log)->size();
  dead->open_append(log, before)->append(Bytes(bytes).subspan(before));
  auto lock = dead->try_lock(std::string(kPath) + "/LOCK");  // its writer lives
  const auto reader = open_reader(*dead);
  EXPECT_EQ(rows_in(*reader), batch_of(1, 0, 5));
  lock.reset();  // and is gone, and may have acknowledged it
  EXPECT_TRUE(reader->reload());
  EXPECT_EQ(rows_in(*reader), batch_of(2, 0, 9));
  EXPECT_EQ(rows_in(*open_store(*dead)), batch_of(2, 0, 9));
}

TEST_F(ReaderTest, ANoteThatAPowerCutLeftStaleHidesNothing) {
  upsert(*store, batch_of(1, 0, 3));
  const std::string lock = std::string(kPath) + "/LOCK";
  const auto file = fs.open(lock);
  std::vector<std::byte> note(file->size());
  file->read_at(0, note);
  upsert(*store, batch_of(2, 3, 3));
  const auto survivor = fs.after_power_cut(1);
  survivor->remove(lock);
  survivor->create(lock)->append(note);
  EXPECT_EQ(rows_in(*open_reader(*survivor)), rows_in(*store));
}

TEST_F(ReaderTest, ReadersFollowAWriterThatDoesEverything) {
  constexpr int kBatches = 120;
  constexpr int64_t kSize = 10;
  std::atomic<uint64_t> acknowledged = store->version();
  std::atomic<bool> done = false;
  const auto follow = [&] {
    const auto reader = open_reader(fs);
    uint64_t last = 0;
    for (bool more = true; more;) {
      more = !done.load();
      const uint64_t before = acknowledged.load();
      reader->reload();
      EXPECT_GE(reader->version(), before);
      EXPECT_GE(reader->version(), last);
      last = reader->version();
      const auto snapshot = reader->collection("docs")->snapshot();
      EXPECT_EQ(snapshot->records->live % kSize, 0u);
      EXPECT_EQ(snapshot->vectors->live, snapshot->records->live);
    }
    EXPECT_EQ(rows_in(*reader), rows_in(*store));
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) readers.emplace_back(follow);
  for (int batch = 0; batch < kBatches; ++batch) {
    acknowledged = upsert(*store, batch_of(batch, kSize * (batch % 60), kSize)).version;
    if (batch % 10 == 7) store->seal();
    if (batch % 30 == 20) store->optimize("docs", 1);
    if (batch % 40 == 30) store->create_collection(std::to_string(batch), toy_spec());
    if (batch % 50 == 40) {
      store->close();
      store = open_store(fs);
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  store->verify();
}

}  // namespace
}  // namespace lamina
