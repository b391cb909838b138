// Goal: a part comes back from its file as it went in; what the searcher will trust was checked before; damage is
// noticed on first touch and each time after. Method: round trips over metrics and dtypes; flips; columns overwritten
// with numbers out of range and all checksums made right again.
#include "segment/vector_segment.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "index/huge_pages.h"
#include "io/memory_fs.h"
#include "segment/damage.h"
#include "segment/repair.h"
#include "segment/vector_sections.h"

namespace lamina {
namespace {

using sample::Buffer;
using sample::File;
using sample::OwnedPart;

File write(const OwnedPart& owned) {
  MemoryFileSystem fs;
  return sample::vector_segment(fs, "/", owned);
}

template <class T>
void expect_same(const T* found, const T* expected, size_t count) {
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(std::memcmp(found, expected, count * sizeof(T)), 0);
}

void expect_same_graph(const GraphView& found, const GraphView& expected, uint32_t rows) {
  EXPECT_EQ(found.entry, expected.entry);
  if (expected.entry == kNoRow) return;
  EXPECT_EQ(found.degree, expected.degree);
  EXPECT_EQ(found.upper_degree, expected.upper_degree);
  expect_same(found.level0, expected.level0, rows * expected.degree);
  EXPECT_TRUE(std::ranges::equal(found.upper_counts, expected.upper_counts));
  EXPECT_TRUE(std::ranges::equal(found.upper_rows, expected.upper_rows));
  expect_same(found.upper, expected.upper, 8);
}

TEST(VectorSegment, ItsPartInHugePagesLiesOutsideTheMappingAndIsWrittenTheSame) {
  constexpr uint32_t kRows = 20001;
  const auto owned = sample::part(kRows);
  sample::add_neighbour_codes(*owned);
  File file = write(*owned);
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const auto open = [&] {
    const auto segment = open_vector_segment(mapping, file.ref, sample::vector_info(*owned), kToyHasher);
    return std::shared_ptr<const Part>(segment, &segment->part());
  };
  const auto lies_in = [&](const void* column) {
    const auto* const at = static_cast<const std::byte*>(column);
    return at >= mapping->bytes().data() && at < mapping->bytes().data() + mapping->bytes().size();
  };
  const auto part = open();
  const auto copy = in_huge_pages(owned->spec, part, 2);
  ASSERT_NE(copy, part);
  for (const void* column : std::initializer_list<const void*>{part->codes, part->coarse_codes, part->neighbour_codes,
                                                               part->graph.level0, copy->vectors, copy->rids}) {
    EXPECT_TRUE(lies_in(column));
  }
  for (const void* column :
       std::initializer_list<const void*>{copy->codes, copy->coarse_codes, copy->neighbour_codes, copy->graph.level0}) {
    EXPECT_FALSE(lies_in(column));
  }
  MemoryFileSystem fs;
  const Buffer again = sample::written(
      fs, "/", [&](Publication& out) { write_vector_segment(out, *copy, sample::vector_info(*owned), kToyHasher); });
  EXPECT_EQ(again, file.bytes);

  for (const void* column : {static_cast<const void*>(part->codes), static_cast<const void*>(part->graph.level0)}) {
    auto* const at = const_cast<std::byte*>(static_cast<const std::byte*>(column)) + 1000;
    *at ^= std::byte{1};
    EXPECT_EQ(answer_of([&] { in_huge_pages(owned->spec, open(), 2); }), Answer::kDamaged);
    *at ^= std::byte{1};
  }
}

TEST(VectorSegment, GivesBackThePart) {
  for (const bool flat : {false, true}) {
    const auto owned = sample::part(50, 37, flat);
    const File file = write(*owned);
    const auto segment = open_vector_segment(std::make_shared<TestMapping>(file.bytes), file.ref,
                                             sample::vector_info(*owned), kToyHasher);
    const Part& part = segment->part();
    const Part& expected = owned->part;
    ASSERT_NE(part.guard, nullptr);
    part.guard->check_index();
    part.guard->check_vectors(0, 50);
    EXPECT_EQ(part.rows, 50U);
    EXPECT_EQ(part.name, "test");
    expect_same(part.vectors, expected.vectors, 50 * 37 * 4);
    expect_same(part.inverse_norms, expected.inverse_norms, 50);
    expect_same(part.rids, expected.rids, 50);
    expect_same(part.rid_order, expected.rid_order, 50);
    expect_same(part.ids, expected.ids, 50);
    expect_same(part.provenance, expected.provenance, 50);
    EXPECT_EQ(part.code_stride, 64U);
    expect_same(part.codes, expected.codes, 50 * 64);
    EXPECT_EQ(part.i8.scale, 127.0F);
    EXPECT_EQ(part.coarse_codes == nullptr, flat);
    if (!flat) expect_same(part.coarse_codes, expected.coarse_codes, 50 * 64);
    EXPECT_EQ(part.i4.step, expected.i4.step);
    EXPECT_EQ(part.i4.low, expected.i4.low);
    ASSERT_EQ(part.calibration.points.size(), 3U);
    EXPECT_EQ(part.calibration.points[1].recall, 0.875F);
    EXPECT_EQ(part.calibration.points[1].far, 0.75F);
    expect_same_graph(part.graph, expected.graph, 50);
    segment->verify(kToyHasher);
  }
}

TEST(VectorSegment, GivesBackTheNeighbourCodes) {
  for (const bool coarse : {false, true}) {
    const auto owned = sample::part(50, 37);
    sample::add_neighbour_codes(*owned);
    if (!coarse) owned->part.coarse_codes = nullptr, owned->part.i4 = {};
    const File file = write(*owned);
    const auto segment = open_vector_segment(std::make_shared<TestMapping>(file.bytes), file.ref,
                                             sample::vector_info(*owned), kToyHasher);
    segment->part().guard->check_index();
    expect_same(segment->part().neighbour_codes, owned->part.neighbour_codes, 50 * (48 * 4 + 128));
    EXPECT_EQ(segment->part().coarse_codes != nullptr, coarse);
    expect_same_graph(segment->part().graph, owned->part.graph, 50);
    segment->verify(kToyHasher);
  }
  const auto without = sample::part();
  const File file = write(*without);
  EXPECT_EQ(open_vector_segment(std::make_shared<TestMapping>(file.bytes), file.ref, sample::vector_info(*without),
                                kToyHasher)
                ->part()
                .neighbour_codes,
            nullptr);
}

TEST(VectorSegment, EveryMetricAndDtypeRoundTrips) {
  struct Case {
    Metric metric;
    DType dtype;
  };
  for (const auto [metric, dtype] : {Case{Metric::kL2, DType::kF32}, Case{Metric::kIp, DType::kF16},
                                     Case{Metric::kCosine, DType::kF16}, Case{Metric::kHamming, DType::kBits}}) {
    const auto owned = sample::part(9, 64, true);
    owned->spec.metric = metric;
    owned->spec.dtype = dtype;
    owned->part.ids = nullptr;
    owned->part.codes = nullptr;
    owned->vectors.assign(owned->vectors.size(), 0.0F);
    const File file = write(*owned);
    const auto segment = open_vector_segment(std::make_shared<TestMapping>(file.bytes), file.ref,
                                             sample::vector_info(*owned), kToyHasher);
    segment->verify(kToyHasher);
    EXPECT_EQ(segment->part().ids, nullptr);
    EXPECT_EQ(segment->part().codes, nullptr);
    EXPECT_EQ(segment->part().inverse_norms != nullptr, metric == Metric::kCosine);
  }
}

TEST(VectorSegment, AnEmptyPartRoundTrips) {
  const auto owned = sample::part(0, 4, true);
  const File file = write(*owned);
  const auto segment =
      open_vector_segment(std::make_shared<TestMapping>(file.bytes), file.ref, sample::vector_info(*owned), kToyHasher);
  segment->verify(kToyHasher);
  segment->part().guard->check_vectors(0, 0);
  EXPECT_EQ(segment->part().rows, 0U);
}

void read_all(const std::shared_ptr<const Mapping>& mapping, const FileRef& ref, const OwnedPart& owned) {
  open_vector_segment(mapping, ref, sample::vector_info(owned), kToyHasher)->verify(kToyHasher);
}

TEST(VectorSegment, EveryFlipAndCutIsNoticed) {
  const auto owned = sample::part();
  sample::add_neighbour_codes(*owned);
  const File file = write(*owned);
  const ReadBytes read = [&](const auto& mapping) { read_all(mapping, file.ref, *owned); };
  expect_flips_noticed(file.bytes, read);
  expect_cuts_noticed(file.bytes, read, 997);
}

TEST(VectorSegment, AFlipInASectionIsNoticedOnFirstTouchAndEachTimeAfter) {
  const auto owned = sample::part();
  sample::add_neighbour_codes(*owned);
  const File file = write(*owned);
  for (const SectionName name : {kRids, kIds, kProvenance, kNorms, kCodes, kCoarseCodes, kNeighbourCodes, kLevel0,
                                 kUpperRows, kUpper, kVectors}) {
    const auto mapping = std::make_shared<TestMapping>(file.bytes);
    const auto segment = open_vector_segment(mapping, file.ref, sample::vector_info(*owned), kToyHasher);
    mapping->data()[segment->file().find(name)->offset + 3] ^= std::byte{0x10};
    const Part::Guard& guard = *segment->part().guard;
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (name == kVectors) {
        guard.check_index();
        EXPECT_THROW(guard.check_vectors(0, 1), CorruptionError);
      } else {
        guard.check_vectors(0, 8);
        EXPECT_THROW(guard.check_index(), CorruptionError) << text_of(name);
      }
    }
  }
}

TEST(VectorSegment, AnOrderOfRidsThatIsDamagedIsMadeInMemoryAndStillDamage) {
  const auto owned = sample::part(50, 30, true);
  const File file = write(*owned);
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const auto segment = open_vector_segment(mapping, file.ref, sample::vector_info(*owned), kToyHasher);
  mapping->data()[segment->file().find(kRidOrder)->offset + 3] ^= std::byte{0x10};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { expect_same(segment->part().checked_order(), owned->part.rid_order, 50); });
  }
  for (std::thread& thread : threads) thread.join();
  segment->part().guard->check_index();
  EXPECT_THROW(segment->verify(kToyHasher), CorruptionError);
}

