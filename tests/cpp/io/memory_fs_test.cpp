// Goal: a power cut leaves what was synced, and of the rest anything that a real file system might.
// Method: for each small history, the set of states over many seeds is compared with the set that is allowed; it must
// also be reached in full, or the crash tests above it would prove less than they say.
#include "io/memory_fs.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "base/error.h"

namespace lamina {
namespace {

constexpr uint64_t kSeeds = 200;

class MemoryFsTest : public testing::Test {
 protected:
  MemoryFsTest() {
    fs_.make_directory("/d");
    fs_.make_directory("/e");
    fs_.sync_directory("/");
  }

  std::unique_ptr<WritableFile> write(const std::string& path, std::string_view content, bool sync) {
    auto file = fs_.create(path);
    file->append(as_bytes(content));
    if (sync) file->sync();
    return file;
  }

  static std::string read(FileSystem& fs, const std::string& path) {
    return fs.exists(path) ? std::string(as_text(fs.map(path)->bytes())) : "none";
  }

  // What is seen after a power cut now, over the seeds.
  std::set<std::string> outcomes(const std::function<std::string(FileSystem&)>& look) const {
    std::set<std::string> seen;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) seen.insert(look(*fs_.after_power_cut(seed)));
    return seen;
  }
  std::set<std::string> outcomes(const std::string& path) const {
    return outcomes([&](FileSystem& fs) { return read(fs, path); });
  }
  std::string only(const std::string& path, uint64_t seed) const { return read(*fs_.after_power_cut(seed), path); }

