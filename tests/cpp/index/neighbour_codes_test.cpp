// Goal: a part that is to be walked by neighbour codes has them, they are right whatever was done to its links, and it
// finds as much as one walked on the codes of its rows. Method: the same part searched with and without them, whole,
// with dead rows, merged, and read row by row; its codes beside those made anew.
#include "index/neighbour_codes.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "codes/neighbour.h"
#include "index/findable.h"
#include "index/synthetic.h"

namespace lamina {
namespace {

using testing::add;
using testing::clustered;
using testing::embedded;
using testing::graph_spec;
using testing::numbers;
using testing::rebuilt;
using testing::recall;

constexpr uint32_t kNeighboursDim = 200;
constexpr uint32_t kNeighboursRows = 3000;

VectorSpec walked_by_neighbours(Metric metric, uint32_t dim = kNeighboursDim) {
  VectorSpec spec = graph_spec(dim, metric);
  spec.layout = Layout::kNeighbours;
  return spec;
}

// The view of another part of the same rows.
View with_part(const View& view, const std::shared_ptr<const Part>& part) {
  View other = view;
  other.parts[0].part = part;
  return other;
}

// The same view, walked on the codes of its rows.
View walked_on_nodes(const View& view) {
  const auto part = std::make_shared<Part>(*view.parts[0].part);
  part->neighbour_codes = nullptr;
  return with_part(view, part);
}

// Of one neighbour, beside a row and made anew. How rows were rotated tells in the last bits of the factors, and in
// signs of what is nearly zero, which a goes along with.
struct Pair {
  const std::byte* held;
  const std::byte* fresh;
  size_t signs;  // bytes of them in a block
  size_t slot;

