// Goal: whatever becomes of a store's files while they are mapped and searched, the process lives, each answer is right
// or a CorruptionError, and other collections go on. Method: files of a real store cut, unlinked, replaced and
// overwritten at many places beneath threads that read all the time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "io/scratch_directory.h"
#include "store/loading.h"
#include "store/store.h"
#include "store/toy_store.h"

namespace lamina {
namespace {

namespace files = std::filesystem;

constexpr int64_t kRows = 3000;
constexpr uint64_t kPage = 4096;  // the rest of a page that a cut goes through reads as zeros, unnoticed: see Mapping

class HostileDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto store = open(original_, {.create = true, .keep_versions_us = 0});
    for (const char* name : {"docs", "others"}) {
      store->create_collection(name, toy_spec());
      write(*store, Op(Verb::kUpsert, batch_of(1, 0, kRows), name));
    }
    store->optimize("docs", 1);
    store->optimize("others", 1);
    store->close();
  }

  static std::shared_ptr<Store> open(const std::string& path, StoreOptions options) {
    return Store::open(FileSystem::posix(), path, options, kToyHasher, kToyCodec);
  }

  // A copy of the store, and in it the path of the file of "docs" with this extension.
  std::string copy(const std::string& extension) {
    files::remove_all(copy_);
    files::copy(original_, copy_, files::copy_options::recursive);
    std::vector<std::string> found;
    for (const auto& entry : files::directory_iterator(copy_ + "/files")) {
      if (entry.path().extension() == extension) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());  // that of "docs" came first
    return found.front();
  }

  // Reads everything there is; false for a CorruptionError, and a test failure for a wrong answer.
  static bool reads_well(const Snapshot& snapshot, bool exact) {
    std::array<Hit, 10> hits;
    const std::array<float, kDim> query = {1, 1, 2, 1500};
    try {
      const size_t found =
          snapshot.vectors->search(query.data(), {.k = hits.size(), .ef = 64, .exact = exact}, hits.data());
      EXPECT_EQ(found, hits.size());
      EXPECT_EQ(hits[0].id, 1500);
      EXPECT_EQ(hits[0].distance, 0);
      const RecordRef where = snapshot.records->find(Id{int64_t{2900}});
      EXPECT_TRUE(where.found());
      EXPECT_EQ(snapshot.records->fields_at(where).rid, 2900U);
      return true;
    } catch (const CorruptionError&) {
      return false;
    }
  }

  // Runs `harm` while three threads read, each until it was refused or has read `rounds` times after the harm.
  template <class Harm>
  int refused_while(Store& store, int rounds, Harm&& harm) {
    std::atomic<int> refused = 0;
    std::atomic<int> ready = 0;
    std::atomic<bool> done = false;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        const auto snapshot = store.collection("docs")->snapshot();
        bool good = reads_well(*snapshot, t == 0);
        ++ready;
        for (int after = 0; good && after < rounds; after += done ? 1 : 0) good = reads_well(*snapshot, t == 0);
        refused += good ? 0 : 1;
      });
    }
    while (ready < 3) std::this_thread::yield();
    harm();
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(reads_well(*store.collection("others")->snapshot(), true));
    return refused;
  }

  const ScratchDirectory directory_;
  const std::string original_ = directory_.path() + "/original.lamina";
  const std::string copy_ = directory_.path() + "/copy.lamina";
};

TEST_F(HostileDiskTest, CutAtManyPlaces) {
  for (const char* extension : {".vec", ".rec"}) {
    const uint64_t size = files::file_size(copy(extension));
    int noticed = 0;
    for (uint64_t keep = 0; keep < size; keep += size / 12 / kPage * kPage + kPage) {
      const std::string file = copy(extension);
      const auto store = open(copy_, {.read_only = true});
      noticed += refused_while(*store, 3, [&] { files::resize_file(file, keep); });
      EXPECT_THROW(store->verify(), CorruptionError) << extension << " cut to " << keep;
      EXPECT_THROW(open(copy_, {.read_only = true})->collection("docs")->snapshot(), CorruptionError);
    }
    EXPECT_GT(noticed, 0) << extension;
  }
}

TEST_F(HostileDiskTest, ACutToNothingIsRefusedByEveryRead) {
  const std::string file = copy(".vec");
  const auto store = open(copy_, {.read_only = true});
  EXPECT_EQ(refused_while(*store, 1000, [&] { files::resize_file(file, 0); }), 3);
}

TEST_F(HostileDiskTest, UnlinkedAndReplacedFilesAreReadOn) {
  for (const char* extension : {".vec", ".rec"}) {
    const std::string file = copy(extension);
    const auto store = open(copy_, {.read_only = true});
    EXPECT_EQ(refused_while(*store, 3,
                            [&] {
                              std::ofstream(file + ".new") << "something else";
                              files::rename(file + ".new", file);
                              files::remove(file);
                            }),
              0);
    EXPECT_THROW(store->verify(), CorruptionError);
  }
}

