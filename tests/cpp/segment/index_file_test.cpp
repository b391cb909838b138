// Goal: a saved index comes back whole, or one says what is wrong. Method: bundles of none, one and several parts;
// flips and cuts; directory and trailer changed with all checksums made right again.
#include "segment/index_file.h"

#include <gtest/gtest.h>

#include "io/memory_fs.h"
#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;

Buffer write(int parts) {
  MemoryFileSystem fs;
  return sample::index_file(fs, "/", parts);
}

void read_all(const std::shared_ptr<const Mapping>& mapping) {
  open_index_file(mapping, kToyHasher).verify(kToyHasher, {});
}

TEST(IndexFile, RoundTrips) {
  for (const int parts : {0, 1, 3}) {
    const auto mapping = std::make_shared<TestMapping>(write(parts));
    IndexFile file = open_index_file(mapping, kToyHasher);
    EXPECT_EQ(file.info.settings, R"({"kind": "sample"})");
    EXPECT_EQ(file.info.next_rid, 108U);
    EXPECT_EQ(file.info.spec.dim, 4U);
    EXPECT_TRUE(file.info.has_ids);
    ASSERT_EQ(file.parts.size(), static_cast<size_t>(parts));
    for (size_t i = 0; i < file.parts.size(); ++i) {
      EXPECT_EQ(file.parts[i].deleted, i == 0 ? sample::bitmap() : Bitmap(8));
      EXPECT_EQ(file.parts[i].part->rows, 8U);
    }
    uint64_t seen = 0;
    file.verify(kToyHasher, [&](uint64_t bytes) { seen += bytes; });
    EXPECT_EQ(seen, 65536U * static_cast<unsigned>(parts));
  }
}

TEST(IndexFile, PartsOutliveTheIndexFile) {
  std::shared_ptr<const Part> part = open_index_file(std::make_shared<TestMapping>(write(2)), kToyHasher).parts[1].part;
  part->guard->check_index();
  part->guard->check_vectors(0, 8);
  EXPECT_EQ(part->ids[7], -9);
}

TEST(IndexFile, EveryFlipAndCutIsNoticed) {
  const Buffer bytes = write(1);
  const ReadBytes read = [](const auto& mapping) { read_all(mapping); };
  expect_flips_noticed(bytes, read);
  expect_cuts_noticed(bytes, read, 997);
  const Buffer empty = write(0);
  expect_flips_noticed(empty, read);
  expect_cuts_noticed(empty, read);
}

TEST(IndexFile, HostileTrailersAndDirectoriesAreRefused) {
  const Buffer whole = write(1);
  constexpr size_t kDirectory = 65536;
  constexpr size_t kEntry = kDirectory + 40 + 33 + 4 + 18 + 4;
  const auto answer = [&](size_t at, uint64_t value) {
    Buffer bytes = whole;
    store_le(bytes.data() + at, value);
    repair_bundle(bytes);
    return answer_of([&] { read_all(std::make_shared<TestMapping>(bytes)); });
  };
  const size_t trailer = whole.size() - 4096;
  EXPECT_EQ(answer(trailer + 24, kDirectory), Answer::kFine);
  EXPECT_EQ(answer(trailer + 24, 0), Answer::kDamaged) << "the directory elsewhere";
  EXPECT_EQ(answer(trailer + 24, ~uint64_t{0} - 4095), Answer::kDamaged) << "past the file";
  EXPECT_EQ(answer(trailer + 32, ~uint64_t{0}), Answer::kDamaged) << "longer than the file";
  EXPECT_EQ(answer(trailer + 32, 44), Answer::kDamaged) << "too short";
  EXPECT_EQ(answer(trailer + 8, 0x20000), Answer::kTooNew) << "draft 2";
  EXPECT_EQ(answer(trailer + 90, 1), Answer::kDamaged) << "what must be zero";
  EXPECT_EQ(answer(kEntry, 65536), Answer::kDamaged) << "a segment elsewhere";
  EXPECT_EQ(answer(kEntry + 8, 0), Answer::kDamaged) << "another id";
  EXPECT_EQ(answer(kEntry + 32, ~uint64_t{0}), Answer::kDamaged) << "a segment longer than the file";
  EXPECT_EQ(answer(kEntry + 32, 0), Answer::kDamaged) << "a segment of no length";
  EXPECT_EQ(answer(kEntry + 72, 9), Answer::kDamaged) << "more rows than the segment";
  EXPECT_EQ(answer(kEntry + 80, 7), Answer::kDamaged) << "more live rows than are left";
}

}  // namespace
}  // namespace lamina
