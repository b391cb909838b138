// Goal: searches through the graph find what exact search finds, whatever was added, replaced, deleted or merged, and
// whoever reads meanwhile. Method: seeded clustered sets beyond the flat size, brute force in double as the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "index/findable.h"
#include "index/head.h"
#include "index/synthetic.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

using testing::add;
using testing::clustered;
using testing::graph_spec;
using testing::numbers;
using testing::rebuilt;
using testing::recall;
using testing::search;

constexpr uint32_t kRows = 3000;

class Walked : public ::testing::TestWithParam<std::tuple<Metric, DType, CodeKind>> {};

TEST_P(Walked, FindsTheNearestBeforeAndAfterRebuilding) {
  const auto [metric, dtype, codes] = GetParam();
  const uint32_t dim = 24;
  const std::vector<float> vectors = clustered(kRows, dim, 1);
  const std::vector<float> queries = clustered(40, dim, 2);
  VectorSet set(graph_spec(dim, metric, dtype, codes));
  add(set, vectors, 0, 1500);  // in bulk
  for (uint64_t row = 1500; row < 1600; ++row) add(set, vectors, row, row + 1);
  add(set, vectors, 1600, kRows, 2);
  EXPECT_GE(recall(*set.view(), vectors, numbers(0, kRows), queries, {.k = 10, .ef = 100}), 0.98);
  const std::shared_ptr<const View> view = rebuilt(set, 2);
  ASSERT_EQ(view->parts.size(), 1U);
  EXPECT_EQ(view->head, nullptr);
  EXPECT_NE(view->parts[0].part->graph.entry, kNoRow);
  EXPECT_EQ(view->parts[0].part->codes != nullptr, codes == CodeKind::kI8);
  EXPECT_GE(recall(*view, vectors, numbers(0, kRows), queries, {.k = 10, .ef = 100}), 0.98);
  EXPECT_TRUE(lost_rows(view->spec, *view->parts[0].part, 2).empty());
}

INSTANTIATE_TEST_SUITE_P(All, Walked,
                         ::testing::Values(std::tuple(Metric::kCosine, DType::kF32, CodeKind::kI8),
                                           std::tuple(Metric::kL2, DType::kF32, CodeKind::kI8),
                                           std::tuple(Metric::kIp, DType::kF32, CodeKind::kI8),
                                           std::tuple(Metric::kCosine, DType::kF16, CodeKind::kI8),
                                           std::tuple(Metric::kL2, DType::kF16, CodeKind::kNone),
                                           std::tuple(Metric::kCosine, DType::kF32, CodeKind::kNone)));

TEST(Graph, ASmallPartIsSearchedAsBroadlyAsItsRowsDeserve) {
  constexpr uint32_t dim = 24;
  constexpr uint32_t kSealed = 6000;
  constexpr uint32_t kAll = kSealed + 1500;  // a head with a graph of its own
  VectorSet set(graph_spec(dim, Metric::kL2));
  std::vector<float> vectors = clustered(kSealed, dim, 1);
  // The head's rows lie in a place of their own, and some among the others.
  for (const float x : clustered(kAll - kSealed, dim, 2)) vectors.push_back(x);
  for (size_t at = size_t{kSealed + 300} * dim; at < vectors.size(); ++at) vectors[at] += 9;
  add(set, vectors, 0, kSealed);
  const auto before = set.view();
  set.replace_parts(*before, VectorSet::rebuild(*before, 1));
  add(set, vectors, kSealed, kAll);
  const auto view = set.view();
  ASSERT_NE(view->head->graph(), nullptr);
  ASSERT_EQ(view->parts.size(), 1U);
  std::vector<float> among = clustered(100, dim, 3);
  EXPECT_GE(recall(*view, vectors, numbers(0, kAll), among, {.k = 10, .ef = 100}), 0.98);
  for (float& x : among) x += 9;  // all of the nearest are in the head
  EXPECT_GE(recall(*view, vectors, numbers(0, kAll), among, {.k = 10, .ef = 100}), 0.98);
}

// Rows measured in the head by searches for these queries.
uint64_t measured_in_head(const View& view, const std::vector<float>& queries, uint32_t dim) {
  std::vector<SearchStep> steps;
  Hit hits[10];
  for (size_t at = 0; at < queries.size(); at += dim) {
    view.search(queries.data() + at, {.k = 10, .ef = 40, .steps = &steps}, hits);
  }
  uint64_t measured = 0;
  for (const SearchStep& step : steps) measured += step.part == view.parts.size() ? step.measured : 0;
  return measured;
}

