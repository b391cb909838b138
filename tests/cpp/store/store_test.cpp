// Goal: what was written is there, in this process and after each way of leaving and coming back. Method: small writes
// on a store in memory, compared with a map.
#include "store/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <thread>

#include "store/generation.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

class StoreTest : public testing::Test {
 protected:
  StoreTest() : store(make_store(fs)) { docs = store->create_collection("docs", toy_spec()); }

  void reopen() {
    store->close();
    store = open_store(fs);
    docs = store->collection("docs");
  }
  void crash() {  // without a word to the disk
    survivor = fs.after_power_cut(0);
    store = open_store(*survivor);
    docs = store->collection("docs");
  }

  MemoryFileSystem fs;
  std::unique_ptr<MemoryFileSystem> survivor;
  std::shared_ptr<Store> store;
  std::shared_ptr<Collection> docs;
};

TEST_F(StoreTest, AWriteIsThereAndCountsWhatItDid) {
  WriteResult first = upsert(*store, batch_of(1, 0, 10));
  EXPECT_EQ(first.added, 10u);
  EXPECT_EQ(first.version, 2u);  // 1 made the collection
  WriteResult second = upsert(*store, batch_of(2, 5, 10));
  EXPECT_EQ(second.added, 5u);
  EXPECT_EQ(second.updated, 5u);
  WriteResult third = write(*store, Op::erase({0, 1, 99}));
  EXPECT_EQ(third.deleted, 2u);
  Rows expected = batch_of(2, 5, 10);
  expected.merge(batch_of(1, 2, 3));
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(store->version(), 4u);
  EXPECT_EQ(docs->snapshot()->version, 4u);
}

TEST_F(StoreTest, EveryStateSurvivesClosingAndCrashing) {
  Rows expected;
  const auto check = [&] {
    EXPECT_EQ(rows_in(*store), expected);
    store->verify();
  };
  for (int round = 0; round < 4; ++round) {
    for (int batch = 0; batch < 5; ++batch) {
      const Rows rows = batch_of(round * 10 + batch, batch * 3, 10);
      upsert(*store, rows);
      for (const auto& [id, row] : rows) expected[id] = row;
      write(*store, Op::erase({batch * 4}));
      expected.erase(batch * 4);
    }
    check();
    if (round % 2 == 1) store->seal();
    check();
    reopen();
    EXPECT_TRUE(store->recovery().clean);
    check();
  }
  upsert(*store, batch_of(99, 0, 5));
  for (const auto& [id, row] : batch_of(99, 0, 5)) expected[id] = row;
  crash();
  EXPECT_FALSE(store->recovery().clean);
  EXPECT_GT(store->recovery().frames_replayed, 0u);
  check();
  store->optimize("docs", 1);
  check();
}

TEST_F(StoreTest, RidsAreKeptByReplacingAndNeverUsedAgain) {
  upsert(*store, batch_of(1, 7, 1));
  const auto rid = [&] {
    const auto view = docs->snapshot()->records;
    return view->fields_at(view->find(int64_t{7})).rid;
  };
  const auto created = [&] {
    const auto view = docs->snapshot()->records;
    return view->fields_at(view->find(int64_t{7})).created_us;
  };
  const uint64_t first = rid();
  const int64_t born = created();
  upsert(*store, batch_of(2, 7, 1));
  EXPECT_EQ(rid(), first);
  EXPECT_EQ(created(), born);
  write(*store, Op::erase({7}));
  store->seal();
  reopen();
  upsert(*store, batch_of(3, 7, 1));
  EXPECT_GT(rid(), first);
}

