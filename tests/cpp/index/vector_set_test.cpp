// Goal: a VectorSet shows exactly the rows that were added and not deleted, at their true distances, in every view.
// Method: seeded vectors, brute force in double, and small hand-made cases for ties, repeats, guards and replacement.
#include "index/vector_set.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "base/error.h"
#include "codes/exact.h"
#include "index/synthetic.h"

namespace lamina {
namespace {

using testing::add;
using testing::clustered;
using testing::nearest;
using testing::numbers;
using testing::search;
using testing::spec_of;

void expect_exact(const View& view, const std::vector<float>& vectors, const std::vector<uint64_t>& rids,
                  const float* query, uint32_t k) {
  const auto truth = nearest(view.spec, vectors, rids, query, k);
  const std::vector<Hit> hits = search(view, query, {.k = k, .exact = true});
  ASSERT_EQ(hits.size(), truth.size());
  for (size_t i = 0; i < hits.size(); ++i) {
    EXPECT_NEAR(hits[i].distance, truth[i].first, 1e-4 * (1 + std::abs(truth[i].first)));
    EXPECT_EQ(hits[i].id, static_cast<int64_t>(hits[i].rid));
    if (i > 0) {
      EXPECT_LE(hits[i - 1].distance, hits[i].distance);
    }
  }
}

class Metrics : public ::testing::TestWithParam<std::tuple<Metric, DType, uint32_t>> {};

TEST_P(Metrics, ExactSearchIsBruteForce) {
  const auto [metric, dtype, dim] = GetParam();
  const VectorSpec spec = spec_of(dim, metric, dtype);
  std::vector<float> vectors = clustered(503, dim, 1);
  if (dtype == DType::kF16) {
    for (float& x : vectors) x = std::round(x * 64) / 64;  // exact in float16
  }
  VectorSet set(spec);
  add(set, vectors, 0, 503);
  const std::vector<float> queries = clustered(5, dim, 2);
  for (size_t q = 0; q < 5; ++q) {
    for (const uint32_t k : {1U, 10U, 503U, 4000000000U}) {
      expect_exact(*set.view(), vectors, numbers(0, 503), &queries[q * dim], k);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Metrics,
                         ::testing::Combine(::testing::Values(Metric::kCosine, Metric::kIp, Metric::kL2),
                                            ::testing::Values(DType::kF32, DType::kF16),
                                            ::testing::Values(1U, 3U, 64U, 200U)));

TEST(VectorSet, HammingCountsBits) {
  const VectorSpec spec = spec_of(16, Metric::kHamming, DType::kBits);
  VectorSet set(spec);
  const std::vector<uint8_t> bits = {0x00, 0x00, 0xFF, 0xFF, 0x01, 0x80, 0x00, 0x01};
  const std::vector<uint64_t> rids = {0, 1, 2, 3};
  set.add({.count = 4, .vectors = bits.data(), .rids = rids.data()}, 1);
  const uint8_t query[2] = {0, 0};
  const std::vector<Hit> hits = search(*set.view(), query, {.k = 4});
  ASSERT_EQ(hits.size(), 4U);
  EXPECT_EQ(hits[0].rid, 0U);
  EXPECT_EQ(hits[1].rid, 3U);
  EXPECT_EQ(hits[2].distance, 2.0F);
  EXPECT_EQ(hits[3].distance, 16.0F);
}

TEST(VectorSet, EmptyAndOneRow) {
  VectorSet set(spec_of(4, Metric::kL2));
  const std::vector<float> vectors = {1, 2, 3, 4};
  EXPECT_TRUE(search(*set.view(), vectors.data(), {.k = 5}).empty());
  EXPECT_EQ(set.freeze_head(1), nullptr);
  add(set, vectors, 0, 1);
  const std::vector<Hit> hits = search(*set.view(), vectors.data(), {.k = 5});
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].distance, 0.0F);
}

TEST(VectorSet, RefusesWhatCannotBe) {
  EXPECT_THROW(VectorSet(spec_of(0, Metric::kL2)), std::invalid_argument);
  EXPECT_THROW(VectorSet(spec_of(65537, Metric::kL2)), std::invalid_argument);
  EXPECT_THROW(VectorSet(spec_of(12, Metric::kHamming, DType::kBits)), std::invalid_argument);
  EXPECT_THROW(VectorSet(spec_of(16, Metric::kHamming)), std::invalid_argument);
  VectorSet set(spec_of(2, Metric::kL2));
  const float query[2] = {0, 0};
  EXPECT_THROW(set.view()->search(query, {.k = 0}, nullptr), std::invalid_argument);
  VectorSet half(spec_of(2, Metric::kL2, DType::kF16));
  EXPECT_THROW(add(half, {1, 70000}, 0, 1), InvalidVectorError);
  EXPECT_EQ(half.view()->live, 0U);
  add(half, {1, 65504}, 0, 1);
  EXPECT_EQ(half.view()->live, 1U);
}

TEST(VectorSet, TiesGoByIdEvenAtTheBoundary) {
  VectorSet set(spec_of(2, Metric::kL2));
  const std::vector<float> vectors(2 * 40, 1.0F);
  std::vector<uint64_t> rids = numbers(0, 40);
  std::vector<int64_t> ids;
  for (const uint64_t rid : rids) ids.push_back(1000 - static_cast<int64_t>(rid));
  set.add({.count = 40, .vectors = vectors.data(), .rids = rids.data(), .ids = ids.data()}, 1);
  const float query[2] = {0, 0};
  for (const bool exact : {true, false}) {
    const std::vector<Hit> hits = search(*set.view(), query, {.k = 3, .exact = exact});
    ASSERT_EQ(hits.size(), 3U);
    EXPECT_EQ(hits[0].id, 961);
    EXPECT_EQ(hits[2].id, 963);
  }
  struct OddFirst : TieOrder {
    bool before(uint64_t a, uint64_t b) const override { return a % 2 != b % 2 ? a % 2 > b % 2 : a < b; }
  } odd_first;
  const std::vector<Hit> hits = search(*set.view(), query, {.k = 2, .ties = &odd_first});
  EXPECT_EQ(hits[0].rid, 1U);
  EXPECT_EQ(hits[1].rid, 3U);
}

TEST(VectorSet, AddReplacesALiveRidAndEraseForgetsIt) {
  VectorSet set(spec_of(1, Metric::kL2));
  add(set, {0, 1, 2, 3}, 0, 4);
  const std::shared_ptr<const View> old = set.view();
  const std::vector<float> moved = {100, 200, 300};
  const std::vector<uint64_t> rids = {2, 9, 2};  // 2 twice: the last one stands
  set.add({.count = 3, .vectors = moved.data(), .rids = rids.data()}, 1);
  EXPECT_EQ(set.view()->live, 5U);
  const float query = 300;
  EXPECT_EQ(search(*set.view(), &query, {.k = 1})[0].rid, 2U);
  EXPECT_EQ(search(*set.view(), &query, {.k = 9}).size(), 5U);
  const std::vector<uint64_t> gone = {2, 3, 77, 2};
  EXPECT_EQ(set.erase(gone), 2U);
  EXPECT_EQ(set.erase(gone), 0U);
  View::RowRef where;
  EXPECT_FALSE(set.view()->find(2, &where));
  EXPECT_TRUE(set.view()->find(9, &where));
  EXPECT_EQ(old->live, 4U);  // an older view stays as it was
  ASSERT_TRUE(old->find(2, &where));
  float x = 0;
  old->vector_at(where, reinterpret_cast<std::byte*>(&x));
  EXPECT_EQ(x, 2.0F);
}

TEST(VectorSet, ZeroVectorsAreAtCosineDistanceOne) {
  VectorSet set(spec_of(3, Metric::kCosine));
  add(set, {0, 0, 0, 1, 0, 0, -1, 0, 0}, 0, 3);
  const float query[3] = {2, 0, 0};
  const std::vector<Hit> hits = search(*set.view(), query, {.k = 3});
  EXPECT_EQ(hits[0].distance, 0.0F);
  EXPECT_EQ(hits[1].rid, 0U);
  EXPECT_EQ(hits[1].distance, 1.0F);
  EXPECT_EQ(hits[2].distance, 2.0F);
  const float zero[3] = {0, 0, 0};
  for (const Hit& hit : search(*set.view(), zero, {.k = 3})) EXPECT_EQ(hit.distance, 1.0F);
}

TEST(VectorSet, SealReplaceAndMergeKeepWhatHappenedMeanwhile) {
  const uint32_t dim = 8;
  const std::vector<float> vectors = clustered(400, dim, 3);
  VectorSet set(spec_of(dim, Metric::kL2));
  add(set, vectors, 0, 200);
  const std::vector<uint64_t> first_gone = {5, 6};
  set.erase(first_gone);
  const std::shared_ptr<const Part> sealed = set.freeze_head(1);
  ASSERT_EQ(sealed->rows, 200U);
  add(set, vectors, 200, 210);  // after the freeze, before the file is there
  set.replace_head(sealed);
  EXPECT_EQ(set.view()->parts.size(), 1U);
  EXPECT_EQ(set.view()->live, 208U);

  add(set, vectors, 210, 300);
  const std::shared_ptr<const View> before = set.view();
  const std::shared_ptr<const Part> merged = VectorSet::rebuild(*before, 1);
  EXPECT_EQ(merged->rows, 298U);
  const std::vector<uint64_t> gone = {7, 250};
  set.erase(gone);
  add(set, vectors, 8, 9);      // replaced by a row of the head
  add(set, vectors, 300, 320);  // new
  set.replace_parts(*before, merged);
  std::vector<uint64_t> live;
  for (uint64_t rid = 0; rid < 320; ++rid) {
    if (rid != 5 && rid != 6 && rid != 7 && rid != 250) live.push_back(rid);
  }
  const std::shared_ptr<const View> after = set.view();
  EXPECT_EQ(after->live, live.size());
  std::vector<uint64_t> seen;
  after->for_each_live([&](View::RowRef, uint64_t rid) { seen.push_back(rid); });
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, live);
  for (size_t q = 300; q < 310; ++q) expect_exact(*after, vectors, live, &vectors[q * dim], 20);
  EXPECT_EQ(before->live, 298U);
}

TEST(VectorSet, ABatchAnswersAsSingleSearchesDo) {
  const uint32_t dim = 24;
  const std::vector<float> vectors = clustered(700, dim, 4);
  VectorSet set(spec_of(dim, Metric::kCosine));
  add(set, vectors, 0, 700);
  const std::vector<float> queries = clustered(37, dim, 5);
  for (const bool exact : {true, false}) {
    const SearchOptions options{.k = 7, .exact = exact};
    std::vector<Hit> hits(37 * 7);
    std::vector<uint32_t> counts(37);
    set.view()->search_batch(queries.data(), 37, options, 2, hits.data(), counts.data());
    for (size_t q = 0; q < 37; ++q) {
      const std::vector<Hit> alone = search(*set.view(), &queries[q * dim], options);
      ASSERT_EQ(counts[q], alone.size());
      for (size_t i = 0; i < alone.size(); ++i) {
        EXPECT_EQ(hits[q * 7 + i].rid, alone[i].rid);
        EXPECT_EQ(hits[q * 7 + i].distance, alone[i].distance);
      }
    }
  }
}

struct Broken : Part::Guard {
  const uint32_t* order = nullptr;
  bool index_fails = false;
  bool gone = false;
  const uint32_t* check_rids() const override {
    check_index();
    return order;
  }
  void check_index() const override {
    if (index_fails) throw CorruptionError("file", 1, "a", "b");
  }
  void check_vectors(uint32_t first_row, uint32_t count) const override {
    if (first_row <= 3 && 3 < first_row + count) throw CorruptionError("file", 2, "a", "b");
  }
  void require_whole() const override {
    if (gone) throw CorruptionError("file", 3, "a", "b");
  }
};

TEST(VectorSet, AGuardThatThrowsLeavesAllWell) {
  VectorSet made(spec_of(4, Metric::kL2));
  const std::vector<float> vectors = clustered(50, 4, 6);
  add(made, vectors, 0, 50);
  Part part = *made.freeze_head(1);
  Broken guard;
  part.guard = &guard;
  guard.order = part.rid_order;
  part.rid_order = nullptr;  // that of the guard is gone by
  const VectorSet set(spec_of(4, Metric::kL2), {{std::make_shared<const Part>(part), Bitmap(50)}});
  std::vector<Hit> hits(5);
  EXPECT_THROW(set.view()->search(vectors.data(), {.k = 5}, hits.data()), CorruptionError);
  std::vector<std::byte> out(16);
  EXPECT_THROW(set.view()->vector_at({0, 3}, out.data()), CorruptionError);
  set.view()->vector_at({0, 4}, out.data());
  View::RowRef where;
  EXPECT_TRUE(set.view()->find(1, &where));
  guard.gone = true;
  EXPECT_THROW(set.view()->find(1, &where), CorruptionError);
  EXPECT_THROW(set.view()->vector_at({0, 4}, out.data()), CorruptionError);
  guard.gone = false;
  guard.index_fails = true;
  EXPECT_THROW(set.view()->find(1, &where), CorruptionError);
  EXPECT_EQ(search(*made.view(), vectors.data(), {.k = 5}).size(), 5U);
}

TEST(VectorSet, KeepsIdsAndProvenance) {
  VectorSet set(spec_of(1, Metric::kL2));
  const float x = 1;
  const uint64_t rid = 7;
  const int64_t id = -5;
  Provenance made;
  made.content_hash[3] = 9;
  made.embedded_at_us = 123;
  set.add({.count = 1, .vectors = &x, .rids = &rid, .ids = &id, .provenance = &made}, 1);
  View::RowRef where;
  ASSERT_TRUE(set.view()->find(7, &where));
  EXPECT_EQ(set.view()->provenance_at(where).embedded_at_us, 123);
  set.replace_head(set.freeze_head(1));
  ASSERT_TRUE(set.view()->find(7, &where));
  EXPECT_EQ(set.view()->provenance_at(where).content_hash[3], 9);
  EXPECT_EQ(search(*set.view(), &x, {.k = 1})[0].id, -5);
}

}  // namespace
}  // namespace lamina
