// Goal: each row is found by its hash, the newest first, also while the table grows under readers.
// Method: many rows, few hashes, against a plain map; readers in threads beside one writer.
#include "base/row_index.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

namespace lamina {
namespace {

TEST(RowIndexTest, FindsTheNewestRowThatMatches) {
  RowIndex index;
  std::vector<uint64_t> keys;
  std::map<uint64_t, uint32_t> newest;
  for (uint32_t row = 0; row < 5000; ++row) {
    const uint64_t key = mix(row) % 700;
    keys.push_back(key);
    newest[key] = row;
    index.add(mix(key));
  }
  for (uint64_t key = 0; key < 1000; ++key) {
    const uint32_t found = index.find(mix(key), [&](uint32_t row) { return keys[row] == key; });
    EXPECT_EQ(found, newest.contains(key) ? newest[key] : RowIndex::kNone);
    const uint32_t early = index.find(mix(key), [&](uint32_t row) { return row < 700 && keys[row] == key; });
    EXPECT_TRUE(early < 700 || early == RowIndex::kNone);
  }
}

TEST(RowIndexTest, RowsOfOneHashAreAllWalked) {
  RowIndex index;
  for (uint32_t row = 0; row < 1000; ++row) index.add(7);
  uint32_t expected = 1000;
  index.find(7, [&](uint32_t row) {
    EXPECT_EQ(row, --expected);
    return false;
  });
  EXPECT_EQ(expected, 0u);
}

TEST(RowIndexTest, ReadersFindWhatWasPublishedWhileItGrows) {
  constexpr uint32_t kRows = 20000;
  RowIndex index;
  std::atomic<uint32_t> published = 0;
  std::vector<std::thread> readers;
  std::atomic<bool> good = true;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      for (uint32_t seen = 0; seen < kRows;) {
        seen = published.load(std::memory_order_acquire);
        if (seen == 0) continue;
        const uint32_t wanted = static_cast<uint32_t>(mix(seen + static_cast<uint32_t>(i))) % seen;
        const uint32_t row = index.find(mix(wanted), [&](uint32_t r) { return r < seen && r == wanted; });
        if (row != wanted) good = false;
      }
    });
  }
  for (uint32_t row = 0; row < kRows; ++row) {
    index.add(mix(row));
    published.store(row + 1, std::memory_order_release);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_TRUE(good);
}

}  // namespace
}  // namespace lamina
