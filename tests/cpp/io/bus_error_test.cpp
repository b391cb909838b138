// Goal: a page that cannot be read costs the mapping and not the process; faults that are none of ours end the process
// as before. Method: files cut short under real mappings; what must end a process does so in a child.
#include "io/bus_error.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "io/file.h"
#include "io/scratch_directory.h"

namespace lamina {
namespace {

class BusErrorTest : public testing::Test {
 protected:
  std::unique_ptr<Mapping> map(const std::string& name, size_t pages) {
    const std::string path = at(name);
    const auto file = fs_.create(path);
    file->append(std::vector<std::byte>(pages * page_, std::byte{1}));
    file->close();
    return fs_.map(path);
  }
  void cut(const std::string& name, size_t bytes) {
    ASSERT_EQ(::truncate(at(name).c_str(), static_cast<off_t>(bytes)), 0);
  }
  std::string at(const std::string& name) { return join(scratch_.path(), name); }

  static int sum(const Mapping& mapping) {
    return std::accumulate(mapping.bytes().begin(), mapping.bytes().end(), 0,
                           [](int all, std::byte one) { return all + std::to_integer<int>(one); });
  }

  // How a child ends that touches a page which is not there, of a mapping that nobody watches.
  static int unwatched_fault(const std::string& path) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0644);
      volatile auto* const bytes = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0));
      _exit(bytes[0] == 0 ? 1 : 2);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }

  FileSystem& fs_ = FileSystem::posix();
  const size_t page_ = static_cast<size_t>(::sysconf(_SC_PAGESIZE));

 private:
  ScratchDirectory scratch_;
};

TEST_F(BusErrorTest, APageThatIsGoneReadsAsZerosAndIsSaid) {
  const auto mapping = map("a", 8);
  const auto other = map("b", 2);
  EXPECT_EQ(sum(*mapping), static_cast<int>(8 * page_));
  mapping->require_whole();
  cut("a", 3 * page_);
  EXPECT_EQ(sum(*mapping), static_cast<int>(3 * page_));
  try {
    mapping->require_whole();
    FAIL();
  } catch (const CorruptionError& e) {
    EXPECT_EQ(e.file, at("a"));
    EXPECT_EQ(e.offset, 3 * page_);
  }
  EXPECT_EQ(sum(*other), static_cast<int>(2 * page_));
  other->require_whole();
  const auto again = fs_.map(at("a"));  // as it is now
  EXPECT_EQ(sum(*again), static_cast<int>(3 * page_));
  again->require_whole();
}

TEST_F(BusErrorTest, FilesThatAreUnlinkedOrReplacedStayWhole) {
  const auto mapping = map("a", 4);
  map("b", 1);
  fs_.rename(at("b"), at("a"));
  EXPECT_EQ(sum(*mapping), static_cast<int>(4 * page_));
  fs_.remove(at("a"));
  EXPECT_EQ(sum(*mapping), static_cast<int>(4 * page_));
  mapping->require_whole();
}

TEST_F(BusErrorTest, ManyThreadsOnManyMappings) {
  std::vector<std::unique_ptr<Mapping>> mappings;
  for (int i = 0; i < 600; ++i) mappings.push_back(map(std::to_string(i), 4));  // more than a chunk of the table
  std::atomic<int> failed = 0;
  std::atomic<int64_t> total = 0;
  for (size_t i = 0; i < mappings.size(); i += 3) cut(std::to_string(i), page_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const auto& mapping : mappings) {
        total += sum(*mapping);
        try {
          mapping->require_whole();
        } catch (const CorruptionError&) {
          ++failed;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed.load(), 4 * 200);
  EXPECT_EQ(total.load(), static_cast<int64_t>(4 * (200 + 400 * 4) * page_));
}

TEST_F(BusErrorTest, AnEntryIsUsedAgainWithoutItsMark) {
  auto mapping = map("a", 2);
  cut("a", 0);
  EXPECT_EQ(sum(*mapping), 0);
  EXPECT_THROW(mapping->require_whole(), CorruptionError);
  mapping.reset();
  for (int i = 0; i < 3; ++i) map("b" + std::to_string(i), 1)->require_whole();
}

TEST_F(BusErrorTest, AChildSurvivesToo) {
  const auto mapping = map("a", 4);
  cut("a", 0);
  const pid_t child = ::fork();
  if (child == 0) _exit(sum(*mapping));
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  mapping->require_whole();  // nobody has touched it here
}

TEST_F(BusErrorTest, AFaultOfOthersEndsTheProcess) {
  map("a", 1);
  const int status = unwatched_fault(at("empty"));
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
}

TEST_F(BusErrorTest, AFaultOfOthersGoesToTheHandlerThatWasThere) {
  const pid_t child = ::fork();  // whose handlers are nobody else's
  if (child == 0) {
    struct sigaction theirs = {};
    theirs.sa_handler = [](int) { _exit(77); };
    sigaction(SIGBUS, &theirs, nullptr);
    const auto mapping = map("a", 2);  // puts ours before it
    const int status = unwatched_fault(at("empty"));
    cut("a", 0);
    _exit(WIFEXITED(status) && WEXITSTATUS(status) == 77 && sum(*mapping) == 0 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(BusErrorTest, ASignalThatWasSentEndsTheProcess) {
  map("a", 1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::kill(::getpid(), SIGBUS);
    _exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
}

}  // namespace
}  // namespace lamina
