// Goal: two generations over the same records; each vector is of the text that its record has, or counted as stale;
// which one is served changes in one step or not at all; nothing of a migration outlives its end. Method: two toy
// models of different dimensions; every step is looked at live, by a reader, after a seal, a merge, a reopen and a
// power cut.
#include "store/generation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <tuple>
#include <utility>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

constexpr uint32_t kNewDim = 3;

CollectionSpec next_spec(uint8_t model = 2) {
  CollectionSpec spec;
  spec.vectors.dim = kNewDim;
  spec.vectors.metric = Metric::kCosine;
  spec.fingerprint.fill(model);
  spec.model = "next";
  spec.migration.note = "begun";
  return spec;
}

ContentHash hash_of(const std::string& text) {
  ContentHash hash{};
  std::memcpy(hash.data(), text.data(), std::min(hash.size(), text.size()));
  return hash;
}

// Vectors of the second model for rows that are there with these texts.
struct Fill {
  std::vector<int64_t> ids;
  std::vector<ContentHash> basis;
  std::vector<float> vectors;

  explicit Fill(const Rows& rows) {
    for (const auto& [id, row] : rows) add(id, hash_of(row.text), row.vector.value_or(0));
  }
  void add(int64_t id, const ContentHash& made_from, float first) {
    ids.push_back(id);
    basis.push_back(made_from);
    vectors.insert(vectors.end(), {first, 5, 6});
  }
  WriteOp get(uint8_t model = 2) const {
    WriteOp op;
    op.collection = "docs";
    op.verb = Verb::kBackfill;
    op.ids.ints = ids;
    op.content_hash = basis;
    op.vectors = vectors.data();
    op.fingerprint.fill(model);
    return op;
  }
};

uint64_t fill(Store& store, const Rows& rows) {
  const Fill given(rows);
  const WriteOp op = given.get();
  return store.write(std::span(&op, 1))[0].updated;
}

// As rows_of, of the second generation.
Rows other_rows(const Store& store) { return rows_of(*store.collection("docs")->snapshot()->other); }

Exchange to(uint8_t model, bool allow_missing = false) {
  Exchange exchange;
  exchange.incoming.fill(model);
  exchange.allow_missing = allow_missing;
  exchange.note = "served";
  return exchange;
}

Op by_next_model(const Rows& rows) {
  Op op(Verb::kUpsert, rows);
  op.vectors().clear();
  for (const auto& [id, row] : rows) op.vectors().insert(op.vectors().end(), {row.vector.value(), 5, 6});
  op.raw().fingerprint.fill(2);
  return op;
}

class MigrationTest : public testing::Test {
 protected:
  MigrationTest() : store(make_store(fs)) { store->create_collection("docs", toy_spec()); }

  MissingCounts missing() const { return count_missing(*store->collection("docs")->snapshot()->other); }
  void expect_missing(uint64_t owed, uint64_t stale) const {
    EXPECT_EQ(missing().owed, owed);
    EXPECT_EQ(missing().stale, stale);
  }
  void migrate_whole() {
    upsert(*store, batch_of(1, 0, 8));
    store->begin_migration("docs", next_spec());
    ASSERT_EQ(fill(*store, batch_of(1, 0, 8)), 8U);
    store->exchange("docs", to(2));
  }
  // The same rows and the same state, whoever looks and whatever was sealed, merged or cut off.
  void expect_everywhere(const std::function<void(Store&)>& look) {
    look(*store);
    look(*open_reader(fs));
    look(*open_store(*fs.after_power_cut(7)));
    store->seal();
    look(*store);
    store->verify();
    store->optimize("docs", 1);
    look(*store);
    store->verify();
    store->close();
    look(*open_reader(fs));
    store = open_store(fs);
    look(*store);
    store->verify();
  }

  MemoryFileSystem fs;
  std::shared_ptr<Store> store;
};

