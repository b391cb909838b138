// Goal: copies of a mapped part's codes and links answer as the part does, stand for it wherever it is known by, and
// are made only of what was found sound. Method: parts in memory with a guard, as mapped ones have, searched and merged
// beside their copies; guards that find damage before and after; copies that come while others work on the part.
#include "index/huge_pages.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/buffer.h"
#include "base/error.h"
#include "codes/neighbour.h"
#include "index/head.h"
#include "index/synthetic.h"

namespace lamina {
namespace {

using testing::add;
using testing::embedded;
using testing::graph_spec;
using testing::numbers;
using testing::rebuilt;

constexpr uint32_t kHugeRows = 5000;
constexpr uint32_t kHugeDim = 200;

struct TestGuard final : Part::Guard {
  const uint32_t* check_rids() const override { return order; }
  void check_index() const override {
    ++asked;
    if (damaged) throw CorruptionError("file", 0, "an index", "damage");
  }
  void check_vectors(uint32_t, uint32_t) const override {}
  void require_whole() const override {
    if (cut) throw CorruptionError("file", 0, "a whole file", "less");
  }

  const uint32_t* order = nullptr;
  bool damaged = false;
  bool cut = false;
  mutable int asked = 0;
};

// Rows of a set whose one part looks like a mapped one.
struct Mapped {
  explicit Mapped(const VectorSpec& spec, uint32_t rows = kHugeRows, uint64_t seed = 1)
      : vectors(embedded(rows + 500, spec.dim, seed)), set(spec) {
    add(set, vectors, 0, rows);
    const auto view = rebuilt(set);
    const auto part = std::make_shared<Part>(*view->parts[0].part);
    guard->order = part->rid_order;
    part->guard = guard.get();
    set.replace_part(*view->parts[0].part, part);
  }

  std::shared_ptr<const Part> part() const { return set.view()->parts[0].part; }
  std::shared_ptr<const Part> copy() const { return in_huge_pages(set.spec(), part(), 2); }
  bool place() { return set.place_copies(copies_in_huge_pages(*set.view(), 1)); }

  const std::shared_ptr<TestGuard> guard = std::make_shared<TestGuard>();
  const std::vector<float> vectors;
  VectorSet set;
};

VectorSpec laid_out(Layout layout, Metric metric = Metric::kCosine) {
  VectorSpec spec = graph_spec(kHugeDim, metric);
  spec.layout = layout;
  return spec;
}

void expect_same_answers(const View& a, const View& b) {
  const std::vector<float> queries = embedded(60, a.spec.dim, 2);
  for (const SearchOptions& options :
       {SearchOptions{.k = 10}, SearchOptions{.k = 30, .ef = 60}, SearchOptions{.k = 5, .exact = true}}) {
    for (size_t q = 0; q < 60; ++q) {
      const auto expected = testing::search(a, &queries[q * a.spec.dim], options);
      const auto found = testing::search(b, &queries[q * a.spec.dim], options);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].rid, expected[i].rid);
        EXPECT_EQ(found[i].distance, expected[i].distance);
      }
    }
  }
}

void expect_copied(const void* copy, const void* original, size_t bytes) {
  EXPECT_NE(copy, original);
  if (bytes >= kHugePage) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(copy) % kHugePage, 0U);
  }
  EXPECT_EQ(std::memcmp(copy, original, bytes), 0);
}

class HugePages : public ::testing::TestWithParam<Layout> {};

TEST_P(HugePages, HoldTheSameCodesAndLinksAndAnswerTheSame) {
  Mapped mapped(laid_out(GetParam()));
  const auto before = mapped.set.view();
  const Part& original = *before->parts[0].part;
  ASSERT_TRUE(mapped.place());
  const auto after = mapped.set.view();
  const Part& copy = *after->parts[0].part;
  EXPECT_GT(mapped.guard->asked, 0);
  EXPECT_EQ(copy.original, before->parts[0].part);
  expect_copied(copy.codes, original.codes, kHugeRows * original.code_stride);
  expect_copied(copy.graph.level0, original.graph.level0, kHugeRows * original.graph.degree * sizeof(uint32_t));
  if (GetParam() == Layout::kNeighbours) {
    const size_t stride = neighbour_stride(mapped.set.spec(), original.graph.degree);
    expect_copied(copy.neighbour_codes, original.neighbour_codes, kHugeRows * stride);
    EXPECT_EQ(copy.coarse_codes, nullptr);
  } else {
    expect_copied(copy.coarse_codes, original.coarse_codes, kHugeRows * i4_stride(mapped.set.spec()));
    EXPECT_EQ(copy.neighbour_codes, nullptr);
  }
  EXPECT_EQ(copy.vectors, original.vectors);
  EXPECT_EQ(copy.rids, original.rids);
  EXPECT_EQ(copy.guard, original.guard);
  EXPECT_EQ(before->parts[0].part.get(), &original) << "an older view stays as it is";
  expect_same_answers(*before, *after);
  EXPECT_FALSE(mapped.place()) << "they are there";
}

TEST_P(HugePages, WhatIsMergedOfThemIsTheSame) {
  Mapped mapped(laid_out(GetParam()));
  Mapped copied(laid_out(GetParam()));
  ASSERT_TRUE(copied.place());
  for (Mapped* one : {&mapped, &copied}) {
    one->set.erase(numbers(100, 400));
    add(one->set, one->vectors, kHugeRows, kHugeRows + 500);
    const auto before = one->set.view();
    one->set.replace_parts(*before, VectorSet::merge(*before, 1));
  }
  const Part& expected = *mapped.part();
  const Part& found = *copied.part();
  ASSERT_EQ(found.rows, expected.rows);
  EXPECT_EQ(found.original, nullptr);
  EXPECT_EQ(found.neighbour_codes != nullptr, GetParam() == Layout::kNeighbours);
  EXPECT_EQ(std::memcmp(found.codes, expected.codes, found.rows * found.code_stride), 0);
  const size_t links = size_t{found.rows} * found.graph.degree * sizeof(uint32_t);
  EXPECT_EQ(std::memcmp(found.graph.level0, expected.graph.level0, links), 0);
  expect_same_answers(*mapped.set.view(), *copied.set.view());
}

