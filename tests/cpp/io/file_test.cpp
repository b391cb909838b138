// Goal: every FileSystem keeps the contract of file.h, errors included.
// Method: one suite for the real file system, the one in memory, and the fault-injecting one with no faults.
#include "io/file.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>

#include "base/error.h"
#include "io/fault.h"
#include "io/memory_fs.h"
#include "io/scratch_directory.h"

namespace lamina {
namespace {

class FileTest : public testing::TestWithParam<const char*> {
 protected:
  FileTest() : faulty_(memory_) {
    if (GetParam() != std::string("posix")) memory_.make_directory("/dir");
  }

  FileSystem& fs() {
    if (GetParam() == std::string("posix")) return FileSystem::posix();
    if (GetParam() == std::string("memory")) return memory_;
    return faulty_;
  }
  std::string at(const std::string& name) {
    return join(GetParam() == std::string("posix") ? scratch_.path() : "/dir", name);
  }

  void write(const std::string& name, std::string_view content) {
    const auto file = fs().create(at(name));
    file->append(as_bytes(content));
    file->close();
  }
  std::string read(const std::string& name) { return std::string(as_text(fs().map(at(name))->bytes())); }

  template <class Fn>
  int errno_of(Fn&& fn) {
    try {
      fn();
    } catch (const StorageError& e) {
      EXPECT_FALSE(e.path.empty());
      return e.error_number;
    }
    return 0;
  }