TEST(Graph, AHeadIsWalkedFromItsRowsNearWhatTheLargestPartHasFound) {
  constexpr uint32_t dim = 24;
  constexpr uint32_t kSealed = 6000;
  constexpr uint32_t kAll = kSealed + 1200;
  const std::vector<float> vectors = clustered(kAll, dim, 1);
  const std::vector<float> queries = clustered(100, dim, 2);
  const SearchOptions options{.k = 10, .ef = 40};
  VectorSet set(graph_spec(dim, Metric::kCosine));
  add(set, vectors, 0, kSealed);
  const auto before = set.view();
  set.replace_parts(*before, VectorSet::rebuild(*before, 1));
  add(set, vectors, kSealed, kAll - 100);
  const auto anchored = set.view();
  const std::shared_ptr<const Part> part = anchored->parts[0].part;
  set.replace_part(*part, std::make_shared<Part>(*part));  // in which nothing is anchored
  const auto adrift = set.view();
  const uint64_t from_the_top = measured_in_head(*adrift, queries, dim);
  EXPECT_LT(measured_in_head(*anchored, queries, dim), from_the_top * 2 / 3);
  EXPECT_GE(recall(*anchored, vectors, numbers(0, kAll - 100), queries, options),
            recall(*adrift, vectors, numbers(0, kAll - 100), queries, options) - 0.01);
  add(set, vectors, kAll - 100, kAll);
  EXPECT_LT(measured_in_head(*set.view(), queries, dim), from_the_top * 2 / 3) << "anchored again by the next write";
}

TEST(Graph, HammingIsWalkedOnItsBits) {
  VectorSpec spec = graph_spec(64, Metric::kHamming, DType::kBits);
  VectorSet set(spec);
  Random random(3);
  std::vector<uint64_t> bits(kRows);
  for (uint64_t& b : bits) b = random.next_u64() & random.next_u64();
  const std::vector<uint64_t> rids = numbers(0, kRows);
  set.add({.count = kRows, .vectors = bits.data(), .rids = rids.data()}, 2);
  const std::shared_ptr<const View> view = rebuilt(set);
  size_t right = 0;
  for (size_t q = 0; q < 50; ++q) {
    const uint64_t query = random.next_u64() & random.next_u64();
    const std::vector<Hit> exact = search(*view, &query, {.k = 10, .exact = true});
    const std::vector<Hit> hits = search(*view, &query, {.k = 10, .ef = 200});
    for (size_t i = 0; i < 10; ++i) right += hits[i].distance == exact[i].distance;
  }
  EXPECT_GE(right, 450U);
  EXPECT_TRUE(lost_rows(spec, *view->parts[0].part, 1).empty());
}

TEST(Graph, OneThreadBuildsTheSameBytes) {
  const uint32_t dim = 16;
  const std::vector<float> vectors = clustered(2000, dim, 4);
  std::vector<std::shared_ptr<const Part>> parts;
  for (int i = 0; i < 2; ++i) {
    VectorSet set(graph_spec(dim, Metric::kCosine));
    add(set, vectors, 0, 1500);
    add(set, vectors, 1500, 2000);
    parts.push_back(VectorSet::rebuild(*set.view(), 1));
  }
  const Part& a = *parts[0];
  const Part& b = *parts[1];
  ASSERT_EQ(a.rows, b.rows);
  EXPECT_EQ(std::memcmp(a.graph.level0, b.graph.level0, size_t{a.rows} * a.graph.degree * 4), 0);
  EXPECT_EQ(std::memcmp(a.codes, b.codes, a.rows * a.code_stride), 0);
  EXPECT_TRUE(std::equal(a.rids, a.rids + a.rows, b.rids));
  EXPECT_EQ(a.graph.entry, b.graph.entry);
}

TEST(Graph, DeletedRowsAreWalkedThroughAndNeverReturned) {
  const uint32_t dim = 16;
  const std::vector<float> vectors = clustered(kRows, dim, 5);
  VectorSet set(graph_spec(dim, Metric::kL2));
  add(set, vectors, 0, kRows);
  rebuilt(set);
  // All of the 500 rows nearest to one point, and every third of the rest.
  std::vector<uint64_t> live = numbers(0, kRows);
  const auto near = testing::nearest(set.spec(), vectors, live, vectors.data(), 500);
  std::vector<uint64_t> gone;
  for (const auto& [distance, rid] : near) gone.push_back(rid);
  for (uint64_t rid = 0; rid < kRows; rid += 3) gone.push_back(rid);
  set.erase(gone);
  std::sort(gone.begin(), gone.end());
  std::erase_if(live, [&](uint64_t rid) { return std::binary_search(gone.begin(), gone.end(), rid); });
  EXPECT_EQ(set.view()->live, live.size());
  const std::vector<float> queries = clustered(30, dim, 6);
  EXPECT_GE(recall(*set.view(), vectors, live, queries, {.k = 10, .ef = 64}), 0.95);
  const std::vector<float> amid(vectors.begin(), vectors.begin() + dim);
  EXPECT_GE(recall(*set.view(), vectors, live, amid, {.k = 10, .ef = 32}), 0.8);
  for (size_t q = 0; q < 30; ++q) {
    for (const uint32_t k : {1U, 10U, 700U, 100000U}) {
      const std::vector<Hit> hits = search(*set.view(), &queries[q * dim], {.k = k});
      EXPECT_EQ(hits.size(), std::min<size_t>(k, live.size()));
      for (const Hit& hit : hits) EXPECT_TRUE(std::binary_search(live.begin(), live.end(), hit.rid));
    }
  }
  // Down to three rows: never fewer than there are.
  const std::vector<uint64_t> rest(live.begin() + 3, live.end());
  set.erase(rest);
  EXPECT_EQ(search(*set.view(), queries.data(), {.k = 10}).size(), 3U);
}

