// Goal: records come back as they went in, by row, rid and id; damage is noticed on first touch; a hostile file is
// refused or answers wrongly, but does no harm. Method: against the rows that were written; flips; numbers out of
// range with all checksums made right again.
#include "segment/record_segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "io/memory_fs.h"
#include "segment/damage.h"
#include "segment/record_sections.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;
using sample::File;
using sample::kRecordId;
using sample::OwnedRecords;

File write(const OwnedRecords& owned) {
  MemoryFileSystem fs;
  return sample::record_segment(fs, "/", owned);
}

std::shared_ptr<const RecordSegment> open(const std::shared_ptr<const Mapping>& mapping, const FileRef& ref) {
  return open_record_segment(mapping, ref, kRecordId, kToyHasher);
}

std::shared_ptr<const RecordSegment> open(const File& file) {
  return open(std::make_shared<TestMapping>(file.bytes), file.ref);
}

// What many at once are answered, whatever lies between those that are there, is what each is.
template <class T, class IdsOf>
void expect_found(const RecordSegment& segment, std::vector<T> ids, IdsOf&& ids_of) {
  std::ranges::sort(ids);
  for (size_t step = 1; step <= ids.size(); step *= 3) {
    std::vector<T> some;
    for (size_t i = 0; i < ids.size(); i += step) some.push_back(ids[i]);
    const auto found = segment.find_all(ids_of(some));
    ASSERT_EQ(found.size(), some.size());
    for (size_t i = 0; i < some.size(); ++i) EXPECT_EQ(found[i], segment.find(Id{some[i]}));
  }
}

void expect_all_found(const RecordSegment& segment) {
  std::vector<int64_t> ints{std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  std::vector<std::string_view> texts{"", "\xff"};
  std::vector<uint64_t> rids{0, ~uint64_t{0}};
  for (uint32_t row = 0; row < segment.rows(); ++row) {
    const Id id = segment.id_at(row);
    if (const auto* number = std::get_if<int64_t>(&id)) {
      ints.insert(ints.end(), {*number, *number, *number + 1});
    } else {
      const auto text = std::get<std::string_view>(id);
      texts.insert(texts.end(), {text, text, text.substr(0, text.size() - 1)});
    }
    rids.insert(rids.end(), {segment.rids()[row], segment.rids()[row] + 1});
  }
  expect_found(segment, ints, [](std::span<const int64_t> some) { return Ids{IdKind::kInt, some, {}}; });
  expect_found(segment, texts, [](std::span<const std::string_view> some) { return Ids{IdKind::kString, {}, some}; });
  std::ranges::sort(rids);
  for (const size_t step : {1, 27}) {
    std::vector<uint64_t> some;
    for (size_t i = 0; i < rids.size(); i += step) some.push_back(rids[i]);
    const auto found = segment.find_all_rids(some);
    for (size_t i = 0; i < some.size(); ++i) EXPECT_EQ(found.at(i), segment.find_rid(some[i]));
  }
}

// Every answer that the segment can give.
void read_all(const RecordSegment& segment) {
  for (uint32_t row = 0; row < segment.rows(); ++row) {
    segment.find(segment.id_at(row));
    segment.find_rid(segment.fields_at(row).rid);
    segment.block(segment.block_of(row));
  }
  segment.find_all_rids(segment.rids());
}

TEST(RecordSegment, GivesBackTheRecords) {
  for (const IdKind kind : {IdKind::kInt, IdKind::kString}) {
    const auto owned = sample::records(100, kind);
    const auto segment = open(write(*owned));
    ASSERT_EQ(segment->rows(), 100U);
    EXPECT_EQ(segment->id_kind(), kind);
    for (uint32_t row = 0; row < 100; ++row) {
      const RecordFields fields = segment->fields_at(row);
      const RecordFields& expected = owned->fields[row];
      EXPECT_EQ(fields.rid, expected.rid);
      EXPECT_EQ(fields.version, expected.version);
      EXPECT_EQ(fields.created_us, expected.created_us);
      EXPECT_EQ(fields.updated_us, expected.updated_us);
      EXPECT_EQ(fields.content_hash, expected.content_hash);
      EXPECT_EQ(fields.scope, expected.scope);
      EXPECT_EQ(segment->rids()[row], expected.rid);
      EXPECT_EQ(segment->id_at(row), owned->rows.ids.at(row));
      EXPECT_EQ(segment->find(owned->rows.ids.at(row)), row);
      EXPECT_EQ(segment->find_rid(expected.rid), row);
      EXPECT_EQ(segment->find_rid(expected.rid + 1), std::nullopt);
      const RecordSegment::Block block = segment->block(segment->block_of(row));
      EXPECT_LE(block.first_row, row);
      EXPECT_LT(row, block.first_row + block.rows);
      EXPECT_EQ(as_text(block.bytes), owned->blocks[row / 3]);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block.bytes.data()) % 64, 0U);
    }
    EXPECT_EQ(segment->block_count(), owned->blocks.size());
    EXPECT_EQ(segment->find(Id{int64_t{1}}), std::nullopt);
    EXPECT_EQ(segment->find(Id{std::string_view("zz")}), std::nullopt);
    EXPECT_EQ(segment->find(Id{std::string_view("")}), std::nullopt);
    expect_all_found(*segment);
    segment->verify(kToyHasher);
  }
}