TEST_F(MigrationTest, ASecondGenerationIsFilledBesideTheServedOne) {
  upsert(*store, batch_of(1, 0, 8));
  const Rows before = rows_in(*store);
  store->begin_migration("docs", next_spec());
  expect_missing(8, 0);
  EXPECT_EQ(fill(*store, batch_of(1, 0, 5)), 5U);
  expect_missing(3, 0);
  expect_everywhere([&](Store& in) {
    const auto snapshot = in.collection("docs")->snapshot();
    EXPECT_EQ(rows_of(*snapshot), before);
    EXPECT_EQ(snapshot->spec->migration.stage, MigrationStage::kBackfill);
    EXPECT_EQ(snapshot->spec->migration.note, "begun");
    ASSERT_TRUE(snapshot->other);
    EXPECT_EQ(snapshot->other->spec->vectors.dim, kNewDim);
    EXPECT_EQ(snapshot->other->spec->model, "next");
    Rows expected = batch_of(1, 0, 8);
    for (const int64_t id : {5, 6, 7}) expected[id].vector.reset();
    EXPECT_EQ(other_rows(in), expected);
    EXPECT_EQ(in.stats().collections[0].other_owed, 3U);
    EXPECT_EQ(in.stats().collections[0].other_vectors, 5U);
  });
}

TEST_F(MigrationTest, WritesInTheWindowMakeRecordsOwedOrStale) {
  upsert(*store, batch_of(1, 0, 8));
  store->begin_migration("docs", next_spec());
  fill(*store, batch_of(1, 0, 8));
  store->seal();
  upsert(*store, batch_of(2, 2, 3));   // other texts
  upsert(*store, batch_of(2, 20, 2));  // new
  write(*store, Op::erase({0, 1}));
  upsert(*store, batch_of(1, 7, 1));  // the same text again
  expect_missing(2, 3);
  expect_everywhere([&](Store& in) {
    const MissingCounts found = count_missing(*in.collection("docs")->snapshot()->other);
    EXPECT_EQ(found.owed, 2U);
    EXPECT_EQ(found.stale, 3U);
    EXPECT_FALSE(other_rows(in).contains(0));
  });
  EXPECT_EQ(fill(*store, batch_of(2, 2, 3)), 3U);
  EXPECT_EQ(fill(*store, batch_of(2, 20, 2)), 2U);
  expect_missing(0, 0);
}

TEST_F(MigrationTest, AVectorOfWhatARecordNoLongerIsIsNeverStored) {
  upsert(*store, batch_of(1, 0, 4));
  store->begin_migration("docs", next_spec());
  const Fill embedded(batch_of(1, 0, 4));
  upsert(*store, batch_of(2, 1, 1));  // changed between embedding and commit
  write(*store, Op::erase({2}));      // gone
  write(*store, Op::erase({3}));      // gone, and another record has the id
  upsert(*store, batch_of(3, 3, 1));
  const WriteOp op = embedded.get();
  const uint64_t version = store->version();
  EXPECT_EQ(store->write(std::span(&op, 1))[0].updated, 1U);
  EXPECT_EQ(store->version(), version + 1);
  expect_missing(2, 0);
  EXPECT_EQ(store->write(std::span(&op, 1))[0].updated, 1U);
  EXPECT_EQ(fill(*store, {{2, {"text 2 of 1", 1.F}}}), 0U);
  EXPECT_EQ(store->version(), version + 2) << "nothing to write, no version";
}

TEST_F(MigrationTest, ARecordWithoutContentGoesByTheWriteOfItsVector) {
  upsert(*store, {{1, {"", 1.F}}, {2, {"", 1.F}}, {3, {"", {}}}});
  store->begin_migration("docs", next_spec());
  const auto basis_now = [&](int64_t id) {
    const auto snapshot = store->collection("docs")->snapshot();
    return basis_of(snapshot->records->fields_at(snapshot->records->find(id)), *snapshot->served);
  };
  Fill given({});
  for (const int64_t id : {1, 2, 3}) given.add(id, basis_now(id), 9);
  const WriteOp op = given.get();
  EXPECT_EQ(store->write(std::span(&op, 1))[0].updated, 3U);
  expect_missing(0, 0);
  write(*store, Op(Verb::kUpdate, {{2, {"", {}}}}).keep_vectors());  // metadata alone
  expect_missing(0, 0);
  upsert(*store, {{1, {"", 2.F}}});  // another vector
  expect_missing(0, 1);
  EXPECT_EQ(store->write(std::span(&op, 1))[0].updated, 2U) << "that of 1 is of the vector before";
  upsert(*store, {{2, {"", {}}}});  // neither content nor vector
  expect_missing(1, 1);
  EXPECT_EQ(count_missing(*store->collection("docs")->snapshot()).stale, 0U);
}

