// Goal: a container gives back its sections, notices every flip and cut, and believes no table. Method: sections of
// lengths around page, block and piece; footers rewritten with all checksums made right again.
#include "segment/segment_file.h"

#include <gtest/gtest.h>

#include "io/memory_fs.h"
#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;
using sample::File;

constexpr SectionName kFirst = section_name("ONE_");
constexpr SectionName kSecond = section_name("TWO_");

SegmentHeader header() {
  SegmentHeader header;
  header.kind = SegmentKind::kRecords;
  header.flavour = Flavour::kRecords;
  header.id_kind = 1;
  header.id = sample::kRecordId;
  header.rows = 3;
  return header;
}

Buffer pattern(size_t size) {
  Buffer bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251 + 1);
  return bytes;
}

// Two sections, the second of small blocks; the first written in pieces of odd size.
File write(Bytes first, Bytes second) {
  MemoryFileSystem fs;
  File file;
  file.bytes = sample::written(fs, "/", [&](Publication& out) {
    SegmentWriter writer(out, header(), kToyHasher);
    writer.begin(kFirst, SectionRole::kPrimary, 1, first.size());
    for (size_t at = 0; at < first.size(); at += 4999)
      writer.append(first.subspan(at, std::min<size_t>(4999, first.size() - at)));
    writer.begin(kSecond, SectionRole::kDerived, 0, 7, kVectorBlockBytes);
    writer.append(second);
    file.ref = writer.finish();
  });
  return file;
}