TEST(RecordSegment, AnyThreadMayBeTheFirstToTouch) {
  const auto segment = open(write(*sample::records(100, IdKind::kString)));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { read_all(*segment); });
  for (std::thread& thread : threads) thread.join();
}

TEST(RecordSegment, NoRowsRoundTrip) {
  const auto segment = open(write(*sample::records(0, IdKind::kString)));
  EXPECT_EQ(segment->rows(), 0U);
  EXPECT_EQ(segment->find(Id{std::string_view("")}), std::nullopt);
  EXPECT_EQ(segment->find_rid(0), std::nullopt);
  EXPECT_EQ(segment->block_count(), 0U);
  segment->verify(kToyHasher);
}

TEST(RecordSegment, RefusesToWriteWhatCannotBe) {
  const auto refuse = [](const std::function<void(OwnedRecords&)>& change) {
    const auto owned = sample::records(6, IdKind::kInt);
    change(*owned);
    EXPECT_THROW(write(*owned), std::invalid_argument);
  };
  refuse([](auto& o) { o.ints[3] = o.ints[1]; });
  refuse([](auto& o) { o.fields[3].rid = o.fields[2].rid; });
  refuse([](auto& o) { o.rows.blocks.pop_back(); });
  refuse([](auto& o) { o.rows.blocks[0].rows = 0; });
  refuse([](auto& o) { o.rows.fields = o.rows.fields.first(5); });
}

TEST(RecordSegment, EveryFlipAndCutIsNoticed) {
  for (const IdKind kind : {IdKind::kInt, IdKind::kString}) {
    const auto owned = sample::records(8, kind);
    const File file = write(*owned);
    const ReadBytes read = [&](const auto& mapping) { open(mapping, file.ref)->verify(kToyHasher); };
    expect_flips_noticed(file.bytes, read);
    expect_cuts_noticed(file.bytes, read, 997);
  }
}

TEST(RecordSegment, AFlipInASectionIsNoticedOnFirstTouchAndEachTimeAfter) {
  const auto owned = sample::records(8, IdKind::kString);
  const File file = write(*owned);
  for (const SectionName name :
       {kRecordRids, kIdOffsets, kIdBytes, kHashes, kTimes, kVersions, kScopes, kBlocks, kColumns}) {
    const auto mapping = std::make_shared<TestMapping>(file.bytes);
    const auto segment = open(mapping, file.ref);
    mapping->data()[segment->file().find(name)->offset + 1] ^= std::byte{0x40};
    for (int attempt = 0; attempt < 2; ++attempt) {
      EXPECT_THROW(read_all(*segment), CorruptionError) << text_of(name);
    }
  }
}

TEST(RecordSegment, AnOrderOfIdsThatIsDamagedIsMadeInMemoryAndStillDamage) {
  for (const IdKind kind : {IdKind::kInt, IdKind::kString}) {
    const File file = write(*sample::records(100, kind));
    const auto mapping = std::make_shared<TestMapping>(file.bytes);
    const auto segment = open(mapping, file.ref);
    mapping->data()[segment->file().find(kIdOrder)->offset + 1] ^= std::byte{0x40};
    expect_all_found(*open(mapping, file.ref));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { read_all(*segment); });
    for (std::thread& thread : threads) thread.join();
    for (uint32_t row = 0; row < 100; ++row) EXPECT_EQ(segment->find(segment->id_at(row)), row);
    EXPECT_THROW(segment->verify(kToyHasher), CorruptionError);
  }
}

