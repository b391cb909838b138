// Goal: a narrowed snapshot is the snapshot that there would be if the rows that fail had been deleted, in all that it
// answers and in both generations. Method: predicates on ids, over heads, several segments, replaced and owed and stale
// rows, before and after seals, merges and reopens; compared with a toy model.
#include "store/narrow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "base/random.h"
#include "store/generation.h"
#include "store/record_head.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

std::set<int64_t> found_by_search(const View& view) {
  const std::vector<float> query{1, 1, 2, 0};
  std::vector<Hit> hits(1000);
  const size_t count = view.search(query.data(), {.k = 1000, .exact = true}, hits.data());
  std::set<int64_t> ids;
  for (size_t i = 0; i < count; ++i) ids.insert(hits[i].id);
  EXPECT_EQ(ids.size(), count);
  EXPECT_EQ(count, view.live);
  return ids;
}

Rows those(Rows rows, const Passes& passes) {
  std::erase_if(rows, [&](const auto& row) { return !passes(row.first); });
  return rows;
}

std::set<int64_t> with_vector(const Rows& rows) {
  std::set<int64_t> ids;
  for (const auto& [id, row] : rows) {
    if (row.vector) ids.insert(id);
  }
  return ids;
}

const std::vector<Passes> kPredicates = {
    [](int64_t) { return true; },
    [](int64_t) { return false; },
    [](int64_t id) { return id % 2 == 0; },
    [](int64_t id) { return id % 17 == 3; },
    [](int64_t id) { return id % 17 != 3; },
    [](int64_t id) { return id < 40; },
    [](int64_t id) { return id == 65; },
};

class NarrowTest : public testing::Test {
 protected:
  void SetUp() override {
    store = make_store(fs);
    store->create_collection("docs", toy_spec());
  }

  // Segments, a head, rows that moved between them, dead ones and owed ones.
  void fill() {
    for (int batch = 0; batch < 3; ++batch) {
      upsert(*store, batch_of(batch, batch * 30, 40));
      store->seal();
    }
    write(*store, Op::erase({3, 20, 50, 89}));
    Rows moved = batch_of(8, 10, 8);
    write(*store, Op(Verb::kUpdate, moved).keep_vectors());  // records in the head, vectors in segments
    upsert(*store, {{200, {"owed", {}}}, {203, {"owed", {}}}, {30, {"owed now", {}}}});
    upsert(*store, batch_of(9, 64, 10));
  }

  void expect_narrowed(const Snapshot& snapshot) {
    const Rows all = rows_of(snapshot);
    const std::set<int64_t> searched = found_by_search(*snapshot.vectors);
    for (size_t i = 0; i < kPredicates.size(); ++i) {
      const Passes& passes = kPredicates[i];
      const auto narrow = narrowed(snapshot, passes);
      EXPECT_EQ(narrow->version, snapshot.version);
      EXPECT_FALSE(narrow->vectors.is_made());
      EXPECT_EQ(rows_of(*narrow), those(all, passes)) << "predicate " << i;
      EXPECT_EQ(found_by_search(*narrow->vectors), with_vector(those(all, passes))) << "predicate " << i;
      EXPECT_EQ(narrow->records->live, those(all, passes).size());
      for (const auto& [id, row] : all) EXPECT_EQ(narrow->records->find(id).found(), passes(id));
    }
    EXPECT_EQ(rows_of(snapshot), all) << "the snapshot itself has changed";
    EXPECT_EQ(found_by_search(*snapshot.vectors), searched);
  }

  MemoryFileSystem fs;
  std::shared_ptr<Store> store;
};

TEST_F(NarrowTest, IsWhatDeletionOfTheRestWouldLeave) {
  expect_narrowed(*store->collection("docs")->snapshot());
  fill();
  expect_narrowed(*store->collection("docs")->snapshot());
  expect_narrowed(*open_reader(fs)->collection("docs")->snapshot());
  store->seal();
  expect_narrowed(*store->collection("docs")->snapshot());
  store->optimize("docs", 1);
  expect_narrowed(*store->collection("docs")->snapshot());
  store->close();
  store = open_store(fs);
  expect_narrowed(*store->collection("docs")->snapshot());
}

TEST_F(NarrowTest, ANarrowedSnapshotCanBeNarrowedAgain) {
  fill();
  const auto snapshot = store->collection("docs")->snapshot();
  const auto once = narrowed(*snapshot, kPredicates[2]);
  const auto twice = narrowed(*once, kPredicates[5]);
  EXPECT_EQ(rows_of(*twice), those(those(rows_of(*snapshot), kPredicates[2]), kPredicates[5]));
  EXPECT_EQ(found_by_search(*twice->vectors), with_vector(rows_of(*twice)));
}

