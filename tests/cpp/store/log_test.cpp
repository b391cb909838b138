// Goal: the log holds whole frames and knows its end. Method: frames written, read back, and judged with and without
// proof of what was durable.
#include "store/log.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/memory_fs.h"

namespace lamina {
namespace {

class LogTest : public testing::Test {
 protected:
  LogTest() {
    for (const std::string& directory : {paths.store, paths.logs}) fs.make_directory(directory);
    for (const std::string directory : {"/", "/store"}) fs.sync_directory(directory);
    log = Log::create(fs, paths, header);
  }
  std::vector<std::byte> bytes() {
    const auto file = fs.open(paths.log_file(header.number));
    std::vector<std::byte> content(file->size());
    file->read_at(0, content);
    return content;
  }
  LogScan scan(Bytes content) const { return scan_log(content, header, kLogHeaderBytes, content.size()); }

  MemoryFileSystem fs;
  const StorePaths paths{"/store"};
  const LogHeader header{{}, 3, 1};
  std::unique_ptr<Log> log;
};

TEST_F(LogTest, FramesAreReadBack) {
  EXPECT_EQ(scan(bytes()).end, kLogHeaderBytes);
  EXPECT_EQ(scan(bytes()).witness, log->witness());
  for (uint64_t version = 1; version <= 5; ++version) log->append(version, 100, as_bytes("payload"));
  const std::vector<std::byte> content = bytes();
  const LogScan found = scan(content);
  ASSERT_EQ(found.frames.size(), 5u);
  EXPECT_EQ(found.end, log->end());
  EXPECT_EQ(found.end, content.size());
  EXPECT_EQ(found.witness, log->witness());
  EXPECT_EQ(as_text(found.frames[4].payload), "payload");
  EXPECT_EQ(scan_log(content, header, kLogHeaderBytes, found.frames[3].end).frames.size(), 4u);
  EXPECT_EQ(scan_log(content, header, kLogHeaderBytes, found.frames[3].end - 1).frames.size(), 3u);
  EXPECT_EQ(log->durable(), kLogHeaderBytes);
  log->sync();
  EXPECT_EQ(log->durable(), log->end());
}

TEST_F(LogTest, TakingBackLeavesWhatWasThere) {
  log->append(1, 0, as_bytes("one"));
  const uint64_t end = log->end();
  log->append(2, 0, as_bytes("two"));
  log->take_back();
  EXPECT_EQ(log->end(), end);
  EXPECT_EQ(log->durable(), end);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto survivor = fs.after_power_cut(seed);
    EXPECT_EQ(survivor->open(paths.log_file(header.number))->size(), end) << "seed " << seed;
  }
  log->append(2, 0, as_bytes("another two"));
  const std::vector<std::byte> content = bytes();
  EXPECT_EQ(as_text(scan(content).frames.at(1).payload), "another two");
}

TEST_F(LogTest, ReopenedItGoesOn) {
  log->append(1, 0, as_bytes("one"));
  log->sync();
  log = Log::reopen(fs, paths, header, scan(bytes()));
  log->append(2, 0, as_bytes("two"));
  EXPECT_EQ(scan(bytes()).frames.size(), 2u);
}

TEST_F(LogTest, ATailIsTornOrDamagedByProof) {
  log->append(1, 0, as_bytes("one"));
  const uint64_t first = log->end();
  log->append(2, 0, as_bytes("two"));  // never synced, as the next: a power cut may take it and leave the next
  log->append(3, 0, as_bytes("three"));
  std::vector<std::byte> content = bytes();
  content[first + 9] ^= std::byte{1};
  const auto judge = [&](DurableProof proof) { return judge_tail(content, header, "log", scan(content), proof); };
  EXPECT_EQ(judge({}), content.size() - first);
  EXPECT_EQ(judge({first, 1, 0}), content.size() - first);
  EXPECT_THROW(judge({first + 8, 0, 0}), CorruptionError);
  EXPECT_THROW(judge({0, 2, 0}), CorruptionError);
  EXPECT_EQ(judge({0, 2, 2}), content.size() - first);  // the root has it

  log->sync();
  log->append(4, 0, as_bytes("four"));
  content = bytes();
  content[first + 9] ^= std::byte{1};
  EXPECT_THROW(judge({}), CorruptionError);
}

}  // namespace
}  // namespace lamina