TEST_F(MigrationTest, CutOverNeedsNothingOwedOrStaleAndIsOneStep) {
  upsert(*store, batch_of(1, 0, 8));
  store->begin_migration("docs", next_spec());
  fill(*store, batch_of(1, 0, 7));
  EXPECT_THROW(store->exchange("docs", to(2)), MigrationStateError);
  EXPECT_THROW(store->exchange("docs", to(3)), MigrationStateError);
  const auto held = store->collection("docs")->snapshot();
  fill(*store, batch_of(1, 7, 1));
  const uint64_t version = store->exchange("docs", to(2));
  EXPECT_EQ(store->collection("docs")->snapshot()->version, version);
  EXPECT_EQ(held->spec->vectors.dim, kDim) << "who reads an older snapshot goes on with its model";
  expect_everywhere([&](Store& in) {
    const auto snapshot = in.collection("docs")->snapshot();
    EXPECT_EQ(snapshot->spec->vectors.dim, kNewDim);
    EXPECT_EQ(snapshot->spec->migration.stage, MigrationStage::kCutOver);
    EXPECT_EQ(snapshot->spec->migration.cut_overs, 1U);
    EXPECT_EQ(rows_of(*snapshot), batch_of(1, 0, 8));
    EXPECT_EQ(snapshot->other->spec->vectors.dim, kDim);
  });
  EXPECT_THROW(upsert(*store, batch_of(2, 0, 1)), ModelMismatchError);
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 8));
}

TEST_F(MigrationTest, WhatIsExemptMayBeMissing) {
  upsert(*store, batch_of(1, 0, 4));
  store->begin_migration("docs", next_spec());
  fill(*store, batch_of(1, 0, 4));
  upsert(*store, batch_of(2, 2, 2));  // stale there
  Exchange exchange = to(2);
  const std::vector<int64_t> some = {2}, all = {2, 3};
  exchange.exempt.ints = some;
  EXPECT_THROW(store->exchange("docs", exchange), MigrationStateError);
  exchange.exempt.ints = all;
  store->exchange("docs", exchange);
  const MissingCounts found = count_missing(*store->collection("docs")->snapshot());
  EXPECT_EQ(found.owed, 2U) << "a vector of another text is not served";
  EXPECT_EQ(found.stale, 0U);
}

TEST_F(MigrationTest, RollbackServesWhatWasServedBefore) {
  migrate_whole();
  store->exchange("docs", to(1));
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 8));
  EXPECT_EQ(store->collection("docs")->snapshot()->spec->vectors.dim, kDim);
  store->exchange("docs", to(2));
  write(*store, by_next_model(batch_of(2, 2, 3)));
  write(*store, by_next_model(batch_of(2, 30, 2)));
  EXPECT_THROW(store->exchange("docs", to(1)), MigrationStateError);
  store->exchange("docs", to(1, true));
  Rows expected = batch_of(1, 0, 8);
  for (const int64_t id : {2, 3, 4, 30, 31}) expected[id] = {batch_of(2, id, 1)[id].text, {}};
  expect_everywhere([&](Store& in) { EXPECT_EQ(rows_in(in), expected); });
}

TEST_F(MigrationTest, FinalizeAndAbortLeaveOneGeneration) {
  migrate_whole();
  EXPECT_THROW(store->end_migration("docs", MigrationStage::kBackfill), MigrationStateError);
  store->end_migration("docs", MigrationStage::kCutOver);
  expect_everywhere([&](Store& in) {
    const auto snapshot = in.collection("docs")->snapshot();
    EXPECT_FALSE(snapshot->other);
    EXPECT_EQ(snapshot->spec->migration.cut_overs, 1U);
    EXPECT_EQ(rows_of(*snapshot), batch_of(1, 0, 8));
  });
  EXPECT_THROW(store->exchange("docs", to(1)), MigrationStateError);
  store->begin_migration("docs", next_spec(3));
  EXPECT_THROW(store->begin_migration("docs", next_spec(4)), MigrationStateError);
  store->end_migration("docs", MigrationStage::kBackfill);
  EXPECT_THROW(store->begin_migration("docs", next_spec(2)), MigrationStateError) << "that one is served";
  EXPECT_THROW(store->note_migration("docs", "nothing to note"), MigrationStateError);
}

TEST_F(MigrationTest, NothingOfAnEndedMigrationStaysOnTheDisk) {
  store = nullptr;
  store = open_store(fs, {.keep_versions_us = 0});
  upsert(*store, batch_of(1, 0, 8));
  store->optimize("docs", 1);
  const uint64_t before = store->stats().vector_bytes;
  store->begin_migration("docs", next_spec());
  fill(*store, batch_of(1, 0, 8));
  store->seal();
  EXPECT_GT(store->stats().vector_bytes, before);
  store->end_migration("docs", MigrationStage::kBackfill);
  store->cleanup(0);
  EXPECT_EQ(store->stats().vector_bytes, before);
  EXPECT_EQ(store->stats().history_bytes, 0U);
  store->verify();
}