File small() { return write(pattern(70'000), pattern(9000)); }

void read_all(const std::shared_ptr<TestMapping>& mapping, const FileRef& ref) {
  expect_whole_file(*mapping, ref);
  SegmentFile(mapping, 0, ref, kToyHasher).verify(kToyHasher, {});
}

TEST(SegmentFile, GivesBackItsSections) {
  for (const size_t size : {0, 1, 4095, 4096, 4097, 65536, 65537, 2'200'000}) {
    const Buffer first = pattern(size);
    const Buffer second = pattern(size / 3);
    const File file = write(first, second);
    ASSERT_EQ(file.bytes.size() % kSegmentUnit, 0U);
    ASSERT_EQ(file.bytes.size(), file.ref.size);
    const auto mapping = std::make_shared<TestMapping>(file.bytes);
    const SegmentFile segment(mapping, 0, file.ref, kToyHasher);
    EXPECT_EQ(segment.header().id, sample::kRecordId);
    EXPECT_EQ(segment.header().rows, 3U);
    EXPECT_EQ(as_text(segment.bytes(segment.require(kFirst, 1, size))), as_text(first));
    EXPECT_EQ(as_text(segment.bytes(segment.require(kSecond, 0, 7))), as_text(second));
    uint64_t seen = 0;
    segment.verify(kToyHasher, [&](uint64_t bytes) { seen += bytes; });
    EXPECT_EQ(seen, file.bytes.size());
    Buffer repaired = file.bytes;
    EXPECT_EQ(repair_segment(repaired), file.ref) << "the content root, computed another way";
  }
}

TEST(SegmentFile, EveryFlipAndCutIsNoticed) {
  const File file = small();
  const ReadBytes read = [&](const auto& mapping) { read_all(mapping, file.ref); };
  expect_flips_noticed(file.bytes, read);
  expect_cuts_noticed(file.bytes, read, 4093);
}

TEST(SegmentFile, AFlipIsNoticedByTheBlockThatHoldsItAndNoOther) {
  const File file = small();
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const SegmentFile segment(mapping, 0, file.ref, kToyHasher);
  const Section& section = segment.require(kSecond, 0, 7);
  const CheckedSection checked(segment, section);
  mapping->data()[section.offset + 5000] ^= std::byte{1};
  checked.check(0, 4096);
  checked.check(8192, 808);
  EXPECT_THROW(checked.check(5000, 1), CorruptionError);
  EXPECT_THROW(checked.check(4000, 200), CorruptionError) << "a second time: never taken for good";
  try {
    checked.check_all();
    FAIL();
  } catch (const CorruptionError& e) {
    EXPECT_EQ(e.offset, section.offset + 4096);
    EXPECT_EQ(e.file, "test");
  }
  mapping->data()[section.offset + 5000] ^= std::byte{1};
  checked.check_all();
}

TEST(SegmentFile, VerifyLooksAgainAtWhatWasGoodBefore) {
  const File file = small();
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const SegmentFile segment(mapping, 0, file.ref, kToyHasher);
  segment.verify(kToyHasher, {});
  for (const size_t at : {size_t{0}, size_t{5000}, file.bytes.size() - 4097, file.bytes.size() - 1}) {
    mapping->data()[at] ^= std::byte{1};
    EXPECT_THROW(segment.verify(kToyHasher, {}), CorruptionError) << at;
    mapping->data()[at] ^= std::byte{1};
  }
  segment.verify(kToyHasher, {});
}

TEST(SegmentFile, AnotherSegmentsBlocksAndFootersAreRefused) {
  const File file = small();
  Buffer swapped = file.bytes;  // the first two small blocks of the second section, one for the other
  const size_t second = 4096 + 73728;
  std::swap_ranges(swapped.begin() + second, swapped.begin() + second + 4096, swapped.begin() + second + 4096);
  EXPECT_EQ(answer_of([&] { read_all(std::make_shared<TestMapping>(swapped), file.ref); }), Answer::kDamaged);
  FileRef other = file.ref;
  other.digest[5] ^= std::byte{1};
  EXPECT_EQ(answer_of([&] { read_all(std::make_shared<TestMapping>(file.bytes), other); }), Answer::kDamaged);
}

// What only one safeguard would notice.
TEST(SegmentFile, OpeningRefusesADamagedHeaderAndAnotherFooter) {
  const File file = small();
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const auto open = [&](const FileRef& ref) { SegmentFile(mapping, 0, ref, kToyHasher); };
  FileRef other = file.ref;
  other.digest[5] ^= std::byte{1};
  EXPECT_THROW(open(other), CorruptionError);
  mapping->data()[48] ^= std::byte{1};  // of the number of rows
  EXPECT_THROW(open(file.ref), CorruptionError);
}

TEST(SegmentFile, ADamagedFooterIsToldFromAnother) {
  const File file = small();
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  mapping->data()[file.bytes.size() - kPageBytes + 3000] ^= std::byte{1};
  try {
    SegmentFile(mapping, 0, file.ref, kToyHasher);
    FAIL();
  } catch (const CorruptionError& e) {
    EXPECT_NE(std::string(e.what()).find("footer checksum"), std::string::npos) << e.what();
  }
}

TEST(SegmentFile, NoBlockIsBelievedWhileAChecksumIsDamaged) {
  const File file = small();
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  const SegmentFile segment(mapping, 0, file.ref, kToyHasher);
  const auto checks = load_le<uint64_t>(file.bytes.data() + file.bytes.size() - kPageBytes + 256 + 8);
  mapping->data()[checks + 8] ^= std::byte{1};  // the checksum of the second section's first block
  EXPECT_THROW(CheckedSection(segment, segment.require(kFirst, 1, 70'000)).check(0, 1), CorruptionError);
}

TEST(SegmentFile, VerifyNoticesAnotherContentThoughChecksumsAgree) {
  const File file = small();
  Buffer bytes = file.bytes;
  bytes[5000] ^= std::byte{1};
  FileRef ref = repair_segment(bytes);
  const Edit footer = Edit(bytes).last(kPageBytes);
  std::ranges::copy(Bytes(file.bytes).last(kPageBytes).subspan(32, 32), footer.data() + 32);  // the old content root
  store_le(footer.data() + kFooterCrcOffset, crc32c(0, footer.first(kFooterCrcOffset)));
  ref.digest = kToyHasher.digest(footer);
  EXPECT_EQ(answer_of([&] { read_all(std::make_shared<TestMapping>(bytes), ref); }), Answer::kDamaged);
}

// What opening and verifying answer when `size` bytes at `at` of the footer (of the header if `in_header`) are `value`.
template <class T>
Answer answer_to(size_t at, T value, bool in_header = false) {
  Buffer bytes = small().bytes;
  store_le(bytes.data() + (in_header ? 0 : bytes.size() - kPageBytes) + at, value);
  const FileRef ref = repair_segment(bytes);
  return answer_of([&] { read_all(std::make_shared<TestMapping>(bytes), ref); });
}

TEST(SegmentFile, HostileFootersAreRefused) {
  constexpr size_t kOne = 128;
  constexpr size_t kTwo = 192;
  constexpr uint64_t kHuge = 0xfffffffffffff000;
  EXPECT_EQ(answer_to<uint32_t>(0, 3), Answer::kFine);
  EXPECT_EQ(answer_to<uint32_t>(0, 2), Answer::kDamaged) << "too few sections";
  EXPECT_EQ(answer_to<uint32_t>(0, 0), Answer::kDamaged) << "no section";
  EXPECT_EQ(answer_to<uint32_t>(0, 61), Answer::kDamaged) << "too many sections";
  EXPECT_EQ(answer_to<uint64_t>(8, 65536), Answer::kDamaged) << "another length";
  EXPECT_EQ(answer_to<uint8_t>(16, 1), Answer::kDamaged) << "another id";
  EXPECT_EQ(answer_to<uint8_t>(64, 1), Answer::kDamaged) << "what must be zero";
  EXPECT_EQ(answer_to<uint32_t>(kTwo, kFirst), Answer::kDamaged) << "a name twice";
  EXPECT_EQ(answer_to<uint32_t>(kOne + 4, 0), Answer::kDamaged) << "neither primary nor derived";
  EXPECT_EQ(answer_to<uint32_t>(kOne + 4, 4), Answer::kTooNew) << "an unknown flag";
  EXPECT_EQ(answer_to<uint64_t>(kOne + 8, 0), Answer::kDamaged) << "over the header";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 8, 4096), Answer::kDamaged) << "over the other section";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 8, kHuge), Answer::kDamaged) << "past the file";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 16, kHuge), Answer::kDamaged) << "longer than the file";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 16, ~uint64_t{0}), Answer::kDamaged) << "a length that overflows";
  EXPECT_EQ(answer_to<uint64_t>(kOne + 24, 5), Answer::kDamaged) << "another count";
  EXPECT_EQ(answer_to<uint32_t>(kOne + 32, 0x80000000), Answer::kDamaged) << "another element size";
  EXPECT_EQ(answer_to<uint32_t>(kOne + 36, 0), Answer::kDamaged) << "no block size";
  EXPECT_EQ(answer_to<uint32_t>(kOne + 36, 1 << 20), Answer::kDamaged) << "another block size";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 40, kHuge), Answer::kDamaged) << "checksums elsewhere";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 48, 7), Answer::kTooNew) << "a section in another file";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 56, 7), Answer::kDamaged) << "what must be zero";
  EXPECT_EQ(answer_to<uint64_t>(kTwo + 64 + 16, 8), Answer::kDamaged) << "BSUM too short";
  EXPECT_EQ(answer_to<uint64_t>(4088, 0), Answer::kDamaged) << "no magic";
}