TEST_F(NarrowTest, VectorsAreLookedThroughOnceHoweverManyAsk) {
  fill();
  const auto narrow = narrowed(*store->collection("docs")->snapshot(), kPredicates[2]);
  const LazyView copy = narrow->vectors;
  std::array<const View*, 8> seen;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < seen.size(); ++i) {
    threads.emplace_back([&, i] { seen[i] = i % 2 == 0 ? &*narrow->vectors : &*copy; });
  }
  for (std::thread& thread : threads) thread.join();
  for (const View* view : seen) EXPECT_EQ(view, seen[0]);
  EXPECT_TRUE(copy.is_made());
  EXPECT_EQ(found_by_search(*seen[0]), with_vector(rows_of(*narrow)));
}

TEST_F(NarrowTest, OwedAndStaleAreCountedOfThosePassing) {
  fill();
  store->begin_migration("docs", [] {
    CollectionSpec next = toy_spec(2);
    next.vectors.dim = 3;
    return next;
  }());
  const auto fill_other = [&](const std::vector<int64_t>& ids) {
    const auto snapshot = store->collection("docs")->snapshot();
    std::vector<ContentHash> basis;
    for (const int64_t id : ids) {
      basis.push_back(basis_of(snapshot->records->fields_at(snapshot->records->find(id)), *snapshot->served));
    }
    const std::vector<float> vectors(ids.size() * 3, 1.F);
    WriteOp op;
    op.collection = "docs";
    op.verb = Verb::kBackfill;
    op.ids.ints = ids;
    op.content_hash = basis;
    op.vectors = vectors.data();
    op.fingerprint.fill(2);
    store->write(std::span(&op, 1));
  };
  fill_other({0, 1, 2, 4, 5, 64, 66});
  store->seal();
  upsert(*store, batch_of(30, 4, 2));  // stale there
  fill_other({68, 70});
  const auto snapshot = store->collection("docs")->snapshot();
  const Passes even = kPredicates[2];
  const auto narrow = narrowed(*snapshot, even);
  ASSERT_TRUE(narrow->other);
  EXPECT_EQ(rows_of(*narrow->other).size(), narrow->records->live);
  EXPECT_EQ(found_by_search(*narrow->other->vectors).size(), 7U) << "0, 2, 4, 64, 66, 68 and 70";
  EXPECT_EQ(count_missing(*narrow->other).stale, 1U);
  EXPECT_EQ(count_missing(*narrow->other).owed, narrow->records->live - 7);
  EXPECT_EQ(count_missing(*narrow).owed, 2U) << "30 and 200";
  EXPECT_EQ(rows_of(*narrowed(*snapshot->other, even)), rows_of(*narrow->other));
}

TEST_F(NarrowTest, AgreesWithAToyModelWhateverWasDone) {
  Random random(11);
  Rows toy;
  for (int round = 0; round < 60; ++round) {
    Rows batch;
    for (uint64_t i = random.uniform(12); i-- > 0;) {
      const auto id = static_cast<int64_t>(random.uniform(120));
      batch[id] = {"round " + std::to_string(round), {}};
      if (random.uniform(4) != 0) batch[id].vector = static_cast<float>(round);
    }
    if (round % 3 == 0) {
      std::vector<int64_t> ids;
      for (const auto& [id, row] : batch) ids.push_back(id);
      write(*store, Op::erase(ids));
      for (const int64_t id : ids) toy.erase(id);
    } else if (!batch.empty()) {
      upsert(*store, batch);
      for (const auto& [id, row] : batch) toy[id] = row;
    }
    if (round % 11 == 5) store->seal();
    if (round == 40) store->optimize("docs", 1);
    const uint64_t modulus = 2 + random.uniform(9);
    const Passes passes = [&](int64_t id) { return static_cast<uint64_t>(id) % modulus == 0; };
    const auto narrow = narrowed(*store->collection("docs")->snapshot(), passes);
    ASSERT_EQ(rows_of(*narrow), those(toy, passes)) << "round " << round;
    ASSERT_EQ(found_by_search(*narrow->vectors), with_vector(those(toy, passes))) << "round " << round;
  }
}