TEST_F(MigrationTest, AVectorInTheLogOutlivesAMergeThatLeftItsRecordOut) {
  for (int batch = 0; batch < 4; ++batch) {
    upsert(*store, batch_of(1, 4 * batch, 4));
    store->seal();
  }
  store->begin_migration("docs", next_spec());
  fill(*store, batch_of(1, 0, 16));
  write(*store, Op::erase({3}));
  write(*store, Op(Verb::kUpdate, batch_of(1, 4, 1)).keep_vectors());
  while (store->maintain(1)) {
  }
  EXPECT_LT(store->collection("docs")->snapshot()->records->parts.size(), 4U);
  const auto survivor = fs.after_power_cut(7);
  const auto reopened = open_store(*survivor);
  EXPECT_EQ(other_rows(*reopened), other_rows(*store));
  EXPECT_EQ(rows_in(*reopened), rows_in(*store));
  reopened->verify();
}

TEST_F(MigrationTest, TheSecondGenerationIsOptimizedAlone) {
  for (int batch = 0; batch < 2; ++batch) {
    upsert(*store, batch_of(1, 4 * batch, 4));
    store->seal();
  }
  store->begin_migration("docs", next_spec());
  for (int batch = 0; batch < 2; ++batch) {
    fill(*store, batch_of(1, 4 * batch, 4));
    store->seal();
  }
  store->optimize("docs", 1, true);
  const auto snapshot = store->collection("docs")->snapshot();
  EXPECT_EQ(snapshot->other->vectors->parts.size(), 1U);
  EXPECT_EQ(snapshot->vectors->parts.size(), 2U);
  EXPECT_EQ(snapshot->records->parts.size(), 2U) << "no content is written again";
  expect_missing(0, 0);
}

TEST_F(MigrationTest, ARowThatIsPurgedIsInNoGeneration) {
  upsert(*store, batch_of(1, 0, 8));
  store->begin_migration("docs", next_spec());
  fill(*store, batch_of(1, 0, 8));
  store->seal();
  Ids ids;
  const std::vector<int64_t> gone = {3};
  ids.ints = gone;
  store->purge("docs", ids);
  EXPECT_FALSE(other_rows(*store).contains(3));
  EXPECT_EQ(store->collection("docs")->snapshot()->other->vectors->live, 7U);
  store->verify();
}

TEST_F(MigrationTest, ARowThatIsPurgedIsInNoLogThatFilledIt) {
  constexpr float kSecret = 271828.25F;
  upsert(*store, batch_of(1, 0, 8));
  store->begin_migration("docs", next_spec());
  Rows rows = batch_of(1, 0, 8);
  rows.at(3).vector = kSecret;
  ASSERT_EQ(fill(*store, rows), 8U);
  write(*store, Op::erase({3, 4, 5, 6, 7}));
  while (store->maintain(1)) {  // merges the record away, and leaves the log as it is
  }
  Ids ids;
  const std::vector<int64_t> gone = {3};
  ids.ints = gone;
  store->purge("docs", ids);
  EXPECT_EQ(files_with(fs, {std::as_bytes(std::span(&kSecret, 1))}), std::vector<std::string>());
  EXPECT_EQ(other_rows(*store).size(), 3U);
  store->verify();
}

TEST_F(MigrationTest, OlderVersionsKeepTheModelThatTheyHad) {
  upsert(*store, batch_of(1, 0, 4));
  const uint64_t before = store->version();
  store->begin_migration("docs", next_spec());
  EXPECT_THROW(store->rollback("docs", {.version = before}, {}), MigrationStateError);
  fill(*store, batch_of(1, 0, 4));
  store->tag("docs", "within", {});
  store->exchange("docs", to(2));
  store->end_migration("docs", MigrationStage::kCutOver);
  EXPECT_EQ(store->snapshot("docs", {.version = before})->spec->vectors.dim, kDim);
  const auto within = store->snapshot("docs", {.tag = "within"});
  EXPECT_EQ(within->spec->vectors.dim, kDim);
  EXPECT_EQ(within->other->vectors->live, 4U);
  EXPECT_THROW(store->rollback("docs", {.version = before}, {}), ModelMismatchError);
  store->rollback("docs", {.version = before}, toy_spec().fingerprint);
  EXPECT_EQ(rows_in(*store), batch_of(1, 0, 4));
  EXPECT_EQ(store->collection("docs")->snapshot()->spec->migration.cut_overs, 2U);
  store->branch("docs", "branch", {.tag = "within"});
  const auto branch = store->collection("branch")->snapshot();
  EXPECT_FALSE(branch->other) << "a migration stays with its collection";
  EXPECT_EQ(rows_of(*branch), batch_of(1, 0, 4));
  store->verify();
}

