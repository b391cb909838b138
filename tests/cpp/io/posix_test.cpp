// Goal: what only the real file system has: locks between processes and across fork, poison, a full device, big files.
// Method: real children that end by _exit or SIGKILL; /dev/full for the write that fails.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "io/file.h"
#include "io/scratch_directory.h"

namespace lamina {
namespace {

class PosixTest : public testing::Test {
 protected:
  std::string at(const std::string& name) { return join(scratch_.path(), name); }

  FileSystem& fs_ = FileSystem::posix();

 private:
  ScratchDirectory scratch_;
};

// Runs fn in a forked child; true if it returned true there.
template <class Fn>
bool in_child(Fn&& fn) {
  const pid_t child = fork();
  if (child == 0) _exit(fn() ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(PosixTest, AnotherProcessCannotLock) {
  const auto lock = fs_.try_lock(at("LOCK"));
  ASSERT_NE(lock, nullptr);
  EXPECT_TRUE(in_child([&] { return fs_.try_lock(at("LOCK")) == nullptr && fs_.is_locked(at("LOCK")); }));
}

TEST_F(PosixTest, AChildThatExitsLeavesTheLock) {
  const auto lock = fs_.try_lock(at("LOCK"));
  EXPECT_TRUE(in_child([] { return true; }));
  EXPECT_TRUE(fs_.is_locked(at("LOCK")));
}

TEST_F(PosixTest, AbandonAndDestructionInAChildLeaveTheLock) {
  auto lock = fs_.try_lock(at("LOCK"));
  EXPECT_TRUE(in_child([&] {
    lock->abandon();
    lock.reset();
    return fs_.is_locked(at("LOCK"));
  }));
  EXPECT_TRUE(fs_.is_locked(at("LOCK")));
  EXPECT_TRUE(in_child([&] {
    lock.reset();
    return fs_.is_locked(at("LOCK"));
  }));
  EXPECT_TRUE(fs_.is_locked(at("LOCK")));
  lock.reset();
  EXPECT_FALSE(fs_.is_locked(at("LOCK")));
}

// A child does not keep the lock from the next writer once the parent let it go.
TEST_F(PosixTest, LettingGoFreesTheLockWhileAChildLives) {
  auto lock = fs_.try_lock(at("LOCK"));
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  lock.reset();
  EXPECT_NE(fs_.try_lock(at("LOCK")), nullptr);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(PosixTest, SigkillFreesTheLockAndLeavesTheNote) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = fs_.try_lock(at("LOCK"));
    lock->write(as_bytes("the child"));
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(fs_.is_locked(at("LOCK")));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(fs_.is_locked(at("LOCK")));
  EXPECT_EQ(as_text(fs_.map(at("LOCK"))->bytes()), "the child");
  EXPECT_NE(fs_.try_lock(at("LOCK")), nullptr);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(PosixTest, AKilledHoldersChildThatSleepsOnDoesNotKeepTheLock) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = fs_.try_lock(at("LOCK"));
    const pid_t sleeper = fork();
    if (sleeper == 0) {
      pause();
      _exit(0);
    }
    if (write(ready[1], &sleeper, sizeof sleeper) != sizeof sleeper) _exit(1);
    pause();
  }
  pid_t sleeper = 0;
  ASSERT_EQ(read(ready[0], &sleeper, sizeof sleeper), static_cast<ssize_t>(sizeof sleeper));
  EXPECT_TRUE(fs_.is_locked(at("LOCK")));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_NE(fs_.try_lock(at("LOCK")), nullptr);
  kill(sleeper, SIGKILL);
  close(ready[0]);
  close(ready[1]);
}

// A reader that asks is_locked() holds a shared lock for a moment; a writer waits that moment out.
TEST_F(PosixTest, AWriterWaitsForAProbe) {
  fs_.try_lock(at("LOCK"));
  auto probe = fs_.open(at("LOCK"));
  ASSERT_TRUE(probe->lock_shared());
  std::thread leaver([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    probe.reset();
  });
  EXPECT_NE(fs_.try_lock(at("LOCK")), nullptr);
  leaver.join();
}

TEST_F(PosixTest, ManyProbesDoNotKeepAWriterOut) {
  fs_.try_lock(at("LOCK"));
  std::atomic<bool> stop = false;
  std::vector<std::thread> probes;
  for (int i = 0; i < 2; ++i) {
    probes.emplace_back([&] {
      while (!stop) {
        fs_.is_locked(at("LOCK"));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_NE(fs_.try_lock(at("LOCK")), nullptr);
  stop = true;
  for (std::thread& probe : probes) probe.join();
}

TEST_F(PosixTest, AFailedWritePoisons) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  const auto file = fs_.open_append("/dev/full", 0);
  for (int i = 0; i < 2; ++i) {
    try {
      file->append(as_bytes("x"));
      FAIL();
    } catch (const StorageError& e) {
      EXPECT_EQ(e.error_number, ENOSPC);
      EXPECT_EQ(e.path, "/dev/full");
    }
  }
  EXPECT_THROW(file->sync(), StorageError);
  EXPECT_THROW(file->close(), StorageError);
}

TEST_F(PosixTest, FilesAreNotInheritedByExecAndNotWritableByOthers) {
  umask(022);
  const auto file = fs_.create(at("a"));
  struct stat status;
  ASSERT_EQ(stat(at("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
  EXPECT_EQ(system(("test $(ls -l /proc/self/fd | grep -c " + at("a") + ") = 0").c_str()), 0);
}

TEST_F(PosixTest, OffsetsBeyond32Bits) {
  constexpr uint64_t kFar = uint64_t{5} << 30;
  fs_.create(at("sparse"))->close();
  ASSERT_EQ(truncate(at("sparse").c_str(), kFar), 0);
  const auto file = fs_.open_append(at("sparse"), kFar);
  file->append(as_bytes("end"));
  EXPECT_EQ(file->size(), kFar + 3);
  const auto in = fs_.open(at("sparse"));
  std::array<std::byte, 8> bytes;
  EXPECT_EQ(in->read_at(kFar, bytes), 3U);
  EXPECT_EQ(as_text(Bytes(bytes).first(3)), "end");
  EXPECT_EQ(as_text(fs_.map(at("sparse"))->bytes().subspan(kFar)), "end");
}

}  // namespace
}  // namespace lamina