TEST_F(StoreTest, VerbsRefuseWhatTheySay) {
  upsert(*store, batch_of(1, 0, 3));
  const Rows before = rows_in(*store);
  const uint64_t version = store->version();
  EXPECT_THROW(write(*store, Op(Verb::kAdd, batch_of(2, 2, 2))), DuplicateIdError);
  EXPECT_THROW(write(*store, Op(Verb::kUpdate, batch_of(2, 2, 2))), NotFoundError);
  Op twice(Verb::kUpsert, batch_of(2, 0, 2));
  twice.ids() = {5, 5};
  EXPECT_THROW(write(*store, twice), DuplicateIdError);
  Op other_model(Verb::kUpsert, batch_of(2, 0, 2));
  other_model.raw().fingerprint.fill(2);
  EXPECT_THROW(write(*store, other_model), ModelMismatchError);
  Op not_finite(Verb::kUpsert, batch_of(2, 0, 2));
  not_finite.vectors()[5] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(write(*store, not_finite), InvalidVectorError);
  Op damaged(Verb::kUpsert, batch_of(2, 0, 2));
  damaged.raw().columns.pop_back();
  EXPECT_THROW(write(*store, damaged), std::invalid_argument);
  EXPECT_THROW(write(*store, Op(Verb::kUpsert, batch_of(2, 0, 2), "nowhere")), NotFoundError);
  Op late(Verb::kUpsert, batch_of(2, 0, 2));
  late.raw().if_version = version - 1;
  EXPECT_THROW(write(*store, late), ConflictError);
  EXPECT_EQ(rows_in(*store), before);
  EXPECT_EQ(store->version(), version);
  late.raw().if_version = version;
  EXPECT_EQ(write(*store, late).version, version + 1);
}

TEST_F(StoreTest, AWriteThatChangesNothingTakesNoVersion) {
  const uint64_t bytes = store->stats().log_bytes;
  EXPECT_EQ(write(*store, Op::erase({1, 2})).version, 1u);
  EXPECT_EQ(write(*store, Op(Verb::kUpsert, {})).version, 1u);
  EXPECT_EQ(store->stats().log_bytes, bytes);
  EXPECT_EQ(store->version(), 1u);
}

TEST_F(StoreTest, VectorsAreGivenKeptOrDropped) {
  upsert(*store, batch_of(1, 0, 2));
  Rows changed = {{0, {"new", 5.0F}}, {1, {"new", 5.0F}}};
  write(*store, Op(Verb::kUpdate, changed).keep_vectors());
  EXPECT_EQ(rows_in(*store), (Rows{{0, {"new", 1.0F}}, {1, {"new", 1.0F}}}));
  EXPECT_EQ(store->stats().collections[0].stale, 2u);
  store->seal();
  write(*store, Op(Verb::kUpsert, {{0, {"owed", std::nullopt}}}));
  EXPECT_EQ(store->stats().collections[0].owed, 1u);
  const Rows expected = {{0, {"owed", std::nullopt}}, {1, {"new", 1.0F}}};
  EXPECT_EQ(rows_in(*store), expected);
  crash();
  EXPECT_EQ(rows_in(*store), expected);
}

TEST_F(StoreTest, AnUpdateWithoutHashesLeavesContentsAsTheyAre) {
  upsert(*store, batch_of(1, 0, 3));
  const Rows seen = {{0, {"seen", std::nullopt}}, {1, {"seen", std::nullopt}}};
  write(*store, {Op(Verb::kUpsert, batch_of(22, 0, 1)), Op(Verb::kUpdate, seen).keep_vectors().keep_contents()});
  const auto expect_kept = [&] {
    EXPECT_EQ(rows_in(*store), (Rows{{0, {"seen", 22.0F}}, {1, {"seen", 1.0F}}, {2, {"text 2 of 1", 1.0F}}}));
    EXPECT_EQ(store->stats().collections[0].stale, 0u);
    const auto snapshot = docs->snapshot();
    const RecordView& records = *snapshot->records;
    const std::map<int64_t, const char*> texts = {{0, "text 0 of 22"}, {1, "text 1 of 1"}, {2, "text 2 of 1"}};
    for (const auto& [id, text] : texts) {
      const ContentHash hash = records.fields_at(records.find(id)).content_hash;
      EXPECT_STREQ(reinterpret_cast<const char*>(hash.data()), text);  // of less than 16 characters, and zeros
    }
  };
  expect_kept();
  EXPECT_THROW(write(*store, Op(Verb::kUpsert, batch_of(3, 0, 1)).keep_contents()), std::invalid_argument);
  crash();
  expect_kept();
}