 private:
  ScratchDirectory scratch_;
  MemoryFileSystem memory_;
  FaultFileSystem faulty_;
};

INSTANTIATE_TEST_SUITE_P(All, FileTest, testing::Values("posix", "memory", "fault"),
                         [](const auto& chosen) { return std::string(chosen.param); });

TEST_P(FileTest, WriteThenRead) {
  const auto out = fs().create(at("a"));
  out->append(as_bytes("hello "));
  out->append({});
  out->append(as_bytes("world"));
  EXPECT_EQ(out->size(), 11U);
  EXPECT_EQ(out->path(), at("a"));
  out->sync();
  const auto in = fs().open(at("a"));
  EXPECT_EQ(in->size(), 11U);
  EXPECT_EQ(in->path(), at("a"));
  std::array<std::byte, 5> five;
  EXPECT_EQ(in->read_at(6, five), 5U);
  EXPECT_EQ(as_text(five), "world");
  EXPECT_EQ(in->read_at(8, five), 3U);
  EXPECT_EQ(in->read_at(11, five), 0U);
  EXPECT_EQ(in->read_at(1000, five), 0U);
  out->append(as_bytes("!"));
  EXPECT_EQ(in->size(), 12U);
  out->close();
  out->close();
  EXPECT_EQ(errno_of([&] { out->append(as_bytes("x")); }), EBADF);
  EXPECT_EQ(errno_of([&] { out->sync(); }), EBADF);
  EXPECT_EQ(read("a"), "hello world!");
}

TEST_P(FileTest, CreateRefusesANameInUse) {
  write("a", "x");
  EXPECT_EQ(errno_of([&] { fs().create(at("a")); }), EEXIST);
  EXPECT_EQ(errno_of([&] { fs().create(at("none/a")); }), ENOENT);
  EXPECT_EQ(read("a"), "x");
}

TEST_P(FileTest, OpenAppendTruncates) {
  write("log", "0123456789");
  const auto out = fs().open_append(at("log"), 4);
  EXPECT_EQ(out->size(), 4U);
  out->append(as_bytes("ab"));
  EXPECT_EQ(out->size(), 6U);
  EXPECT_EQ(read("log"), "0123ab");
  EXPECT_EQ(fs().open_append(at("log"), 6)->size(), 6U);
  EXPECT_THROW(fs().open_append(at("log"), 7), CorruptionError);
  EXPECT_EQ(read("log"), "0123ab");
  EXPECT_EQ(errno_of([&] { fs().open_append(at("none"), 0); }), ENOENT);
}

TEST_P(FileTest, MappingsOutliveTheName) {
  write("a", "content");
  write("empty", "");
  const auto mapping = fs().map(at("a"));
  fs().remove(at("a"));
  EXPECT_EQ(as_text(mapping->bytes()), "content");
  EXPECT_EQ(mapping->path(), at("a"));
  EXPECT_TRUE(fs().map(at("empty"))->bytes().empty());
  EXPECT_EQ(errno_of([&] { fs().map(at("a")); }), ENOENT);
  EXPECT_EQ(errno_of([&] { fs().open(at("a")); }), ENOENT);
}

TEST_P(FileTest, DirectoriesAreListed) {
  write("b", "");
  write("a", "");
  fs().make_directory(at("sub"));
  fs().make_directory(at("sub"));
  write("sub/c", "");
  EXPECT_EQ(fs().list(at("")), (std::vector<std::string>{"a", "b", "sub"}));
  EXPECT_EQ(fs().list(at("sub")), (std::vector<std::string>{"c"}));
  EXPECT_TRUE(fs().exists(at("sub")));
  EXPECT_TRUE(fs().exists(at("sub/c")));
  EXPECT_FALSE(fs().exists(at("sub/d")));
  EXPECT_FALSE(fs().exists(at("none/d")));
  EXPECT_EQ(errno_of([&] { fs().remove_directory(at("sub")); }), ENOTEMPTY);
  EXPECT_EQ(errno_of([&] { fs().list(at("none")); }), ENOENT);
  EXPECT_EQ(errno_of([&] { fs().list(at("a")); }), ENOTDIR);
  EXPECT_EQ(errno_of([&] { fs().make_directory(at("a")); }), EEXIST);
  EXPECT_EQ(errno_of([&] { fs().make_directory(at("none/sub")); }), ENOENT);
  fs().remove(at("sub/c"));
  fs().sync_directory(at("sub"));
  fs().remove_directory(at("sub"));
  EXPECT_FALSE(fs().exists(at("sub")));
  EXPECT_EQ(errno_of([&] { fs().sync_directory(at("sub")); }), ENOENT);
  EXPECT_EQ(errno_of([&] { fs().remove(at("sub")); }), ENOENT);
}

TEST_P(FileTest, RenameReplaces) {
  write("a", "new");
  write("b", "old");
  const auto old = fs().open(at("b"));
  EXPECT_TRUE(old->is_linked());
  fs().rename(at("a"), at("b"));
  EXPECT_EQ(read("b"), "new");
  EXPECT_FALSE(fs().exists(at("a")));
  EXPECT_FALSE(old->is_linked());
  EXPECT_EQ(old->size(), 3U);
  fs().rename(at("b"), at("b"));
  EXPECT_EQ(read("b"), "new");
  EXPECT_EQ(errno_of([&] { fs().rename(at("a"), at("c")); }), ENOENT);
  EXPECT_EQ(errno_of([&] { fs().rename(at("b"), at("none/c")); }), ENOENT);
}

TEST_P(FileTest, SharedLocksKeepAFile) {
  write("root", "x");
  auto first = fs().open(at("root"));
  const auto second = fs().open(at("root"));
  EXPECT_TRUE(first->lock_shared());
  EXPECT_TRUE(first->lock_shared());
  EXPECT_TRUE(second->lock_shared());
  EXPECT_FALSE(fs().try_lock_and_remove(at("root")));
  first.reset();
  EXPECT_FALSE(fs().try_lock_and_remove(at("root")));
  EXPECT_EQ(fs().try_lock(at("root")), nullptr);
  write("other", "x");
  EXPECT_TRUE(fs().try_lock_and_remove(at("other")));
  EXPECT_FALSE(fs().exists(at("other")));
  EXPECT_TRUE(second->is_linked());
  EXPECT_EQ(errno_of([&] { fs().try_lock_and_remove(at("other")); }), ENOENT);
}

TEST_P(FileTest, OneExclusiveLock) {
  EXPECT_FALSE(fs().is_locked(at("LOCK")));
  auto lock = fs().try_lock(at("LOCK"));
  ASSERT_NE(lock, nullptr);
  EXPECT_TRUE(fs().is_locked(at("LOCK")));
  EXPECT_EQ(fs().try_lock(at("LOCK")), nullptr);
  EXPECT_FALSE(fs().open(at("LOCK"))->lock_shared());
  lock->write(as_bytes("pid 123456"));
  EXPECT_EQ(read("LOCK"), "pid 123456");
  lock->write(as_bytes("pid 7"));
  EXPECT_EQ(read("LOCK"), "pid 7");
  lock.reset();
  EXPECT_FALSE(fs().is_locked(at("LOCK")));
  lock = fs().try_lock(at("LOCK"));
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(read("LOCK"), "pid 7");
  lock->write(as_bytes("p"));
  EXPECT_EQ(read("LOCK"), "p");
}

TEST_P(FileTest, FreeBytes) {
  EXPECT_GT(fs().free_bytes(at("")), 0U);
  EXPECT_EQ(errno_of([&] { fs().free_bytes(at("none")); }), ENOENT);
}

}  // namespace
}  // namespace lamina