TEST(NarrowedViews, RidsMayLieFarApart) {
  const std::vector<int64_t> ids{0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<uint64_t> rids{3, 4, uint64_t{1} << 30, uint64_t{1} << 40, 9, uint64_t{1} << 63, ~uint64_t{0}, 70};
  std::vector<RecordFields> fields;
  for (const uint64_t rid : rids) fields.push_back({.rid = rid});
  RecordSet records(IdKind::kInt, {});
  records.put({{IdKind::kInt, ids, {}}, fields, {}});
  VectorSet vectors(toy_spec().vectors);
  const std::vector<float> rows(ids.size() * kDim, 1.F);
  vectors.add({.count = ids.size(), .vectors = rows.data(), .rids = rids.data(), .ids = ids.data()}, 1);
  Snapshot snapshot;
  snapshot.records = records.view();
  snapshot.vectors = snapshot.served = vectors.view();
  for (const Passes& passes : kPredicates) {
    std::set<int64_t> expected(ids.begin(), ids.end());
    std::erase_if(expected, [&](int64_t id) { return !passes(id); });
    EXPECT_EQ(found_by_search(*narrowed(snapshot, passes)->vectors), expected);
  }
}

TEST_F(NarrowTest, DamagedRidsAreCorruption) {
  upsert(*store, batch_of(1, 500, 40));
  store->seal();
  store->close();
  const std::vector<uint64_t> rids{10, 11, 12, 13};
  std::vector<std::string> damaged = files_with(fs, {std::as_bytes(std::span(rids))});
  std::erase_if(damaged, [](const std::string& name) { return !name.ends_with(".rec") && !name.ends_with(".vec"); });
  ASSERT_EQ(damaged.size(), 2U);
  for (const std::string& name : damaged) {
    const std::string path = std::string(kPath) + "/files/" + name;
    const auto file = fs.open(path);
    std::vector<std::byte> sound(file->size());
    file->read_at(0, sound);
    std::vector<std::byte> bytes = sound;
    const Bytes wanted = std::as_bytes(std::span(rids));
    *std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()) ^= std::byte{1};
    const auto put = [&](Bytes content) {
      fs.remove(path);
      fs.create(path)->append(content);
    };
    put(bytes);
    {
      const auto reader = open_reader(fs);
      const auto snapshot = reader->collection("docs")->snapshot();
      std::vector<Bitmap> failing{Bitmap(40).with(std::vector<uint32_t>{1, 2}), Bitmap()};
      const auto narrow = lamina::narrow(*snapshot, failing);
      EXPECT_EQ(narrow->records->live, 38U);
      EXPECT_THROW(*narrow->vectors, CorruptionError) << name;
      EXPECT_THROW(*narrow->vectors, CorruptionError) << name << ", the next time";
    }
    put(sound);
  }
}

TEST_F(NarrowTest, BitmapsThatDoNotFitAreRefused) {
  fill();
  const auto snapshot = store->collection("docs")->snapshot();
  std::vector<Bitmap> failing = failing_rows(*snapshot->records, kPredicates[2]);
  std::vector<Bitmap> fewer(failing.begin(), failing.end() - 1);
  EXPECT_THROW(narrow(*snapshot, fewer), std::invalid_argument);
  failing[1] = Bitmap(failing[1].size() + 1);
  EXPECT_THROW(narrow(*snapshot, failing), std::invalid_argument);
}

TEST_F(NarrowTest, ABranchMayBeginWithThosePassing) {
  fill();
  const auto snapshot = store->collection("docs")->snapshot();
  const Rows all = rows_of(*snapshot);
  const auto only = narrowed(*snapshot, kPredicates[2]);
  store->branch("docs", "even", {}, only.get());
  const auto expect_branch = [&](Store& in) {
    const auto branch = in.collection("even")->snapshot();
    EXPECT_EQ(rows_of(*branch), those(all, kPredicates[2]));
    EXPECT_EQ(found_by_search(*branch->vectors), with_vector(rows_of(*branch)));
    EXPECT_EQ(rows_in(in), all);
  };
  expect_branch(*store);
  expect_branch(*open_reader(fs));
  store->verify();
  write(*store, Op(Verb::kUpsert, {{1, {"back", 4.F}}}, "even"));
  EXPECT_EQ(rows_in(*store, "even").size(), those(all, kPredicates[2]).size() + 1);
  store->optimize("even", 1);
  EXPECT_EQ(rows_in(*store, "even").size(), those(all, kPredicates[2]).size() + 1);
  store->close();
  store = open_store(fs);
  EXPECT_EQ(rows_in(*store), all);
  EXPECT_EQ(rows_in(*store, "even").size(), those(all, kPredicates[2]).size() + 1);
}

TEST_F(NarrowTest, ABranchOfAnotherVersionIsRefusedAndLeavesNothing) {
  fill();
  const auto only = narrowed(*store->collection("docs")->snapshot(), kPredicates[2]);
  upsert(*store, batch_of(9, 300, 2));
  EXPECT_THROW(store->branch("docs", "even", {}, only.get()), ConflictError);
  EXPECT_EQ(store->collections(), std::vector<std::string>{"docs"});
  const uint64_t before = only->version;
  store->branch("docs", "even", {.version = before}, only.get());
  EXPECT_EQ(rows_in(*store, "even"), rows_of(*only));
}

}  // namespace
}  // namespace lamina