TEST(VectorSegment, OnlyTheBlocksOfTheRowsAskedForAreTouched) {
  const auto owned = sample::part(64, 256, true);  // four rows a block
  const File file = write(*owned);
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const auto segment = open_vector_segment(mapping, file.ref, sample::vector_info(*owned), kToyHasher);
  mapping->data()[segment->file().find(kVectors)->offset + 4096 * 3] ^= std::byte{1};
  const Part::Guard& guard = *segment->part().guard;
  guard.check_vectors(0, 12);
  guard.check_vectors(16, 48);
  EXPECT_THROW(guard.check_vectors(15, 1), CorruptionError);
  EXPECT_THROW(guard.check_vectors(0, 64), CorruptionError);
}

TEST(VectorSegment, AnyThreadMayBeTheFirstToTouch) {
  const auto owned = sample::part(300, 64);
  const File file = write(*owned);
  const auto segment =
      open_vector_segment(std::make_shared<TestMapping>(file.bytes), file.ref, sample::vector_info(*owned), kToyHasher);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&segment, t] {
      const Part::Guard& guard = *segment->part().guard;
      guard.check_index();
      for (uint32_t row = 0; row < 300; ++row) guard.check_vectors((row + 75 * t) % 300, 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(VectorSegment, AnotherSpecModelOrIdIsDamage) {
  const auto owned = sample::part();
  const File file = write(*owned);
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const auto answer = [&](const std::function<void(VectorSegmentInfo&)>& change) {
    VectorSegmentInfo info = sample::vector_info(*owned);
    change(info);
    return answer_of([&] { open_vector_segment(mapping, file.ref, info, kToyHasher); });
  };
  EXPECT_EQ(answer([](auto&) {}), Answer::kFine);
  EXPECT_EQ(answer([](auto& info) { info.id[0] = std::byte{0}; }), Answer::kDamaged);
  EXPECT_EQ(answer([](auto& info) { info.fingerprint[0] = 0; }), Answer::kDamaged);
  EXPECT_EQ(answer([](auto& info) { info.spec.seed = 8; }), Answer::kDamaged);
  EXPECT_EQ(answer([](auto& info) { info.spec.metric = Metric::kIp; }), Answer::kDamaged);
  EXPECT_EQ(answer([](auto& info) { info.spec.layout = Layout::kNodes; }), Answer::kDamaged);
}

// What verifying answers when element `at` of section `name` is `value`.
template <class T>
Answer answer_to(SectionName name, size_t at, T value) {
  const auto owned = sample::part();
  const File file = write(*owned);
  const auto whole = std::make_shared<TestMapping>(file.bytes);
  const uint64_t offset = SegmentFile(whole, 0, file.ref, kToyHasher).find(name)->offset;
  Buffer bytes = file.bytes;
  store_le(bytes.data() + offset + at * sizeof(T), value);
  const FileRef ref = repair_segment(bytes);
  return answer_of([&] { read_all(std::make_shared<TestMapping>(bytes), ref, *owned); });
}

TEST(VectorSegment, NumbersOutOfRangeAreRefusedThoughChecksumsAgree) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(answer_to<uint32_t>(kLevel0, 0, 1), Answer::kFine);
  EXPECT_EQ(answer_to<uint32_t>(kLevel0, 5, 8), Answer::kDamaged) << "a neighbour past the rows";
  EXPECT_EQ(answer_to<uint32_t>(kLevel0, 31, kNoRow - 1), Answer::kDamaged);
  EXPECT_EQ(answer_to<uint32_t>(kUpper, 1, 3), Answer::kDamaged) << "an upper neighbour past its level";
  EXPECT_EQ(answer_to<uint32_t>(kUpper, 6, 1), Answer::kDamaged) << "past the level above, though not the one below";
  EXPECT_EQ(answer_to<uint32_t>(kUpperRows, 1, 8), Answer::kDamaged) << "an upper row past the rows";
  EXPECT_EQ(answer_to<uint32_t>(kUpperRows, 0, 5), Answer::kDamaged) << "another entry";
  EXPECT_EQ(answer_to<uint32_t>(kRidOrder, 2, 8), Answer::kDamaged) << "an order past the rows";
  EXPECT_EQ(answer_to<uint32_t>(kRidOrder, 2, 0), Answer::kDamaged) << "a row twice";
  EXPECT_EQ(answer_to<uint64_t>(kRids, 3, 1), Answer::kDamaged) << "an order that is none";
  EXPECT_EQ(answer_to<float>(kNorms, 3, kNan), Answer::kDamaged);
  EXPECT_EQ(answer_to<float>(kVectors, 9, kNan), Answer::kDamaged);
  EXPECT_EQ(answer_to<float>(kVectors, 9, -std::numeric_limits<float>::infinity()), Answer::kDamaged);
  EXPECT_EQ(answer_to<float>(kParameters, 0, kNan), Answer::kDamaged);
  EXPECT_EQ(answer_to<float>(kParameters, 1, 0.0F), Answer::kDamaged) << "no scale";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 2, 16), Answer::kFine);
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 2, 17), Answer::kDamaged) << "a step too long";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 2, 0), Answer::kDamaged) << "a beginning of no steps";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 3, 255), Answer::kDamaged) << "a beginning beyond all codes";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 4, 5), Answer::kDamaged) << "another degree";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 4, 0x40000004), Answer::kDamaged) << "a degree that overflows";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 5, 3), Answer::kDamaged) << "another upper degree";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 6, 8), Answer::kDamaged) << "an entry past the rows";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 6, kNoRow), Answer::kDamaged) << "a graph without an entry";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 7, 3), Answer::kDamaged) << "more levels than counts";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 8, 9), Answer::kDamaged) << "more upper rows than rows";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 9, 4), Answer::kDamaged) << "a level larger than that below";
  EXPECT_EQ(answer_to<uint32_t>(kParameters, 9, 0), Answer::kDamaged) << "an empty level";
  EXPECT_EQ(answer_to<uint32_t>(kCalibration, 0, 0), Answer::kDamaged) << "k of zero";
  EXPECT_EQ(answer_to<uint32_t>(kCalibration, 1, 0xffffffff), Answer::kDamaged) << "a breadth beyond all";
  EXPECT_EQ(answer_to<float>(kCalibration, 2, kNan), Answer::kDamaged);
}