TEST_F(StoreTest, RowsFromElsewhereBringTheirTimesAndWhatTheirVectorsWereMadeOf) {
  const std::vector<int64_t> created = {-5, 10, 20};
  const std::vector<int64_t> updated = {11, 12, 13};
  const ContentHash another = {9, 9};
  const std::vector<Provenance> provenance = {{another, 7}, {{}, 8}, {another, 1'000'000'000'000'000'000}};
  const Op rows(Verb::kUpsert, batch_of(1, 0, 3));
  WriteOp op = rows.get();
  op.origin = Origin{created, updated, std::span(provenance).first(2)};
  EXPECT_THROW(store->write(std::vector{op}), std::invalid_argument);
  op.origin = Origin{std::span(created).first(2), updated, provenance};
  EXPECT_THROW(store->write(std::vector{op}), std::invalid_argument);
  op.origin = Origin{created, updated, provenance};
  const uint64_t version = store->write(std::vector{op})[0].version;
  const auto expect_origin = [&] {
    const auto snapshot = docs->snapshot();
    for (int64_t id = 0; id < 3; ++id) {
      const auto i = static_cast<size_t>(id);
      const RecordFields fields = snapshot->records->fields_at(snapshot->records->find(id));
      EXPECT_EQ(fields.created_us, created[i]);
      EXPECT_EQ(fields.updated_us, updated[i]);
      View::RowRef at;
      ASSERT_TRUE(snapshot->vectors->find(fields.rid, &at));
      const Provenance made = snapshot->vectors->provenance_at(at);
      EXPECT_EQ(made.embedded_at_us, provenance[i].embedded_at_us);
      EXPECT_EQ(made.content_hash, i == 1 ? version_stamp(version) : another);
    }
  };
  expect_origin();
  crash();
  expect_origin();
  store->seal();
  expect_origin();
  store->optimize("docs", 1);
  reopen();
  expect_origin();
}

// Places in an older view are not those of the newest: a write that trusted them would leave two rows of an id.
TEST_F(StoreTest, WhereRecordsWereIsOfUseUntilTheyMove) {
  upsert(*store, batch_of(1, 0, 50));
  store->seal();
  upsert(*store, batch_of(2, 0, 10));
  const std::vector<int64_t> ids = {3, 8, 20, 40};
  const auto write_at = [&](const std::shared_ptr<const Snapshot>& seen, int batch, int ops = 1) {
    Rows rows;
    for (const int64_t id : ids) rows.merge(batch_of(batch, id, 1));
    const Op op(Verb::kUpdate, rows);
    WriteOp raw = op.get();
    const std::vector<RecordRef> refs = seen->records->find_all(raw.ids);
    raw.found = {seen->records, refs};
    store->write(std::vector<WriteOp>(static_cast<size_t>(ops), raw));
    for (const int64_t id : ids) EXPECT_EQ(rows_in(*store).at(id), rows.at(id));
    EXPECT_EQ(rows_in(*store).size(), 50u);
  };
  const auto first = docs->snapshot();
  write_at(first, 3);  // the newest
  write_at(first, 4);  // written since
  write_at(docs->snapshot(), 5, 2);
  const auto before_seal = docs->snapshot();
  store->seal();
  write_at(before_seal, 6);
  const auto before_merge = docs->snapshot();
  store->optimize("docs", 1);
  write_at(before_merge, 7);
  write_at(narrowed(*docs->snapshot(), [](int64_t) { return true; }), 8);
  crash();
  EXPECT_EQ(rows_in(*store).size(), 50u);
  EXPECT_EQ(rows_in(*store).at(20), batch_of(8, 20, 1).at(20));
}