  using Set = std::set<std::string>;
  MemoryFileSystem fs_;
};

TEST_F(MemoryFsTest, SyncedFileInASyncedDirectoryStays) {
  write("/d/a", "content", true);
  fs_.sync_directory("/d");
  EXPECT_EQ(outcomes("/d/a"), Set({"content"}));
}

TEST_F(MemoryFsTest, SyncedFileInAnUnsyncedDirectoryMayVanish) {
  write("/d/a", "content", true);
  EXPECT_EQ(outcomes("/d/a"), Set({"none", "content"}));
  EXPECT_EQ(only("/d/a", 0), "none");
  EXPECT_EQ(only("/d/a", 1), "content");
}

TEST_F(MemoryFsTest, UnsyncedFileInASyncedDirectoryMayBeShortOrZeroOrStale) {
  write("/d/a", "xy", false);
  fs_.sync_directory("/d");
  const std::string zero(1, '\0');
  EXPECT_EQ(outcomes("/d/a"), Set({"", "x", "xy", zero, zero + zero, "Z", "ZZ"}));
  EXPECT_EQ(only("/d/a", 0), "");
  EXPECT_EQ(only("/d/a", 1), "xy");
}

TEST_F(MemoryFsTest, WhatWasSyncedBeforeAnAppendStays) {
  const auto file = write("/d/a", "old", true);
  fs_.sync_directory("/d");
  file->append(as_bytes("new"));
  bool torn = false;
  for (const std::string& content : outcomes("/d/a")) {
    EXPECT_EQ(content.substr(0, 3), "old");
    torn |= content.size() > 3 && content != "oldnew";
  }
  EXPECT_TRUE(torn);
  EXPECT_EQ(only("/d/a", 0), "old");
  file->sync();
  EXPECT_EQ(outcomes("/d/a"), Set({"oldnew"}));
}

TEST_F(MemoryFsTest, LongAppendsTearAtPagesAndSectors) {
  const auto file = write("/d/a", std::string(100, 'o'), true);
  fs_.sync_directory("/d");
  file->append(as_bytes(std::string(20000, 'n')));
  bool sector = false;
  bool hole = false;
  for (const std::string& content : outcomes("/d/a")) {
    EXPECT_EQ(content.substr(0, 100), std::string(100, 'o'));
    for (size_t i = 101; i < content.size(); ++i) {
      if (content[i] == content[i - 1]) continue;
      EXPECT_TRUE(i % 4096 == 0 || i % 512 == 0 || (i - 100) % 512 == 0) << i;
      sector |= i % 4096 != 0;
      hole |= content[i] == 'n';  // after zeros
    }
  }
  EXPECT_TRUE(sector);
  EXPECT_TRUE(hole);
}

TEST_F(MemoryFsTest, ATruncationMayBeLost) {
  write("/d/a", "0123456789", true)->close();
  fs_.sync_directory("/d");
  const auto file = fs_.open_append("/d/a", 4);
  EXPECT_EQ(outcomes("/d/a"), Set({"0123456789", "0123"}));
  file->sync();
  EXPECT_EQ(outcomes("/d/a"), Set({"0123"}));
  file->append(as_bytes("ab"));
  file->sync();
  EXPECT_EQ(outcomes("/d/a"), Set({"0123ab"}));
}

TEST_F(MemoryFsTest, ARenameMayBeLostButNotHalved) {
  write("/d/a", "old", true);
  write("/e/b", "new", true);
  fs_.sync_directory("/d");
  fs_.sync_directory("/e");
  fs_.rename("/e/b", "/d/a");
  const auto both = [](FileSystem& fs) { return read(fs, "/d/a") + "," + read(fs, "/e/b"); };
  EXPECT_EQ(outcomes(both), Set({"old,new", "new,none"}));
  fs_.sync_directory("/d");
  EXPECT_EQ(outcomes(both), Set({"new,none"}));
}

TEST_F(MemoryFsTest, SyncingTheDirectoryARenameLeftIsEnough) {
  write("/e/b", "new", true);
  fs_.rename("/e/b", "/d/a");
  fs_.sync_directory("/e");
  EXPECT_EQ(outcomes("/d/a"), Set({"new"}));
}

TEST_F(MemoryFsTest, ARenameOfAnUnsyncedFileCanShowNothingInIt) {
  write("/e/b", "new", false);
  fs_.rename("/e/b", "/d/a");
  fs_.sync_directory("/d");
  EXPECT_EQ(only("/d/a", 0), "");
  EXPECT_EQ(only("/d/a", 1), "new");
}

TEST_F(MemoryFsTest, ARemovalMayBeLost) {
  write("/d/a", "x", true);
  fs_.sync_directory("/d");
  fs_.remove("/d/a");
  EXPECT_EQ(outcomes("/d/a"), Set({"none", "x"}));
  write("/d/a", "y", true);
  EXPECT_EQ(outcomes("/d/a"), Set({"none", "x", "y"}));
  fs_.sync_directory("/d");
  EXPECT_EQ(outcomes("/d/a"), Set({"y"}));
}

TEST_F(MemoryFsTest, ADirectoryIsDurableByItsParent) {
  fs_.make_directory("/d/sub");
  write("/d/sub/a", "x", true);
  fs_.sync_directory("/d/sub");
  EXPECT_EQ(outcomes("/d/sub/a"), Set({"none", "x"}));
  fs_.sync_directory("/d");
  EXPECT_EQ(outcomes("/d/sub/a"), Set({"x"}));
  fs_.remove("/d/sub/a");
  fs_.remove_directory("/d/sub");
  const auto both = [](FileSystem& fs) {
    return std::string(fs.exists("/d/sub") ? "dir," : "no dir,") + read(fs, "/d/sub/a");
  };
  EXPECT_EQ(outcomes(both), Set({"dir,x", "dir,none", "no dir,none"}));
}

TEST_F(MemoryFsTest, UnsyncedOperationsAreKeptInAnyMix) {
  write("/d/a", "", true);
  write("/d/b", "", true);
  const auto both = [](FileSystem& fs) {
    return std::string(fs.exists("/d/a") ? "a" : "-") + (fs.exists("/d/b") ? "b" : "-");
  };
  EXPECT_EQ(outcomes(both), Set({"--", "a-", "-b", "ab"}));
}

TEST_F(MemoryFsTest, LostPagesStayReadableUntilThePowerCut) {
  const auto file = write("/d/a", "safe", true);
  fs_.sync_directory("/d");
  file->append(as_bytes("lost"));
  fs_.lose_unsynced("/d/a");
  EXPECT_EQ(read(fs_, "/d/a"), "safelost");
  file->append(as_bytes("later"));
  file->sync();
  EXPECT_EQ(read(fs_, "/d/a"), "safelostlater");
  EXPECT_EQ(outcomes("/d/a"), Set({std::string("safe\0\0\0\0later", 13)}));
}

TEST_F(MemoryFsTest, APowerCutFreesLocksAndLeavesThisOneAlone) {
  const auto lock = fs_.try_lock("/d/LOCK");
  lock->write(as_bytes("note"));
  write("/d/a", "x", false);
  const auto after = fs_.after_power_cut(1);
  EXPECT_FALSE(after->is_locked("/d/LOCK"));
  after->remove("/d/a");
  EXPECT_TRUE(fs_.exists("/d/a"));
  EXPECT_TRUE(fs_.is_locked("/d/LOCK"));
  EXPECT_EQ(only("/d/LOCK", 0), "none");
}

TEST_F(MemoryFsTest, ASeedAlwaysGivesTheSame) {
  write("/d/a", std::string(9000, 'a'), false);
  write("/d/b", std::string(9000, 'b'), false);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    EXPECT_EQ(only("/d/a", seed), only("/d/a", seed));
    EXPECT_EQ(only("/d/b", seed), only("/d/b", seed));
  }
}

TEST_F(MemoryFsTest, WhatIsFoundAfterwardsIsDurable) {
  write("/d/a", "abc", false);
  const auto once = fs_.after_power_cut(1);
  for (uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(read(*once->after_power_cut(seed), "/d/a"), "abc");
}

}  // namespace
}  // namespace lamina
