// Goal: FaultFileSystem counts every operation, fails exactly those it was told to, and kills where it was told to.
// Method: small scripts over the file system in memory; real children for the kills.
#include "io/fault.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "base/error.h"
#include "io/memory_fs.h"
#include "io/scratch_directory.h"

namespace lamina {
namespace {

class FaultTest : public testing::Test {
 protected:
  FaultTest() { memory_.make_directory("/d"); }

  std::string read(const std::string& path) { return std::string(as_text(memory_.map(path)->bytes())); }

  MemoryFileSystem memory_;
  FaultFileSystem fs_{memory_};
};

TEST_F(FaultTest, TraceNamesEveryOperation) {
  const auto out = fs_.create("/d/a");
  out->append(as_bytes("12345"));
  out->sync();
  out->close();
  fs_.rename("/d/a", "/d/b");
  fs_.sync_directory("/d");
  std::array<std::byte, 3> bytes;
  const auto in = fs_.open("/d/b");
  in->read_at(0, bytes);
  in->size();
  in->lock_shared();
  fs_.map("/d/b");
  fs_.list("/d");
  fs_.exists("/d");
  fs_.make_directory("/d/s");
  fs_.remove_directory("/d/s");
  fs_.try_lock("/d/LOCK")->write(as_bytes("me"));
  std::string trace;
  for (const OperationRecord& record : fs_.trace()) {
    trace += std::string(to_string(record.operation)) + " " + record.path + " " + std::to_string(record.bytes) + "\n";
  }
  EXPECT_EQ(trace,
            "create /d/a 0\nwrite /d/a 5\nsync /d/a 0\nclose /d/a 0\nrename /d/b 0\nsync_directory /d 0\n"
            "open /d/b 0\nread /d/b 3\nstat /d/b 0\nlock /d/b 0\nmap /d/b 0\nlist /d 0\nstat /d 0\n"
            "make_directory /d/s 0\nremove /d/s 0\nlock /d/LOCK 0\nwrite /d/LOCK 2\n");
  EXPECT_EQ(fs_.operations(), 17U);
}

TEST_F(FaultTest, NamesOfOperationsRoundTrip) {
  for (int i = 0; i <= static_cast<int>(FileOperation::kSyncDirectory); ++i) {
    EXPECT_EQ(operation_of(to_string(static_cast<FileOperation>(i))), static_cast<FileOperation>(i));
  }
  EXPECT_EQ(operation_of("nonsense"), std::nullopt);
}

TEST_F(FaultTest, FailsTheNthOnce) {
  fs_.fail({.rule = {.nth = 1}, .error = ENOSPC});
  fs_.create("/d/a");
  try {
    fs_.create("/d/b");
    FAIL();
  } catch (const StorageError& e) {
    EXPECT_EQ(e.error_number, ENOSPC);
    EXPECT_EQ(e.path, "/d/b");
  }
  EXPECT_FALSE(memory_.exists("/d/b"));
  fs_.create("/d/b");
}

TEST_F(FaultTest, StickyFailsFromThereOn) {
  fs_.fail({.rule = {.operation = FileOperation::kCreate, .path_part = "seg", .nth = 1}, .sticky = true});
  fs_.create("/d/seg1");
  fs_.create("/d/log");
  EXPECT_THROW(fs_.create("/d/seg2"), StorageError);
  EXPECT_THROW(fs_.create("/d/seg3"), StorageError);
  fs_.create("/d/log2");
  fs_.open("/d/seg1");
  fs_.heal();
  fs_.create("/d/seg2");
}

TEST_F(FaultTest, AFailedWritePoisonsAndMayBeHalfDone) {
  for (const bool half : {false, true}) {
    const std::string path = half ? "/d/half" : "/d/none";
    const auto out = fs_.create(path);
    fs_.fail({.rule = {.operation = FileOperation::kWrite}, .half_write = half});
    EXPECT_THROW(out->append(as_bytes("123456")), StorageError);
    EXPECT_EQ(read(path), half ? "123" : "");
    EXPECT_THROW(out->append(as_bytes("7")), StorageError);
    EXPECT_THROW(out->sync(), StorageError);
    EXPECT_THROW(out->close(), StorageError);
    EXPECT_EQ(read(path), half ? "123" : "");
    fs_.heal();
  }
}

TEST_F(FaultTest, AFailedSyncCanLoseThePages) {
  fs_.fail({.rule = {.operation = FileOperation::kSync},
            .effect = [&](const std::string& path) { memory_.lose_unsynced(path); }});
  const auto out = fs_.create("/d/a");
  out->append(as_bytes("abc"));
  EXPECT_THROW(out->sync(), StorageError);
  memory_.open_append("/d/a", 3)->sync();  // a second sync succeeds and saves nothing
  memory_.sync_directory("/d");
  memory_.sync_directory("/");
  EXPECT_EQ(read("/d/a"), "abc");
  EXPECT_EQ(as_text(memory_.after_power_cut(1)->map("/d/a")->bytes()), std::string(3, '\0'));
}

// The end of a child that does one create, rename and sync of directory under these orders.
int end_of_child(const std::string& directory, const std::string& orders) {
  const pid_t child = fork();
  if (child == 0) {
    FaultFileSystem fs(FileSystem::posix());
    fs.kill_at(orders);
    fs.create(join(directory, "a"))->append(as_bytes("x"));
    fs.rename(join(directory, "a"), join(directory, "b"));
    fs.sync_directory(directory);
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(FaultKill, BeforeAndAfter) {
  FileSystem& fs = FileSystem::posix();
  {
    const ScratchDirectory scratch;
    EXPECT_EQ(end_of_child(scratch.path(), "rename:b:0:before"), SIGKILL);
    EXPECT_EQ(fs.list(scratch.path()), std::vector<std::string>{"a"});
  }
  {
    const ScratchDirectory scratch;
    EXPECT_EQ(end_of_child(scratch.path(), "rename:b:0:after"), SIGKILL);
    EXPECT_EQ(fs.list(scratch.path()), std::vector<std::string>{"b"});
  }
  {
    const ScratchDirectory scratch;
    EXPECT_EQ(end_of_child(scratch.path(), "rename:b:1:after"), 0);
    EXPECT_EQ(fs.list(scratch.path()), std::vector<std::string>{"b"});
  }
}

TEST_F(FaultTest, OrdersThatMakeNoSenseAreRefused) {
  for (const char* orders :
       {"", "rename", "rename:b:0", "rename:b::before", "rename:b:-1:before", "jump:b:0:before", "rename:b:0:during"}) {
    EXPECT_THROW(fs_.kill_at(orders), std::invalid_argument) << orders;
  }
}

}  // namespace
}  // namespace lamina