// Together as one by one: in segments of which none, some and all rows live, in the head, and nowhere.
TEST_F(StoreTest, ManyIdsAreFoundWhereverTheyAre) {
  upsert(*store, batch_of(1, 0, 400));
  store->seal();
  upsert(*store, batch_of(2, 100, 60));
  store->seal();
  upsert(*store, batch_of(3, 90, 80));
  store->seal();
  upsert(*store, batch_of(4, 395, 10));
  write(*store, {Op::erase({0, 101, 399})});
  const RecordView& records = *docs->snapshot()->records;
  ASSERT_EQ(records.parts.size(), 3u);
  ASSERT_EQ(records.parts[1].deleted.count(), 60u);
  Random random(5);
  for (const size_t count : {1, 3, 30, 600}) {
    std::vector<int64_t> ids;
    for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int64_t>(random.uniform(420)) - 5);
    const std::vector<RecordRef> found = records.find_all({IdKind::kInt, ids, {}});
    const std::vector<RecordFields> fields = records.fields_of(found);
    std::vector<uint64_t> rids;
    for (size_t i = 0; i < count; ++i) {
      const RecordRef alone = records.find(ids[i]);
      EXPECT_EQ(found[i].part, alone.part);
      EXPECT_EQ(found[i].row, alone.row);
      EXPECT_EQ(fields[i].rid, alone.found() ? records.fields_at(alone).rid : 0);
      EXPECT_EQ(fields[i].version, alone.found() ? records.fields_at(alone).version : 0);
      rids.push_back(fields[i].rid);
    }
    const std::vector<RecordRef> by_rid = records.find_all_rids(rids);
    for (size_t i = 0; i < count; ++i) {
      const RecordRef alone = records.find_rid(rids[i]);
      EXPECT_EQ(by_rid[i].part, alone.part);
      EXPECT_EQ(by_rid[i].row, alone.row);
    }
  }
}

TEST_F(StoreTest, OperationsOfATransactionSeeEachOther) {
  store->create_collection("more", toy_spec());
  upsert(*store, batch_of(1, 0, 3));
  const auto results =
      write(*store, {Op(Verb::kAdd, batch_of(2, 10, 2)), Op(Verb::kUpdate, batch_of(3, 10, 1)), Op::erase({11, 0}),
                     Op(Verb::kAdd, batch_of(4, 0, 1)), Op(Verb::kAdd, batch_of(5, 0, 2), "more")});
  EXPECT_EQ(results[1].updated, 1u);
  EXPECT_EQ(results[2].deleted, 2u);
  EXPECT_EQ(results[3].added, 1u);
  for (const WriteResult& result : results) EXPECT_EQ(result.version, store->version());
  Rows expected = batch_of(4, 0, 1);
  expected.merge(batch_of(1, 1, 2));
  expected.merge(batch_of(3, 10, 1));
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(rows_in(*store, "more"), batch_of(5, 0, 2));

  // Whole or not at all.
  EXPECT_THROW(write(*store, {Op(Verb::kUpsert, batch_of(6, 0, 9)), Op(Verb::kAdd, batch_of(6, 0, 1), "more")}),
               DuplicateIdError);
  EXPECT_EQ(rows_in(*store), expected);
  const auto cleared =
      write(*store, {Op(Verb::kUpsert, batch_of(7, 50, 2)), Op(Verb::kClear, {}), Op(Verb::kAdd, batch_of(8, 1, 1))});
  EXPECT_EQ(cleared[1].deleted, expected.size() + 2);
  crash();
  EXPECT_EQ(rows_in(*store), batch_of(8, 1, 1));
  EXPECT_EQ(rows_in(*store, "more"), batch_of(5, 0, 2));
  store->verify();
}