INSTANTIATE_TEST_SUITE_P(Both, HugePages, ::testing::Values(Layout::kNodes, Layout::kNeighbours));

TEST(InHugePages, APartStaysAsItIsWhereThatGainsNothing) {
  const auto stays = [](const Mapped& mapped) { return mapped.copy() == mapped.part(); };
  EXPECT_FALSE(stays(Mapped(graph_spec(kHugeDim, Metric::kL2))));
  EXPECT_TRUE(stays(Mapped(graph_spec(kHugeDim, Metric::kL2), 500))) << "small";
  EXPECT_TRUE(stays(Mapped(graph_spec(kHugeDim, Metric::kL2, DType::kF32, CodeKind::kNone)))) << "no codes";
  EXPECT_TRUE(stays(Mapped(graph_spec(kHugeDim, Metric::kL2), 1))) << "a row";

  const Mapped mapped(graph_spec(kHugeDim, Metric::kL2));
  const auto changed = [&](const auto& change) {
    const auto part = std::make_shared<Part>(*mapped.part());
    change(*part);
    return in_huge_pages(mapped.set.spec(), part, 1) != part;
  };
  const Paging paging;
  EXPECT_TRUE(changed([](Part&) {}));
  EXPECT_FALSE(changed([](Part& part) { part.guard = nullptr; })) << "in memory";
  EXPECT_FALSE(changed([&](Part& part) { part.paging = &paging; })) << "under a budget";
  const auto copy = mapped.copy();
  EXPECT_EQ(in_huge_pages(mapped.set.spec(), copy, 1), copy) << "a copy";
}

TEST(InHugePages, NothingThatIsDamagedIsCopied) {
  Mapped mapped(graph_spec(kHugeDim, Metric::kL2));
  mapped.guard->damaged = true;
  EXPECT_THROW(mapped.copy(), CorruptionError);
  mapped.guard->damaged = false;
  mapped.guard->cut = true;  // while it was read
  EXPECT_THROW(mapped.place(), CorruptionError);
  EXPECT_EQ(mapped.part()->original, nullptr);
}

TEST(InHugePages, CopiesOutliveWhatTheyAreOf) {
  std::shared_ptr<const Part> copy;
  std::weak_ptr<const Part> original;
  {
    const Mapped mapped(graph_spec(kHugeDim, Metric::kL2));
    original = mapped.part();
    copy = mapped.copy();
    const_cast<Part&>(*copy).guard = nullptr;  // of the test's, that goes
  }
  ASSERT_FALSE(original.expired());
  EXPECT_EQ(copy->rids[copy->rid_order[kHugeRows - 1]], kHugeRows - 1);
  copy.reset();
  EXPECT_TRUE(original.expired());
}

TEST(InHugePages, CopiesMayComeBesideAMerge) {
  Mapped mapped(graph_spec(kHugeDim, Metric::kL2));
  const auto before = mapped.set.view();
  const auto late = copies_in_huge_pages(*before, 1);
  const auto merged = VectorSet::merge(*before, 1);
  ASSERT_TRUE(mapped.place());
  mapped.set.erase(numbers(7, 9));
  mapped.set.replace_parts(*before, merged);  // of the part that has a copy in its place by now
  EXPECT_EQ(mapped.part(), merged);
  EXPECT_EQ(mapped.set.view()->live, kHugeRows - 2);
  View::RowRef where;
  EXPECT_FALSE(mapped.set.view()->find(7, &where));
  EXPECT_FALSE(mapped.set.place_copies(late)) << "its original is gone";
  EXPECT_EQ(mapped.part(), merged);
}

TEST(InHugePages, AHeadStaysAnchored) {
  Mapped mapped(graph_spec(kHugeDim, Metric::kL2), 6000);
  const std::vector<float> head = embedded(7000, kHugeDim, 1);
  add(mapped.set, head, 6500, 7000);
  add(mapped.set, head, 6000, 6500);
  const auto measured_in_head = [&](const View& view) {
    const std::vector<float> queries = embedded(50, kHugeDim, 2);
    std::vector<SearchStep> steps;
    std::vector<Hit> hits(10);
    for (size_t at = 0; at < queries.size(); at += kHugeDim) {
      view.search(&queries[at], {.k = 10, .ef = 40, .steps = &steps}, hits.data());
    }
    uint64_t measured = 0;
    for (const SearchStep& step : steps) measured += step.part == 1 ? step.measured : 0;
    return measured;
  };
  const auto before = mapped.set.view();
  ASSERT_NE(before->head->anchors_in(before->parts[0].part), nullptr);
  ASSERT_TRUE(mapped.place());
  const auto after = mapped.set.view();
  EXPECT_EQ(after->head->anchors_in(after->parts[0].part), before->head->anchors_in(before->parts[0].part));
  EXPECT_EQ(measured_in_head(*after), measured_in_head(*before));
  expect_same_answers(*before, *after);

  Mapped copied(graph_spec(kHugeDim, Metric::kL2), 6000);  // and one that grows beside a copy is anchored in the part
  ASSERT_TRUE(copied.place());
  add(copied.set, head, 6500, 7000);
  add(copied.set, head, 6000, 6500);
  const auto view = copied.set.view();
  EXPECT_NE(view->head->anchors_in(view->parts[0].part->original), nullptr);
}

}  // namespace
}  // namespace lamina