  size_t flipped() const {
    size_t bits = 0;
    for (size_t i = slot % 16; i < signs; i += 16) {
      bits += std::popcount(std::to_integer<unsigned>(held[i] ^ fresh[i]) & (slot < 16 ? 0x0fU : 0xf0U));
    }
    return bits;
  }
  static float factor(const std::byte* block, size_t at) {
    float x;
    kernels().f16_to_f32(reinterpret_cast<const f16*>(block) + at, &x, 1);
    return x;
  }
  void expect_near(size_t at) const {
    const float expected = factor(fresh + signs, at);
    EXPECT_NEAR(factor(held + signs, at), expected, 0.02F * std::abs(expected) + 0.02F);
  }
};

void expect_codes_of_its_links(const VectorSpec& spec, const Part& part) {
  ASSERT_NE(part.neighbour_codes, nullptr);
  Part fresh = part;
  add_neighbour_codes(spec, fresh, 1);
  const size_t stride = neighbour_stride(spec, part.graph.degree);
  const size_t block = neighbour_block_bytes(spec);
  const size_t signs = block - 2 * kNeighbourBlock * sizeof(f16);
  size_t slots = 0;
  size_t same = 0;
  for (size_t begin = 0; begin < part.rows * stride; begin += block) {
    for (size_t slot = 0; slot < kNeighbourBlock; ++slot, ++slots) {
      const Pair pair{part.neighbour_codes + begin, fresh.neighbour_codes + begin, signs, slot};
      const size_t flipped = pair.flipped();
      ASSERT_LE(flipped, 4 + spec.dim / 16) << begin / stride << " " << slot;
      pair.expect_near(kNeighbourBlock + slot);
      if (flipped > 0) continue;
      pair.expect_near(slot);
      ++same;
    }
  }
  EXPECT_GT(same, slots / 3);
}

class Neighbours : public ::testing::TestWithParam<Metric> {};

TEST_P(Neighbours, WalksFindAsMuch) {
  const std::vector<float> vectors = embedded(kNeighboursRows, kNeighboursDim, 1);
  const std::vector<float> queries = embedded(50, kNeighboursDim, 2);
  VectorSet set(walked_by_neighbours(GetParam()));
  add(set, vectors, 0, kNeighboursRows);
  const auto view = rebuilt(set);
  const Part& part = *view->parts[0].part;
  ASSERT_NE(part.neighbour_codes, nullptr);
  EXPECT_EQ(part.coarse_codes, nullptr);
  const View nodes = walked_on_nodes(*view);
  const std::vector<uint64_t> rids = numbers(0, kNeighboursRows);
  for (const uint32_t k : {1U, 10U, 100U}) {
    const uint32_t ef = k + 10;
    EXPECT_GE(recall(*view, vectors, rids, queries, {.k = k, .ef = 2 * ef}),
              recall(nodes, vectors, rids, queries, {.k = k, .ef = ef}) - 0.025)
        << k;
    EXPECT_GE(recall(*view, vectors, rids, queries, {.k = k}), 0.9) << k << ", as was measured";
  }
}

TEST_P(Neighbours, EveryRowIsFoundAndHasTheCodesOfItsLinks) {
  VectorSet set(walked_by_neighbours(GetParam()));
  add(set, embedded(kNeighboursRows, kNeighboursDim, 1), 0, kNeighboursRows);
  const auto part = rebuilt(set)->parts[0].part;
  EXPECT_LE(lost_rows(set.spec(), *part, 1).size(), kNeighboursRows / 1000);
  expect_codes_of_its_links(set.spec(), *part);
}

TEST_P(Neighbours, DeletedRowsAreNeverReturnedAndAMergeKeepsTheCodes) {
  const std::vector<float> vectors = embedded(kNeighboursRows + 500, kNeighboursDim, 3);
  const std::vector<float> queries = embedded(50, kNeighboursDim, 4);
  VectorSet set(walked_by_neighbours(GetParam()));
  add(set, vectors, 0, kNeighboursRows);
  rebuilt(set);
  set.erase(numbers(0, 300));
  EXPECT_GE(recall(*set.view(), vectors, numbers(300, kNeighboursRows), queries, {.k = 10, .recall = 0.99F}), 0.95);
  for (size_t q = 0; q < 50; ++q) {
    for (const Hit& hit : testing::search(*set.view(), &queries[q * kNeighboursDim], {.k = 100}))
      EXPECT_GE(hit.rid, 300U);
  }
  add(set, vectors, kNeighboursRows, kNeighboursRows + 500);
  const auto before = set.view();
  set.replace_parts(*before, VectorSet::merge(*before, 1));
  const auto merged = set.view();
  ASSERT_EQ(merged->parts.size(), 1U);
  const Part& part = *merged->parts[0].part;
  expect_codes_of_its_links(set.spec(), part);
  EXPECT_LE(lost_rows(set.spec(), part, 1).size(), kNeighboursRows / 1000);
  EXPECT_GE(recall(*merged, vectors, numbers(300, kNeighboursRows + 500), queries, {.k = 10, .recall = 0.99F}), 0.95);
}

TEST_P(Neighbours, AFilterLeavesTheNearestOfWhatPasses) {
  const std::vector<float> vectors = embedded(kNeighboursRows, kNeighboursDim, 1);
  const std::vector<float> queries = embedded(30, kNeighboursDim, 2);
  VectorSet set(walked_by_neighbours(GetParam()));
  add(set, vectors, 0, kNeighboursRows);
  const auto view = rebuilt(set);
  for (const uint64_t step : {2U, 5U, 20U, 300U}) {
    View narrowed = *view;
    const Part& part = *view->parts[0].part;
    std::vector<uint32_t> out;
    std::vector<uint64_t> passing;
    for (uint32_t row = 0; row < part.rows; ++row) {
      if (part.rids[row] % step != 0) out.push_back(row);
    }
    for (uint64_t rid = 0; rid < kNeighboursRows; rid += step) passing.push_back(rid);
    narrowed.parts[0].deleted = Bitmap(part.rows).with(out);
    narrowed.live = passing.size();
    for (size_t q = 0; q < 30; ++q) {
      const auto hits = testing::search(narrowed, &queries[q * kNeighboursDim], {.k = 10});
      ASSERT_EQ(hits.size(), 10U);
      for (const Hit& hit : hits) ASSERT_EQ(hit.rid % step, 0U);
    }
    EXPECT_GE(recall(narrowed, vectors, passing, queries, {.k = 10}), 0.9) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Neighbours, ::testing::Values(Metric::kCosine, Metric::kL2, Metric::kIp));

TEST(NeighbourCodes, ALinkThatChangesIsEncodedAgain) {
  for (const uint32_t m : {8U, 20U}) {  // one block, and two
    VectorSpec spec = walked_by_neighbours(Metric::kL2, 48);
    spec.m = m;
    VectorSet set(spec);
    add(set, clustered(1000, 48, 1), 0, 1000);
    const auto built = rebuilt(set)->parts[0].part;
    ASSERT_NE(built->neighbour_codes, nullptr);
    const size_t degree = built->graph.degree;
    std::vector<uint32_t> links(built->graph.level0, built->graph.level0 + built->rows * degree);
    Part part = *built;
    part.graph.level0 = links.data();
    add_neighbour_codes(spec, part, 1);
    for (uint32_t row = 0; row < part.rows; ++row) {
      links[row * degree] = (row + 500) % part.rows;
      if (row % 2 == 0) std::fill_n(&links[row * degree + 1], degree - 1, kNoRow);
      encode_again(spec, part, row);
    }
    expect_codes_of_its_links(spec, part);
    const size_t bytes = part.rows * neighbour_stride(spec, degree);
    EXPECT_NE(std::memcmp(part.neighbour_codes, built->neighbour_codes, bytes), 0);
  }
}

TEST(NeighbourCodes, AreNotForASmallPartUnlessAskedFor) {
  for (const Layout layout : {Layout::kAuto, Layout::kNodes}) {
    VectorSpec spec = graph_spec(kNeighboursDim, Metric::kCosine);
    spec.layout = layout;
    VectorSet set(spec);
    add(set, embedded(kNeighboursRows, kNeighboursDim, 1), 0, kNeighboursRows);
    EXPECT_EQ(rebuilt(set)->parts[0].part->neighbour_codes, nullptr);
  }
}

TEST(NeighbourCodes, OneThreadMakesTheSameBytes) {
  VectorSet set(walked_by_neighbours(Metric::kCosine));
  add(set, embedded(kNeighboursRows, kNeighboursDim, 1), 0, kNeighboursRows);
  const auto first = VectorSet::rebuild(*set.view(), 1);
  const auto second = VectorSet::rebuild(*set.view(), 1);
  ASSERT_NE(first->neighbour_codes, nullptr);
  const size_t bytes = kNeighboursRows * neighbour_stride(set.spec(), first->graph.degree);
  EXPECT_EQ(std::memcmp(first->neighbour_codes, second->neighbour_codes, bytes), 0);
  Part by_two = *first;
  add_neighbour_codes(set.spec(), by_two, 2);
  Part by_one = *first;
  add_neighbour_codes(set.spec(), by_one, 1);
  EXPECT_EQ(std::memcmp(by_one.neighbour_codes, by_two.neighbour_codes, bytes), 0) << "nor do threads matter to them";
}

TEST(NeighbourCodes, RowsOfOneValueAndOfNoneAreAllFound) {
  std::vector<float> vectors = embedded(kNeighboursRows, kNeighboursDim, 1);
  std::fill_n(vectors.begin(), 200 * kNeighboursDim, 0.0F);
  for (size_t row = 200; row < 400; ++row)
    std::copy_n(&vectors[400 * kNeighboursDim], kNeighboursDim, &vectors[row * kNeighboursDim]);
  for (const Metric metric : {Metric::kCosine, Metric::kL2}) {
    VectorSet set(walked_by_neighbours(metric));
    add(set, vectors, 0, kNeighboursRows);
    const auto view = rebuilt(set);
    const auto hits = testing::search(*view, &vectors[400 * kNeighboursDim], {.k = 201, .ef = 400});
    ASSERT_EQ(hits.size(), 201U);
    for (const Hit& hit : hits) EXPECT_LE(std::abs(hit.distance), 1e-5F);
    if (metric == Metric::kCosine) continue;
    const auto zeros = testing::search(*view, vectors.data(), {.k = 200, .ef = 400});
    ASSERT_EQ(zeros.size(), 200U);
    for (const Hit& hit : zeros) EXPECT_EQ(hit.distance, 0);
  }
}

// Rows of which the first are in place, and the others are read.
class HalfInPlace final : public PagedColumn {
 public:
  HalfInPlace(const void* first, size_t row_bytes, uint32_t rows)
      : PagedColumn(static_cast<const std::byte*>(first), row_bytes) {
    rows_in_place_ = rows / 2;
  }
  void read(uint32_t row, uint32_t count, std::byte* out) const override {
    reads += 1;
    std::memcpy(out, in_place(row), count * stride());
  }
  mutable size_t reads = 0;
};

TEST(NeighbourCodes, APartThatIsReadRowByRowFindsTheSame) {
  const std::vector<float> queries = embedded(30, kNeighboursDim, 2);
  VectorSet set(walked_by_neighbours(Metric::kCosine));
  add(set, embedded(kNeighboursRows, kNeighboursDim, 1), 0, kNeighboursRows);
  const auto view = rebuilt(set);
  const auto part = std::make_shared<Part>(*view->parts[0].part);
  const HalfInPlace vectors(part->vectors, set.spec().vector_bytes(), kNeighboursRows);
  const HalfInPlace codes(part->codes, part->code_stride, kNeighboursRows);
  const HalfInPlace neighbours(part->neighbour_codes, neighbour_stride(set.spec(), part->graph.degree),
                               kNeighboursRows);
  const HalfInPlace level0(part->graph.level0, part->graph.degree * sizeof(uint32_t), kNeighboursRows);
  Paging paging;
  paging.vectors = &vectors;
  paging.codes = &codes;
  paging.neighbour_codes = &neighbours;
  paging.level0 = &level0;
  part->paging = &paging;
  const View paged = with_part(*view, part);
  for (size_t q = 0; q < 30; ++q) {
    const auto expected = testing::search(*view, &queries[q * kNeighboursDim], {.k = 10});
    const auto found = testing::search(paged, &queries[q * kNeighboursDim], {.k = 10});
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].rid, expected[i].rid);
  }
  EXPECT_GT(neighbours.reads, 0U);
  EXPECT_GT(codes.reads, 0U);
}

}  // namespace
}  // namespace lamina