TEST_F(StoreTest, CollectionsComeAndGo) {
  upsert(*store, batch_of(1, 0, 3));
  EXPECT_THROW(store->create_collection("docs", toy_spec()), std::invalid_argument);
  EXPECT_THROW(store->create_collection("", toy_spec()), std::invalid_argument);
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 3));
  store->drop_collection("docs");
  EXPECT_TRUE(docs->dropped());
  EXPECT_EQ(rows_of(*docs->snapshot()), batch_of(1, 0, 3));  // who holds it may read on
  EXPECT_THROW(store->collection("docs"), NotFoundError);
  EXPECT_THROW(store->drop_collection("docs"), NotFoundError);
  docs = store->create_collection("docs", toy_spec(1));  // another one, with frames of the first in the log
  write(*store, Op(Verb::kAdd, batch_of(2, 1, 1)));
  crash();
  EXPECT_EQ(rows_in(*store), batch_of(2, 1, 1));
  EXPECT_EQ(store->collections(), std::vector<std::string>{"docs"});
  store->verify();
}

TEST_F(StoreTest, AWriteBringsTheSettingsThatItNeeds) {
  upsert(*store, batch_of(1, 0, 3));
  const uint64_t before = store->version();
  EXPECT_EQ(write(*store, Op(Verb::kUpsert, batch_of(2, 1, 1)).learn("", "tuned")).version, before + 1);
  EXPECT_EQ(docs->snapshot()->spec->settings, "tuned");
  const Op late = Op(Verb::kUpsert, batch_of(3, 9, 1)).learn("", "of another writer");
  EXPECT_THROW(write(*store, late), ConflictError);
  EXPECT_THROW(write(*store, Op(Verb::kAdd, batch_of(3, 1, 1)).learn("tuned", "more")), DuplicateIdError);
  write(*store, {Op(Verb::kUpsert, batch_of(4, 9, 1)).learn("tuned", "one"),
                 Op(Verb::kUpsert, batch_of(5, 9, 1)).learn("one", "two")});
  Rows expected = batch_of(2, 1, 1);
  expected.merge(batch_of(5, 9, 1));
  expected.merge(batch_of(1, 0, 3));
  EXPECT_EQ(open_store(*fs.after_power_cut(0))->collection("docs")->snapshot()->spec->settings, "two");
  for (int round = 0; round < 3; ++round) {  // from the log, from the manifest, from a merged one
    reopen();
    EXPECT_EQ(docs->snapshot()->spec->settings, "two");
    EXPECT_EQ(docs->snapshot()->spec->model, "toy");
    EXPECT_EQ(rows_in(*store), expected);
    EXPECT_EQ(open_reader(fs)->collection("docs")->snapshot()->spec->settings, "two");
    if (round == 0) store->seal();
    if (round == 1) store->optimize("docs", 1);
  }
}

TEST_F(StoreTest, TheFirstPutDecidesTheKindOfIds) {
  EXPECT_FALSE(docs->snapshot()->spec->id_kind.has_value());
  EXPECT_EQ(write(*store, Op::erase({1})).deleted, 0u);
  EXPECT_THROW(write(*store, Op(Verb::kUpdate, batch_of(1, 0, 1))), NotFoundError);
  reopen();
  EXPECT_FALSE(docs->snapshot()->spec->id_kind.has_value());
  const std::vector<std::string_view> ids = {"a"};
  const std::vector<ContentHash> hashes(1);
  const std::vector<VectorFate> fates = {VectorFate::kNone};
  WriteOp text;
  text.collection = "docs";
  text.ids = {IdKind::kString, {}, ids};
  text.columns = ToyCodec::encode({"1"});
  text.content_hash = hashes;
  text.fates = fates;
  EXPECT_THROW(store->write(std::vector{text, Op(Verb::kUpsert, batch_of(1, 0, 1)).get()}), std::invalid_argument);
  EXPECT_FALSE(docs->snapshot()->spec->id_kind.has_value());
  store->write({&text, 1});
  EXPECT_EQ(docs->snapshot()->spec->id_kind, IdKind::kString);
  for (const bool sealed : {false, true}) {
    if (sealed) store->seal();
    reopen();
    EXPECT_EQ(docs->snapshot()->spec->id_kind, IdKind::kString);
    EXPECT_THROW(upsert(*store, batch_of(1, 0, 1)), std::invalid_argument);
    EXPECT_TRUE(docs->snapshot()->records->find("a").found());
  }
}