// Who overwrites files in place can make them say anything once they are checked; the process lives nevertheless.
TEST_F(HostileDiskTest, OverwrittenInPlaceEndsNobody) {
  for (const char* extension : {".vec", ".rec"}) {
    const uint64_t size = files::file_size(copy(extension));
    for (uint64_t at = 0; at < size; at += size / 8 + 333) {
      const std::string file = copy(extension);
      const auto store = open(copy_, {.read_only = true});
      const auto snapshot = store->collection("docs")->snapshot();
      EXPECT_TRUE(reads_well(*snapshot, false));
      std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(static_cast<std::streamoff>(at))
          << std::string(std::min<uint64_t>(20000, size - at), '\xfe');
      try {
        std::array<Hit, 10> hits;
        const std::array<float, kDim> query = {1, 1, 2, 1500};
        snapshot->vectors->search(query.data(), {.k = hits.size(), .ef = 64}, hits.data());
        View::RowRef row;
        for (uint64_t rid = 0; rid < kRows; rid += 100) snapshot->vectors->find(rid, &row);
        for (int64_t id = 0; id < kRows; id += 100) {
          const RecordRef where = snapshot->records->find(Id{id});
          if (where.found()) snapshot->records->block_at(where, kToyCodec);
        }
      } catch (const CorruptionError&) {
      }
      EXPECT_THROW(store->verify(), CorruptionError) << extension << " at " << at;
    }
  }
}

TEST_F(HostileDiskTest, AMergeOfAFileThatIsCutShortPublishesNothing) {
  const std::string file = copy(".vec");
  {
    const auto store = open(copy_, {});
    upsert(*store, batch_of(2, kRows, 10));
    files::resize_file(file, 0);
    EXPECT_THROW(store->optimize("docs", 1), CorruptionError);
    EXPECT_TRUE(reads_well(*store->collection("others")->snapshot(), true));
    write(*store, Op(Verb::kUpsert, batch_of(3, kRows, 10), "others"));  // writes to others go on
  }
  EXPECT_TRUE(files::exists(file));
}

TEST_F(HostileDiskTest, AWriteThatMeetsAFailedFileLeavesOtherCollectionsWritable) {
  const std::string file = copy(".vec");
  {
    const auto store = open(copy_, {});
    upsert(*store, batch_of(2, 0, 1));
    files::resize_file(file, 0);
    EXPECT_THROW(upsert(*store, batch_of(3, 0, 10)), CorruptionError);
    EXPECT_THROW(upsert(*store, batch_of(3, kRows, 1)), CorruptionError);
    EXPECT_THROW(
        write(*store, {Op(Verb::kUpsert, batch_of(4, 0, 10), "others"), Op(Verb::kUpsert, batch_of(4, 0, 10))}),
        CorruptionError);
    write(*store, Op(Verb::kUpsert, batch_of(5, kRows, 10), "others"));
    EXPECT_THROW(store->seal(), CorruptionError) << "it says what was left out";
    EXPECT_EQ(rows_in(*store, "others").size(), kRows + 10U);
  }
  const auto again = open(copy_, {});
  Rows expected = batch_of(1, 0, kRows);
  expected.merge(batch_of(5, kRows, 10));
  EXPECT_EQ(rows_in(*again, "others"), expected);
}

TEST_F(HostileDiskTest, ASealThatMeetsAFailedFileLosesNothing) {
  const std::string file = copy(".vec");
  Rows docs = batch_of(2, 0, 10);
  docs.merge(batch_of(1, 0, kRows));
  Rows others = batch_of(4, 5, 10);
  others.merge(batch_of(2, 0, 10));
  others.merge(batch_of(1, 0, kRows));
  {
    const InterruptedCodec codec;
    const auto store = Store::open(FileSystem::posix(), copy_, {}, kToyHasher, codec);
    upsert(*store, batch_of(2, 0, 10));
    write(*store, Op(Verb::kUpsert, batch_of(2, 0, 10), "others"));
    codec.interruption = [&] {  // what the seal has of "docs" is given up
      files::resize_file(file, 0);
      EXPECT_THROW(upsert(*store, batch_of(3, 0, 10)), CorruptionError);
      write(*store, Op(Verb::kUpsert, batch_of(4, 5, 10), "others"));
    };
    store->seal();
    ASSERT_FALSE(codec.interruption);
    EXPECT_EQ(rows_in(*store, "others"), others);
    EXPECT_THROW(store->seal(), CorruptionError) << "it says what it passes over";
    EXPECT_EQ(store->collection("others")->snapshot()->records->head_rows, 0U);
    EXPECT_EQ(rows_in(*store, "others"), others);
  }
  files::copy_file(original_ + file.substr(copy_.size()), file, files::copy_options::overwrite_existing);
  const auto again = open(copy_, {});
  EXPECT_EQ(rows_in(*again), docs);
  EXPECT_EQ(rows_in(*again, "others"), others);
  EXPECT_TRUE(again->verify().complete);
}

// A log whose bytes cannot be read, from some page on.
class FailingLog final : public Mapping {
 public:
  explicit FailingLog(const LogHeader& header) : bytes_(8192) {
    std::ranges::copy(encode_log_header(header).bytes, bytes_.begin());
  }
  Bytes bytes() const override { return bytes_; }
  void require_whole() const override { throw CorruptionError("log", 4096, "a page", "none"); }
  const std::string& path() const override { return path_; }

 private:
  std::vector<std::byte> bytes_;
  const std::string path_ = "log";
};

TEST(UnreadableLog, IsNoTornTail) {
  LoadedLog log;
  log.header.number = 1;
  log.mapping = std::make_shared<FailingLog>(log.header);
  Root root;
  root.log.number = 1;
  root.log.start = root.log.end = kLogHeaderBytes;
  EXPECT_THROW(read_to_end(log, root, nullptr), CorruptionError);
}

}  // namespace
}  // namespace lamina