TEST(Graph, ThousandsOfEqualVectorsDoNotCutItApart) {
  const uint32_t dim = 16;
  std::vector<float> vectors = clustered(kRows, dim, 7);
  for (size_t row = 500; row < 2500; ++row) std::copy_n(vectors.begin(), dim, vectors.begin() + row * dim);
  VectorSet set(graph_spec(dim, Metric::kCosine));
  add(set, vectors, 0, kRows);
  for (int round = 0; round < 2; ++round) {
    size_t found = 0;
    for (size_t row = 2500; row < kRows; ++row) {
      found += search(*set.view(), &vectors[row * dim], {.k = 1})[0].rid == row;
    }
    EXPECT_GE(found, round == 0 ? 495U : 500U);
    const std::vector<Hit> equal = search(*set.view(), vectors.data(), {.k = 10});
    for (const Hit& hit : equal) EXPECT_NEAR(hit.distance, 0, 1e-6);
    rebuilt(set);
    EXPECT_TRUE(lost_rows(set.spec(), *set.view()->parts[0].part, 1).empty());
  }
}

TEST(Graph, SetsWithoutAnyDistances) {
  for (const float value : {0.0F, 3.0F}) {
    for (const Metric metric : {Metric::kCosine, Metric::kIp, Metric::kL2}) {
      const std::vector<float> vectors(1200 * 3, value);
      VectorSet set(graph_spec(3, metric));
      add(set, vectors, 0, 1200);
      EXPECT_EQ(search(*set.view(), vectors.data(), {.k = 10}).size(), 10U);
      const std::shared_ptr<const View> view = rebuilt(set);
      const std::vector<Hit> hits = search(*view, vectors.data(), {.k = 1200});
      ASSERT_EQ(hits.size(), 1200U);
      EXPECT_EQ(hits[0].id, 0);
      EXPECT_EQ(hits[1199].id, 1199);
      EXPECT_EQ(search(*view, vectors.data(), {.k = 10}).size(), 10U);
    }
  }
}

TEST(Graph, DimensionsFromOneToManyThousands) {
  for (const uint32_t dim : {1U, 2U, 63U, 65U, 4096U}) {
    const uint32_t rows = 1100;
    const std::vector<float> vectors = clustered(rows, dim, 8);
    VectorSpec spec = graph_spec(dim, Metric::kL2);
    spec.ef_construction = 40;
    VectorSet set(spec);
    add(set, vectors, 0, rows, 2);
    const std::vector<float> queries = clustered(5, dim, 9);
    EXPECT_GE(recall(*set.view(), vectors, numbers(0, rows), queries, {.k = 10, .ef = 100}), 0.9) << dim;
    EXPECT_GE(recall(*rebuilt(set, 2), vectors, numbers(0, rows), queries, {.k = 10, .ef = 100}), 0.9) << dim;
  }
}

TEST(Graph, DataThatOutgrowTheCodeAreEncodedAgain) {
  const uint32_t dim = 16;
  std::vector<float> vectors = clustered(4000, dim, 10);
  for (size_t i = 1500 * dim; i < vectors.size(); ++i) vectors[i] *= 100;
  VectorSet set(graph_spec(dim, Metric::kL2));
  add(set, vectors, 0, 1500);
  const std::shared_ptr<const View> old = set.view();
  add(set, vectors, 1500, 4000);
  std::vector<float> queries(vectors.begin() + 2000 * dim, vectors.begin() + 2040 * dim);
  EXPECT_GE(recall(*set.view(), vectors, numbers(0, 4000), queries, {.k = 10, .ef = 100}), 0.97);
  const std::vector<float> small(vectors.begin(), vectors.begin() + 20 * dim);
  EXPECT_GE(recall(*old, vectors, numbers(0, 1500), small, {.k = 10, .ef = 100}), 0.97);
}