TEST_F(StoreTest, AFullLogSealsItself) {
  store->close();
  store = open_store(fs, {.log_limit = 2000});
  Rows expected;
  for (int batch = 0; batch < 30; ++batch) {
    upsert(*store, batch_of(batch, batch * 2, 4));
    for (const auto& [id, row] : batch_of(batch, batch * 2, 4)) expected[id] = row;
  }
  EXPECT_GT(store->stats().collections[0].record_segments, 1u);
  EXPECT_LT(store->stats().log_bytes, 3000u);
  EXPECT_EQ(rows_in(*store), expected);
  while (store->maintain(1)) {
  }
  EXPECT_LE(store->stats().collections[0].record_segments, 4u);
  EXPECT_EQ(rows_in(*store), expected);
  store->optimize("docs", 1);
  const StoreStats::OfCollection stats = store->stats().collections[0];
  EXPECT_EQ(stats.record_segments, 1u);
  EXPECT_EQ(stats.vector_segments, 1u);
  EXPECT_EQ(stats.dead_records + stats.dead_vectors, 0u);
  EXPECT_EQ(rows_in(*store), expected);
  store->verify();
  reopen();
  EXPECT_EQ(rows_in(*store), expected);
}

TEST_F(StoreTest, ClosingALargeHeadSealsIt) {
  upsert(*store, batch_of(1, 0, 1200));
  reopen();
  EXPECT_EQ(store->stats().collections[0].head_records, 0u);
  EXPECT_EQ(store->recovery().frames_replayed, 0u);
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 1200));
}

TEST_F(StoreTest, AFileNumberIsNeverUsedAgain) {
  const auto numbers = [&] {
    std::set<std::string> names;
    for (const char* folder : {"/files", "/log"}) {
      for (const std::string& name : fs.list(std::string(kPath) + folder)) names.insert(name.substr(0, 16));
    }
    return names;
  };
  upsert(*store, batch_of(1, 0, 3));
  store->seal();
  store->optimize("docs", 1);
  std::set<std::string> before = numbers();
  for (int round = 0; round < 3; ++round) {
    store->drop_collection("docs");  // with the files of the highest numbers
    store->close();
    store = open_store(fs);
    docs = store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(round, 0, 3));
    store->seal();
    store->optimize("docs", 1);
    store->cleanup(0);
    const std::set<std::string> now = numbers();
    EXPECT_GT(*now.begin(), *before.rbegin()) << "round " << round;
    before = now;
  }
}

TEST_F(StoreTest, ClosedMeansClosed) {
  upsert(*store, batch_of(1, 0, 3));
  const auto snapshot = docs->snapshot();
  store->close();
  store->close();
  EXPECT_THROW(upsert(*store, batch_of(1, 0, 3)), ClosedError);
  EXPECT_THROW(store->collection("docs"), ClosedError);
  EXPECT_THROW(store->seal(), ClosedError);
  EXPECT_THROW(store->sync(), ClosedError);
  EXPECT_THROW(store->stats(), ClosedError);
  EXPECT_EQ(rows_of(*snapshot), batch_of(1, 0, 3));
}

TEST_F(StoreTest, OneWriterAtATime) {
  try {
    open_store(fs);
    FAIL() << "two writers";
  } catch (const LockedError& e) {
    EXPECT_GT(e.pid, 0);
  }
  store->close();
  EXPECT_NO_THROW(open_store(fs)->close());
}