TEST(SegmentFile, HostileHeadersAreRefused) {
  EXPECT_EQ(answer_to<uint8_t>(24, 2, true), Answer::kFine);
  EXPECT_EQ(answer_to<uint8_t>(0, 1, true), Answer::kDamaged) << "magic";
  EXPECT_EQ(answer_to<uint16_t>(10, 0, true), Answer::kTooOld);
  EXPECT_EQ(answer_to<uint16_t>(10, 2, true), Answer::kTooNew);
  EXPECT_EQ(answer_to<uint32_t>(20, 8, true), Answer::kTooNew) << "an incompatible flag";
  EXPECT_EQ(answer_to<uint32_t>(12, 8, true), Answer::kFine) << "a compatible flag";
  EXPECT_EQ(answer_to<uint8_t>(24, 3, true), Answer::kTooNew) << "an unknown kind";
  EXPECT_EQ(answer_to<uint8_t>(24, 0, true), Answer::kDamaged) << "no kind";
  EXPECT_EQ(answer_to<uint8_t>(25, 3, true), Answer::kTooNew) << "an unknown flavour";
  EXPECT_EQ(answer_to<uint8_t>(26, 3, true), Answer::kTooNew) << "an unknown id kind";
  EXPECT_EQ(answer_to<uint64_t>(48, 0xffffffff, true), Answer::kDamaged) << "too many rows";
  EXPECT_EQ(answer_to<uint8_t>(200, 1, true), Answer::kDamaged) << "what must be zero";
}

TEST(SegmentFile, PaddingMustBeZeroThoughItsChecksumAgrees) {
  const File file = small();
  for (const size_t at : {size_t{4096 + 70'000}, size_t{4096 + 73728 + 9000}, file.bytes.size() - 4097}) {
    Buffer bytes = file.bytes;
    bytes[at] = std::byte{1};
    const FileRef ref = repair_segment(bytes);
    EXPECT_EQ(answer_of([&] { read_all(std::make_shared<TestMapping>(bytes), ref); }), Answer::kDamaged) << at;
  }
}

TEST(SegmentFile, AReferenceBeyondTheFileIsDamage) {
  const File file = small();
  const auto mapping = std::make_shared<TestMapping>(file.bytes);
  for (const uint64_t base : {uint64_t{65536}, ~uint64_t{0} - 65535}) {
    EXPECT_THROW(SegmentFile(mapping, base, file.ref, kToyHasher), CorruptionError);
  }
  for (const uint64_t size : {uint64_t{0}, uint64_t{4096}, file.ref.size * 2}) {
    EXPECT_THROW(SegmentFile(mapping, 0, FileRef{0, size, file.ref.digest}, kToyHasher), CorruptionError);
  }
}

}  // namespace
}  // namespace lamina