TEST(Graph, OldViewsStayAsTheyWereWhileTheHeadGrows) {
  const uint32_t dim = 16;
  const std::vector<float> vectors = clustered(kRows, dim, 11);
  VectorSet set(graph_spec(dim, Metric::kCosine));
  add(set, vectors, 0, 1500);
  const std::shared_ptr<const View> old = set.view();
  add(set, vectors, 1500, kRows, 2);
  const std::vector<uint64_t> gone = numbers(0, 700);
  set.erase(gone);
  const std::vector<float> queries = clustered(30, dim, 12);
  EXPECT_GE(recall(*old, vectors, numbers(0, 1500), queries, {.k = 10, .ef = 100}), 0.98);
  for (const Hit& hit : search(*old, queries.data(), {.k = 100})) EXPECT_LT(hit.rid, 1500U);
}

TEST(Graph, FrozenHeadsKeepTheirGraph) {
  const uint32_t dim = 16;
  const std::vector<float> vectors = clustered(kRows, dim, 13);
  VectorSet set(graph_spec(dim, Metric::kL2));
  add(set, vectors, 0, 2000);
  const std::vector<uint64_t> gone = {0, 5, 1999};
  set.erase(gone);
  const std::shared_ptr<const Part> part = set.freeze_head(2);
  EXPECT_EQ(part->rows, 2000U);
  EXPECT_NE(part->graph.entry, kNoRow);
  EXPECT_EQ(part->rids[7], 7U);
  set.replace_head(part);
  add(set, vectors, 2000, kRows);
  std::vector<uint64_t> live = numbers(0, kRows);
  std::erase_if(live, [](uint64_t rid) { return rid == 0 || rid == 5 || rid == 1999; });
  const std::vector<float> queries = clustered(30, dim, 14);
  EXPECT_GE(recall(*set.view(), vectors, live, queries, {.k = 10, .ef = 100}), 0.98);
  EXPECT_GE(recall(*rebuilt(set), vectors, live, queries, {.k = 10, .ef = 100}), 0.98);
  EXPECT_EQ(set.view()->live, live.size());
}

// Also the test to run under the thread sanitizer.
TEST(Graph, ReadersNeverWaitForAWriter) {
  const uint32_t dim = 16;
  const std::vector<float> vectors = clustered(kRows, dim, 15);
  VectorSet set(graph_spec(dim, Metric::kCosine));
  add(set, vectors, 0, 1000);
  std::atomic<bool> done = false;
  std::atomic<size_t> searches = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      std::vector<Hit> hits(10);
      for (size_t i = static_cast<size_t>(t); !done; i += 7) {
        const std::shared_ptr<const View> view = set.view();
        const size_t n = view->search(&vectors[i % kRows * dim], {.k = 10, .ef = 40}, hits.data());
        ASSERT_EQ(n, 10U);
        for (size_t j = 1; j < n; ++j) ASSERT_LE(hits[j - 1].distance, hits[j].distance);
        ++searches;
      }
    });
  }
  for (uint64_t row = 1000; row < 2000; row += 50) {
    add(set, vectors, row, row + 50, 2);
    const std::vector<uint64_t> gone = {row - 1000};
    set.erase(gone);
  }
  std::shared_ptr<const View> before = set.view();
  std::shared_ptr<const Part> merged;
  std::thread merger([&] { merged = VectorSet::rebuild(*before, 2); });
  for (uint64_t row = 2000; row < 2200; row += 50) add(set, vectors, row, row + 50, 1);
  merger.join();
  set.replace_parts(*before, merged);
  while (searches < 20) std::this_thread::yield();
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(set.view()->live, 2200U - 20);
}

TEST(Graph, ALinkToNowhereIsCorruption) {
  const uint32_t dim = 8;
  const std::vector<float> vectors = clustered(1500, dim, 16);
  VectorSet set(graph_spec(dim, Metric::kL2));
  add(set, vectors, 0, 1500);
  Part part = *set.freeze_head(1);
  std::vector<uint32_t> links(part.graph.level0, part.graph.level0 + size_t{part.rows} * part.graph.degree);
  for (size_t row = 0; row < part.rows; ++row) links[row * part.graph.degree] = 1500;
  part.graph.level0 = links.data();
  const VectorSet damaged(set.spec(), {{std::make_shared<const Part>(part), Bitmap(1500)}});
  std::vector<Hit> hits(10);
  EXPECT_THROW(damaged.view()->search(vectors.data(), {.k = 10}, hits.data()), CorruptionError);
  EXPECT_EQ(damaged.view()->search(vectors.data(), {.k = 10, .exact = true}, hits.data()), 10U);
}

}  // namespace
}  // namespace lamina
