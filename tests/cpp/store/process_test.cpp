// Goal: locks, forks and kills work between real processes. Method: a store on the real file system, and children.
#include "store/store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include "io/fault.h"
#include "io/scratch_directory.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

class ProcessTest : public testing::Test {
 protected:
  std::shared_ptr<Store> open(StoreOptions options = {}) {
    return Store::open(FileSystem::posix(), path, options, kToyHasher, kToyCodec);
  }

  // Runs `body` in a child; its result is the child's exit status, 99 if it threw, or -1 if it was killed.
  template <class Body>
  static int in_child(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      int result = 99;
      try {
        result = body();
      } catch (...) {
      }
      ::_exit(result);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  const ScratchDirectory directory;
  const std::string path = directory.path() + "/kb.lamina";
};

template <class Failure, class Body>
bool throws(Body&& body) {
  try {
    body();
  } catch (const Failure&) {
    return true;
  }
  return false;
}

TEST_F(ProcessTest, AForkedChildCannotWriteAndLeavesTheLockAlone) {
  auto store = open({.create = true});
  store->create_collection("docs", toy_spec());
  upsert(*store, batch_of(1, 0, 5));
  const auto snapshot = store->collection("docs")->snapshot();
  const int failures = in_child([&] {
    int failed = 0;
    failed += throws<ClosedError>([&] { upsert(*store, batch_of(2, 0, 5)); }) ? 0 : 1;
    failed += throws<ClosedError>([&] { store->sync(); }) ? 0 : 2;
    failed += throws<ClosedError>([&] { store->seal(); }) ? 0 : 4;
    failed += throws<ClosedError>([&] { store->close(); }) ? 0 : 8;
    failed += rows_of(*snapshot) == batch_of(1, 0, 5) ? 0 : 16;
    store.reset();
    failed += throws<LockedError>([&] { open(); }) ? 0 : 32;  // the parent has it still
    return failed;
  });
  EXPECT_EQ(failures, 0);
  upsert(*store, batch_of(3, 5, 5));
  EXPECT_EQ(in_child([&] { return throws<LockedError>([&] { open(); }) ? 0 : 1; }), 0);
  store->close();
  EXPECT_EQ(in_child([&] { return rows_in(*open()).size() == 10 ? 0 : 1; }), 0);
}

#ifndef __SANITIZE_THREAD__  // which lets no forked child start threads
TEST_F(ProcessTest, AForkedChildLetsGoOfAStoreThatItsParentsThreadsWaitIn) {
  FaultFileSystem fs(FileSystem::posix());
  auto store = Store::open(fs, path, {.create = true}, kToyHasher, kToyCodec);
  store->create_collection("docs", toy_spec());
  std::promise<void> syncing;
  std::promise<void> forked;
  fs.fail({.rule = {FileOperation::kSync, ".log"}, .error = 0, .effect = [&](const std::string&) {
             syncing.set_value();
             forked.get_future().wait();
           }});
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 3; ++writer) {
    writers.emplace_back([&to = *store, writer] { upsert(to, batch_of(writer, writer, 1)); });
    if (writer == 0) syncing.get_future().wait();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the others wait in the queue
  const int ended = in_child([&] {
    ::alarm(20);
    store.reset();
    return 0;
  });
  forked.set_value();
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(rows_in(*store).size(), 3u);
}

TEST_F(ProcessTest, AKilledWriterLosesNothingThatItAcknowledged) {
  constexpr int kKills = 4;
  for (int kill = 0; kill < kKills; ++kill) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const auto store = open({.create = true, .log_limit = 20000});
      if (store->collections().empty()) store->create_collection("docs", toy_spec());
      for (int batch = 0;; ++batch) {
        const auto version = upsert(*store, batch_of(batch, 10 * (batch % 50), 10)).version;
        if (::write(pipe[1], &version, sizeof version) != sizeof version) ::_exit(1);
      }
    }
    ::close(pipe[1]);
    uint64_t acknowledged = 0;
    uint64_t count = 0;
    const uint64_t enough = 10 + static_cast<uint64_t>(kill) * 13;
    while (count < enough && ::read(pipe[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) ++count;
    ::kill(child, SIGKILL);
    while (::read(pipe[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(pipe[0]);
    ASSERT_EQ(count, enough);

    const auto reader = open({.read_only = true});
    EXPECT_GE(reader->version(), acknowledged);
    const auto store = open();
    EXPECT_GE(store->version(), acknowledged);
    EXPECT_LE(store->version(), acknowledged + 1);
    EXPECT_FALSE(store->recovery().clean);
    EXPECT_EQ(store->collection("docs")->snapshot()->records->live % 10, 0u);
    store->verify();
    reader->reload();
    EXPECT_EQ(reader->version(), store->version());
    EXPECT_EQ(rows_in(*reader), rows_in(*store));
  }
}
#endif

}  // namespace
}  // namespace lamina
