// Goal: a bitmap file gives back the same set of rows, for the segment and the rows it was made for, or says what is
// wrong. Method: sets at chunk borders; flips, cuts, and fields changed with the checksum made right again.
#include "segment/bitmap_file.h"

#include <gtest/gtest.h>

#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;
using sample::kVectorId;

Bitmap decode(Bytes bytes, uint64_t rows) {
  return decode_bitmap(open_document(bytes, "test", DocumentKind::kBitmap), "test", kVectorId, rows);
}

TEST(BitmapFile, RoundTrips) {
  for (const uint64_t rows : {uint64_t{0}, uint64_t{1}, uint64_t{65536}, uint64_t{65537}, uint64_t{300'000}}) {
    std::vector<uint32_t> dead;
    for (uint64_t row = 0; row < rows; row += row < 70'000 ? 6553 : 65537) dead.push_back(static_cast<uint32_t>(row));
    const Bitmap bitmap = Bitmap(rows).with(dead);
    const Buffer bytes = encode_bitmap(bitmap, kVectorId);
    EXPECT_EQ(decode(bytes, rows), bitmap) << rows;
    EXPECT_EQ(decode(encode_bitmap(Bitmap(rows), kVectorId), rows).count(), 0U);
  }
}

TEST(BitmapFile, EveryFlipAndCutIsNoticed) {
  const Buffer bytes = encode_bitmap(sample::bitmap(), kVectorId);
  const ReadBytes read = [](const auto& file) { decode(file->bytes(), 8); };
  expect_flips_noticed(bytes, read);
  expect_cuts_noticed(bytes, read);
}

TEST(BitmapFile, ABitmapOfAnotherSegmentOrOtherRowsIsRefused) {
  const Buffer bytes = encode_bitmap(sample::bitmap(), sample::kRecordId);
  EXPECT_THROW(decode(bytes, 8), CorruptionError);
  EXPECT_THROW(decode(encode_bitmap(sample::bitmap(), kVectorId), 9), CorruptionError);
}

TEST(BitmapFile, FieldsThatCannotBeAreRefused) {
  constexpr size_t kPayload = 40;
  const auto answer = [](size_t at, uint32_t value) {
    Buffer bytes = encode_bitmap(sample::bitmap(), kVectorId);
    store_le(bytes.data() + kPayload + at, value);
    repair_document(bytes);
    return answer_of([&] { decode(bytes, 8); });
  };
  EXPECT_EQ(answer(16, 8), Answer::kFine);
  EXPECT_EQ(answer(24, 3), Answer::kDamaged) << "count in all";
  EXPECT_EQ(answer(32, 0xffffffff), Answer::kDamaged) << "chunks";
  EXPECT_EQ(answer(32, 0), Answer::kDamaged) << "chunks fewer than bytes";
  EXPECT_EQ(answer(36, 1), Answer::kDamaged) << "a chunk past the rows";
  EXPECT_EQ(answer(40, 1), Answer::kDamaged) << "count of the chunk";
  EXPECT_EQ(answer(44, 0x10000), Answer::kDamaged) << "a row past the rows";
}

}  // namespace
}  // namespace lamina