TEST(RecordSegment, ASegmentOfAnotherIdIsDamage) {
  const File file = write(*sample::records(8, IdKind::kInt));
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  EXPECT_THROW(open_record_segment(mapping, file.ref, sample::kVectorId, kToyHasher), CorruptionError);
}

// What reading, and then verifying, answers when element `at` of section `name` is `value`.
struct Answers {
  Answer read;
  Answer verify;
  bool operator==(const Answers&) const = default;
};

template <class T>
Answers answers_to(IdKind kind, SectionName name, size_t at, T value) {
  const File file = write(*sample::records(8, kind));
  const uint64_t offset = open(file)->file().find(name)->offset;
  Buffer bytes = file.bytes;
  store_le(bytes.data() + offset + at * sizeof(T), value);
  const FileRef ref = repair_segment(bytes);
  const auto mapping = std::make_shared<TestMapping>(bytes);
  return {answer_of([&] { read_all(*open(mapping, ref)); }),
          answer_of([&] { open(mapping, ref)->verify(kToyHasher); })};
}

constexpr Answers kFine = {Answer::kFine, Answer::kFine};
constexpr Answers kRefused = {Answer::kDamaged, Answer::kDamaged};
constexpr Answers kFoundByVerify = {Answer::kFine, Answer::kDamaged};

TEST(RecordSegment, NumbersOutOfRangeAreRefusedThoughChecksumsAgree) {
  constexpr IdKind kInt = IdKind::kInt;
  constexpr IdKind kText = IdKind::kString;
  EXPECT_EQ(answers_to<uint64_t>(kInt, kRecordRids, 7, 1000), kFine);
  EXPECT_EQ(answers_to<uint64_t>(kInt, kRecordRids, 3, 14), kRefused) << "a rid twice";
  EXPECT_EQ(answers_to<uint64_t>(kInt, kRecordRids, 3, 1), kRefused) << "rids that fall";
  EXPECT_EQ(answers_to<uint32_t>(kInt, kIdOrder, 3, 8), kFoundByVerify) << "an order past the rows";
  EXPECT_EQ(answers_to<uint32_t>(kInt, kIdOrder, 3, 0), kFoundByVerify) << "a row twice";
  EXPECT_EQ(answers_to<int64_t>(kInt, kIntIds, 2, 500), kFoundByVerify) << "an order that is none";
  EXPECT_EQ(answers_to<uint64_t>(kText, kIdOffsets, 4, ~uint64_t{0}), kRefused) << "an id past its bytes";
  EXPECT_EQ(answers_to<uint64_t>(kText, kIdOffsets, 4, 0), kRefused) << "an id that ends before it begins";
  EXPECT_EQ(answers_to<uint64_t>(kText, kIdOffsets, 0, 1), kFoundByVerify) << "bytes of no id";
  EXPECT_EQ(answers_to<uint32_t>(kInt, kScopes, 2, 2), kRefused) << "no such scope";
  EXPECT_EQ(answers_to<uint32_t>(kInt, kScopeNames, 0, 0xffffffff), kRefused) << "a name past its section";
  EXPECT_EQ(answers_to<uint64_t>(kInt, kBlocks, 0, 1), kRefused) << "a first row that is not 0";
  EXPECT_EQ(answers_to<uint64_t>(kInt, kBlocks, 1, 4), kRefused) << "rows in two blocks";
  EXPECT_EQ(answers_to<uint64_t>(kInt, kBlocks, 2, ~uint64_t{0} - 63), kRefused) << "a block past the file";
  EXPECT_EQ(answers_to<uint64_t>(kInt, kBlocks, 3, ~uint64_t{0}), kRefused) << "a block longer than the file";
  EXPECT_EQ(answers_to<uint8_t>(kInt, kColumns, 60, 1), kFoundByVerify) << "something between blocks";
}

}  // namespace
}  // namespace lamina