TEST_F(StoreTest, NoStoreIsNotFound) {
  EXPECT_THROW(Store::open(fs, "/none", {}, kToyHasher, kToyCodec), NotFoundError);
  EXPECT_THROW(Store::open(fs, "/none", {.create = true, .read_only = true}, kToyHasher, kToyCodec), NotFoundError);
  fs.make_directory("/other");
  EXPECT_THROW(Store::open(fs, "/other", {}, kToyHasher, kToyCodec), NotFoundError);
  fs.create("/other/thing");
  EXPECT_THROW(Store::open(fs, "/other", {.create = true}, kToyHasher, kToyCodec), std::invalid_argument);
  EXPECT_TRUE(fs.list("/other").size() == 1);
}

TEST_F(StoreTest, TextIdsAndBits) {
  CollectionSpec spec = toy_spec();
  spec.vectors.dim = 16;
  spec.vectors.metric = Metric::kHamming;
  spec.vectors.dtype = DType::kBits;
  spec.vectors.codes = CodeKind::kNone;
  store->create_collection("texts", spec);
  const std::vector<std::string_view> ids = {"b", "a", "long id of a text kind"};
  const std::vector<uint8_t> bits = {1, 2, 3, 4, 5, 6};
  const std::vector<ContentHash> hashes(3);
  const std::vector<VectorFate> fates(3, VectorFate::kGiven);
  WriteOp op;
  op.collection = "texts";
  op.ids.kind = IdKind::kString;
  op.ids.strings = ids;
  op.columns = ToyCodec::encode({"1", "2", "3"});
  op.content_hash = hashes;
  op.fates = fates;
  op.vectors = reinterpret_cast<const float*>(bits.data());
  op.fingerprint = spec.fingerprint;
  op.scope = "crawler";
  EXPECT_EQ(store->write({&op, 1})[0].added, 3u);
  const auto check = [&] {
    const auto snapshot = store->collection("texts")->snapshot();
    for (size_t i = 0; i < ids.size(); ++i) {
      const RecordRef where = snapshot->records->find(ids[i]);
      ASSERT_TRUE(where.found()) << ids[i];
      EXPECT_EQ(snapshot->records->fields_at(where).scope, "crawler");
      View::RowRef row;
      ASSERT_TRUE(snapshot->vectors->find(snapshot->records->fields_at(where).rid, &row));
      std::array<std::byte, 2> vector{};
      snapshot->vectors->vector_at(row, vector.data());
      EXPECT_EQ(std::to_integer<uint8_t>(vector[0]), bits[2 * i]);
    }
    store->verify();
  };
  check();
  crash();
  check();
  store->seal();
  check();
  store->optimize("texts", 1);
  check();
  reopen();
  check();
}

TEST_F(StoreTest, WritersAreServedTogetherAndNoneIsLost) {
  constexpr int kThreads = 4;
  constexpr int kBatches = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int batch = 0; batch < kBatches; ++batch) upsert(*store, batch_of(t, t * 1000 + batch * 4, 4));
    });
  }
  std::thread upkeep([&] {
    for (int i = 0; i < 3; ++i) {
      store->seal();
      store->optimize("docs", 1);
    }
  });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(docs->snapshot()->records->live % 4, 0u);
  for (std::thread& thread : threads) thread.join();
  upkeep.join();
  Rows expected;
  for (int t = 0; t < kThreads; ++t) expected.merge(batch_of(t, t * 1000, 4 * kBatches));
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(store->version(), 1u + kThreads * kBatches);
  crash();
  EXPECT_EQ(rows_in(*store), expected);
  store->verify();
}

