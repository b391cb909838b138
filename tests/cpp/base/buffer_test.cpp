// Goal: buffers are aligned and zeroed; ChunkedRows grows under readers without moving a row.
// Method: readers check every published row while several threads grow the storage (race-checked under TSan).
#include "base/buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <thread>
#include <vector>

#include "base/bytes.h"

namespace lamina {
namespace {

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

TEST(AlignedBuffer, AlignedZeroedMoved) {
  for (const size_t size : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{3} << 20}) {
    for (const auto pages : {AlignedBuffer::Pages::kNormal, AlignedBuffer::Pages::kHuge}) {
      AlignedBuffer a(size, pages);
      EXPECT_EQ(a.size(), size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0U);
      EXPECT_TRUE(all_zero({a.data(), (size + 63) / 64 * 64}));
      const std::byte* const where = a.data();
      AlignedBuffer b = std::move(a);
      EXPECT_EQ(b.data(), where);
      EXPECT_EQ(a.size(), 0U);  // NOLINT(bugprone-use-after-move): the header promises an empty one
      EXPECT_EQ(a.data(), nullptr);
    }
  }
  EXPECT_EQ(AlignedBuffer(0).data(), nullptr);
  EXPECT_THROW(AlignedBuffer{std::numeric_limits<size_t>::max()}, std::bad_alloc);
}

#ifdef __linux__
TEST(AlignedBuffer, TakesNoMemoryThatIsNotTouched) {
  const AlignedBuffer buffer(size_t{64} << 20);
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = (reinterpret_cast<uintptr_t>(buffer.data()) + page - 1) / page * page;
  std::vector<unsigned char> taken(buffer.size() / page - 1);
  ASSERT_EQ(mincore(reinterpret_cast<void*>(first), taken.size() * page, taken.data()), 0);
  EXPECT_LT(std::ranges::count(taken, 1), 1000);
}
#endif

TEST(ChunkedRows, CapacityFollowsReserve) {
  ChunkedRows rows(100, 1000);
  EXPECT_EQ(rows.chunk_rows(), 8U);
  EXPECT_EQ(rows.capacity(), 0U);
  rows.reserve(0);
  EXPECT_EQ(rows.capacity(), 0U);
  rows.reserve(1);
  EXPECT_EQ(rows.capacity(), 8U);
  rows.reserve(9);
  EXPECT_EQ(rows.capacity(), 16U);
  rows.reserve(3);
  EXPECT_EQ(rows.capacity(), 16U);
  EXPECT_EQ(ChunkedRows(5000, 1000).chunk_rows(), 1U);
}

TEST(ChunkedRows, RowsAreApartZeroedAndNeverMove) {
  constexpr uint64_t kCount = 5000;
  ChunkedRows rows(64, 256);
  std::vector<std::byte*> where;
  for (uint64_t r = 0; r < kCount; ++r) {
    rows.reserve(r + 1);
    where.push_back(rows.row(r));
    EXPECT_TRUE(all_zero({rows.row(r), 64}));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(rows.row(r)) % 64, 0U);
    for (size_t i = 0; i < 64; i += 8) store_le(rows.row(r) + i, r);
  }
  for (uint64_t r = 0; r < kCount; ++r) {
    ASSERT_EQ(rows.row(r), where[r]);
    for (size_t i = 0; i < 64; i += 8) ASSERT_EQ(load_le<uint64_t>(rows.row(r) + i), r);
  }
}

TEST(ChunkedRows, ReadersBesideAWriter) {
  constexpr uint64_t kCount = 20000;
  ChunkedRows rows(16, 64);
  std::atomic<uint64_t> published = 0;
  std::atomic<uint64_t> wrong = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      for (uint64_t seen = 0; seen < kCount;) {
        seen = published.load(std::memory_order_acquire);
        for (uint64_t r = seen > 50 ? seen - 50 : 0; r < seen; ++r) wrong += load_le<uint64_t>(rows.row(r)) != r + 1;
      }
    });
  }
  for (uint64_t r = 0; r < kCount; ++r) {
    rows.reserve(r + 1);
    store_le(rows.row(r), r + 1);
    published.store(r + 1, std::memory_order_release);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0U);
}

TEST(ChunkedRows, SeveralThreadsReserve) {
  ChunkedRows rows(8, 64);
  std::vector<std::thread> writers;
  for (uint64_t t = 0; t < 4; ++t) {
    writers.emplace_back([&, t] {
      for (uint64_t r = t; r < 4000; r += 4) {
        rows.reserve(r + 1);
        store_le(rows.row(r), r);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (uint64_t r = 0; r < 4000; ++r) ASSERT_EQ(load_le<uint64_t>(rows.row(r)), r);
}

}  // namespace
}  // namespace lamina