TEST(VectorSegment, NeighbourCodesOfNoCodesAreDamage) {
  const auto owned = sample::part();
  sample::add_neighbour_codes(*owned);
  owned->part.coarse_codes = nullptr;
  owned->part.i4 = {};
  owned->part.codes = nullptr;
  const File file = write(*owned);
  EXPECT_EQ(answer_of([&] { read_all(std::make_shared<TestMapping>(file.bytes), file.ref, *owned); }),
            Answer::kDamaged);
}

TEST(VectorSegment, AnyNeighbourCodesAreReadWhoseChecksumsAgree) {
  const auto owned = sample::part();
  sample::add_neighbour_codes(*owned);
  std::fill(owned->neighbour_codes.begin(), owned->neighbour_codes.end(), std::byte{0xff});
  const File file = write(*owned);
  EXPECT_EQ(answer_of([&] { read_all(std::make_shared<TestMapping>(file.bytes), file.ref, *owned); }), Answer::kFine);
}

TEST(VectorSegment, HostileHeadersAreRefused) {
  const auto owned = sample::part();
  const File file = write(*owned);
  const auto answer = [&](size_t at, uint64_t value) {
    Buffer bytes = file.bytes;
    store_le(bytes.data() + at, value);
    const FileRef ref = repair_segment(bytes);
    return answer_of([&] { read_all(std::make_shared<TestMapping>(bytes), ref, *owned); });
  };
  EXPECT_EQ(answer(48, 8), Answer::kFine);
  EXPECT_EQ(answer(48, 9), Answer::kDamaged) << "more rows than elements";
  EXPECT_EQ(answer(48, 0xfffffffe), Answer::kDamaged) << "as many rows as there can be";
  EXPECT_EQ(answer(120, 0), Answer::kDamaged) << "4-bit codes of no codes";
  EXPECT_EQ(answer(120, 128), Answer::kDamaged) << "a stride too long";
  EXPECT_EQ(answer(120, 63), Answer::kDamaged) << "a stride of no multiple";
}

}  // namespace
}  // namespace lamina