// Keeps the greatest number of slices that a block was made of.
struct SliceCountingCodec final : RecordCodec {
  void check(Bytes block, uint32_t rows) const override { kToyCodec.check(block, rows); }
  std::vector<std::byte> concat_take(std::span<const Slice> slices) const override {
    most = std::max(most, slices.size());
    return kToyCodec.concat_take(slices);
  }
  mutable size_t most = 0;
};

// A codec decodes the whole of a block to get at any row of it.
TEST(MergeTest, RowsUpdatedHereAndThereAreTakenFromEachBlockOnce) {
  MemoryFileSystem fs;
  const SliceCountingCodec codec;
  const auto store = Store::open(fs, kPath, {.create = true}, kToyHasher, codec);
  store->create_collection("docs", toy_spec());
  Rows expected = batch_of(1, 0, 60);
  upsert(*store, expected);
  store->seal();
  Rows updated;
  for (int64_t id = 0; id < 60; id += 3) updated.merge(batch_of(2, id, 1));
  upsert(*store, updated);
  store->seal();
  store->optimize("docs", 1);
  for (const auto& [id, row] : updated) expected[id] = row;
  EXPECT_EQ(store->stats().collections[0].record_segments, 1U);
  EXPECT_EQ(rows_in(*store), expected);
  EXPECT_EQ(codec.most, 2U);
}

TEST(MergeTest, WhatHappensMeanwhileIsCarriedOver) {
  for (const bool seal_too : {false, true}) {
    MemoryFileSystem fs;
    const InterruptedCodec codec;
    const auto store = Store::open(fs, kPath, {.create = true}, kToyHasher, codec);
    store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(1, 0, 20));
    store->seal();
    upsert(*store, batch_of(2, 15, 20));
    write(*store, Op::erase({1, 30}));
    store->seal();
    Rows expected = batch_of(2, 15, 20);
    expected.merge(batch_of(1, 0, 20));
    codec.interruption = [&] {  // the merge has looked at what there is
      write(*store, Op::erase({2, 31}));
      upsert(*store, batch_of(3, 3, 2));
      write(*store, Op(Verb::kUpdate, {{16, {"kept", std::nullopt}}}).keep_vectors());
      if (seal_too) store->seal();
      upsert(*store, batch_of(4, 2, 1));
    };
    for (const int64_t id : {1, 30, 2, 31}) expected.erase(id);
    for (const auto& [id, row] : batch_of(3, 3, 2)) expected[id] = row;
    expected[16].text = "kept";
    expected[2] = batch_of(4, 2, 1).at(2);
    store->optimize("docs", 1);
    EXPECT_FALSE(codec.interruption);
    EXPECT_EQ(rows_in(*store), expected);
    EXPECT_EQ(store->stats().collections[0].vector_segments, seal_too ? 2u : 1u);
    EXPECT_EQ(store->stats().collections[0].record_segments, seal_too ? 2u : 1u);
    store->verify();
    EXPECT_EQ(rows_in(*open_reader(fs)), expected);
    const auto survivor = fs.after_power_cut(0);
    const auto recovered = open_store(*survivor);
    EXPECT_EQ(rows_in(*recovered), expected);
    recovered->verify();
    recovered->optimize("docs", 1);
    EXPECT_EQ(rows_in(*recovered), expected);
  }
}

TEST(MergeTest, ACollectionDroppedMeanwhileStaysDropped) {
  MemoryFileSystem fs;
  const InterruptedCodec codec;
  const auto store = Store::open(fs, kPath, {.create = true}, kToyHasher, codec);
  store->create_collection("docs", toy_spec());
  for (int batch = 0; batch < 2; ++batch) {
    upsert(*store, batch_of(batch, 0, 5));
    store->seal();
  }
  codec.interruption = [&] { store->drop_collection("docs"); };
  EXPECT_THROW(store->optimize("docs", 1), NotFoundError);
  EXPECT_TRUE(store->collections().empty());
  store->create_collection("docs", toy_spec());
  store->verify();  // and no file of the merge is left
}

}  // namespace
}  // namespace lamina