TEST_F(MigrationTest, ABackfillIsCheckedAsAWriteIs) {
  upsert(*store, batch_of(1, 0, 2));
  const auto refused = [&](const std::function<void(Fill&, WriteOp&)>& spoil) {
    Fill given(batch_of(1, 0, 2));
    WriteOp op = given.get();
    spoil(given, op);
    store->write(std::span(&op, 1));
  };
  EXPECT_THROW(refused([](Fill&, WriteOp&) {}), ModelMismatchError) << "there is no migration";
  store->begin_migration("docs", next_spec());
  EXPECT_THROW(refused([](Fill&, WriteOp& op) { op.fingerprint.fill(9); }), ModelMismatchError);
  EXPECT_THROW(refused([](Fill& given, WriteOp&) { given.vectors[4] = NAN; }), InvalidVectorError);
  EXPECT_THROW(refused([](Fill&, WriteOp& op) { op.content_hash = {}; }), std::invalid_argument);
  EXPECT_THROW(refused([](Fill&, WriteOp& op) { op.vectors = nullptr; }), std::invalid_argument);
  expect_missing(2, 0);
  EXPECT_THROW(open_reader(fs)->begin_migration("docs", next_spec()), ReadOnlyError);
}

// Each step of a migration with the power cut at each of its operations: the state before it, or behind it.
TEST(MigrationCut, EveryStepIsWholeOrNotThere) {
  const std::vector<std::function<void(Store&)>> steps = {
      [](Store& s) { s.begin_migration("docs", next_spec()); },
      [](Store& s) { fill(s, batch_of(1, 0, 4)); },
      [](Store& s) { s.note_migration("docs", "paused"); },
      [](Store& s) { s.exchange("docs", to(2)); },
      [](Store& s) { write(s, by_next_model(batch_of(2, 1, 2))); },
      [](Store& s) { s.exchange("docs", to(1, true)); },
      [](Store& s) { s.end_migration("docs", MigrationStage::kBackfill); },
  };
  const auto state_of = [](const Store& store) {
    const auto snapshot = store.collection("docs")->snapshot();
    const Rows other = snapshot->other ? rows_of(*snapshot->other) : Rows{};
    return std::tuple(rows_of(*snapshot), other, snapshot->spec->migration, snapshot->spec->fingerprint);
  };
  // The states before and behind each step.
  using State = decltype(state_of(std::declval<const Store&>()));
  std::vector<State> states;
  const auto begin = [](FileSystem& fs) {
    auto store = make_store(fs);
    store->create_collection("docs", toy_spec());
    upsert(*store, batch_of(1, 0, 4));
    return store;
  };
  {
    MemoryFileSystem fs;
    const auto store = begin(fs);
    states.push_back(state_of(*store));
    for (const auto& step : steps) {
      step(*store);
      states.push_back(state_of(*store));
    }
  }
  for (size_t at = 0; at < steps.size(); ++at) {
    uint64_t cuts = 0;
    for (bool cut = true; cut; ++cuts) {
      MemoryFileSystem fs;
      FaultFileSystem process(fs);
      const auto store = begin(process);
      for (size_t i = 0; i < at; ++i) steps[i](*store);
      process.fail({.rule = {.nth = cuts}, .sticky = true});
      try {
        steps[at](*store);
        cut = false;
      } catch (const Error&) {
      }
      const auto survivor = fs.after_power_cut(cuts);
      process.heal();
      const auto reopened = open_store(*survivor);
      const State found = state_of(*reopened);
      EXPECT_TRUE(found == states[at + 1] || (cut && found == states[at])) << "step " << at << ", cut " << cuts;
      reopened->verify();
    }
    EXPECT_GT(cuts, 1U) << "step " << at;
  }
}

}  // namespace
}  // namespace lamina
