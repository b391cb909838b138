// Goal: under a budget a part gives the same rows, keeps no more of them in place than there is memory for, and notices
// damage as ever; budgets are dealt anew as segments come and go, whoever reads meanwhile.
// Method: files in memory that are opened with and without; bytes flipped underneath; what is let go of, noted;
// threads.
#include "segment/memory_budget.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "base/error.h"
#include "index/paged_rows.h"
#include "index/rows.h"
#include "io/memory_fs.h"
#include "segment/record_sections.h"
#include "segment/sample.h"
#include "segment/vector_sections.h"

namespace lamina {
namespace {

constexpr uint32_t kRows = 3000;
constexpr uint32_t kDim = 96;

// Bytes of a mapping as a file that is read.
class TestFile final : public ReadableFile {
 public:
  explicit TestFile(std::shared_ptr<TestMapping> mapping) : mapping_(std::move(mapping)) {}
  uint64_t size() const override { return mapping_->bytes().size(); }
  size_t read_at(uint64_t offset, std::span<std::byte> out) override {
    if (unreadable) throw StorageError(EIO, path(), "read");
    const size_t n = offset > end ? 0 : std::min<size_t>(out.size(), end - offset);
    std::copy_n(mapping_->bytes().data() + offset, n, out.data());
    return n;
  }
  bool lock_shared() override { return true; }
  bool is_linked() const override { return true; }
  const std::string& path() const override { return mapping_->path(); }

  std::atomic<uint64_t> end = ~uint64_t{0};  // of what can be read
  std::atomic<bool> unreadable = false;

 private:
  const std::shared_ptr<TestMapping> mapping_;
};

struct Opened {
  std::shared_ptr<TestMapping> mapping;
  std::shared_ptr<TestFile> file;
  std::shared_ptr<const VectorSegment> segment;
};

class MemoryBudgetTest : public testing::Test {
 protected:
  MemoryBudgetTest() : owned_(sample::part(kRows, kDim)) {
    MemoryFileSystem fs;
    file_ = sample::vector_segment(fs, "/", *owned_);
  }

  Opened open(const std::shared_ptr<MemoryBudget>& budget) const {
    Opened opened;
    opened.mapping = std::make_shared<TestMapping>(file_.bytes);
    opened.file = std::make_shared<TestFile>(opened.mapping);
    opened.segment =
        open_vector_segment(opened.mapping, file_.ref, sample::vector_info(*owned_), kToyHasher, {budget, opened.file});
    return opened;
  }

  void expect_rows(const Part& part, std::span<const uint32_t> wanted) const {
    const size_t bytes = owned_->spec.vector_bytes();
    Gathered gathered;
    const SealedRows rows(owned_->spec, part);
    const std::byte* const* vectors = rows.gather(wanted, gathered);
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(std::memcmp(vectors[i], owned_->part.vectors + wanted[i] * bytes, bytes), 0) << wanted[i];
    }
  }

  std::unique_ptr<sample::OwnedPart> owned_;
  sample::File file_;
  const std::vector<uint32_t> rows_ = {0, 7, 8, 9, 10, 2999, 1500, 1501, 3, 2, 1, 2998, 2999};
};

uint64_t in_place(const PagedColumn* column) { return column->rows_in_place() * column->stride(); }

TEST_F(MemoryBudgetTest, GivesTheSameRowsWhateverThereIsMemoryFor) {
  for (const uint64_t bytes : {1, 100'000, 800'000, 1'500'000, 100'000'000}) {
    const auto budget = std::make_shared<MemoryBudget>(bytes);
    const Opened opened = open(budget);
    const Part& part = opened.segment->part();
    part.guard->check_index();
    expect_rows(part, rows_);
    ASSERT_NE(part.paging, nullptr);
    const auto& [vectors, codes, coarse, neighbours, level0] = *part.paging;
    EXPECT_EQ(neighbours, nullptr);
    const PagedRows paged(*codes);
    for (const uint32_t row : rows_) {
      ASSERT_EQ(std::memcmp(paged.row(row), owned_->part.codes + row * part.code_stride, part.code_stride), 0);
    }
    const uint64_t all = in_place(vectors) + in_place(codes) + in_place(coarse) + in_place(level0);
    EXPECT_LE(all, bytes);
    EXPECT_EQ(all == vectors->stride() * kRows + codes->stride() * kRows + coarse->stride() * kRows +
                         level0->stride() * kRows,
              bytes == 100'000'000);
    EXPECT_TRUE(in_place(vectors) == 0 || codes->rows_in_place() == kRows) << "codes come first";
    EXPECT_TRUE(in_place(codes) == 0 || coarse->rows_in_place() == kRows) << "what is walked comes first of all";
    opened.segment->verify(kToyHasher);
  }
}

TEST_F(MemoryBudgetTest, NeighbourCodesAreWalkedAndReadAsTheLinksAre) {
  sample::add_neighbour_codes(*owned_);
  owned_->part.coarse_codes = nullptr;
  owned_->part.i4 = {};
  MemoryFileSystem fs;
  file_ = sample::vector_segment(fs, "/", *owned_);
  const size_t stride = neighbour_stride(owned_->spec, owned_->part.graph.degree);
  for (const uint64_t bytes : {1, 800'000, 1'500'000, 2'300'000, 100'000'000}) {
    const Opened opened = open(std::make_shared<MemoryBudget>(bytes));
    const Part& part = opened.segment->part();
    part.guard->check_index();
    ASSERT_NE(part.paging->neighbour_codes, nullptr);
    EXPECT_EQ(part.paging->coarse_codes, nullptr);
    const PagedRows paged(*part.paging->neighbour_codes);
    for (const uint32_t row : rows_) {
      ASSERT_EQ(std::memcmp(paged.row(row), owned_->part.neighbour_codes + row * stride, stride), 0) << row;
    }
    EXPECT_LE(in_place(part.paging->neighbour_codes) + in_place(part.paging->vectors), bytes);
    EXPECT_TRUE(in_place(part.paging->vectors) == 0 || part.paging->neighbour_codes->rows_in_place() == kRows);
    opened.segment->verify(kToyHasher);
  }
}

TEST_F(MemoryBudgetTest, IsSharedByAllThatAreOpen) {
  const auto budget = std::make_shared<MemoryBudget>(1'000'000);
  const Opened first = open(budget);
  const PagedColumn& codes = *first.segment->part().paging->codes;
  const uint32_t alone = codes.rows_in_place();
  EXPECT_GT(alone, 0u);
  {
    const Opened second = open(budget);
    EXPECT_LT(codes.rows_in_place(), alone);
    EXPECT_EQ(codes.rows_in_place(), second.segment->part().paging->codes->rows_in_place());
    EXPECT_LE(budget->in_use(), budget->bytes());
    const uint64_t kept = first.segment->file().find(kCodes)->offset + in_place(&codes);
    EXPECT_TRUE(
        std::ranges::any_of(first.mapping->let_go_of(), [&](const auto& range) { return range.first == kept; }));
  }
  EXPECT_EQ(codes.rows_in_place(), alone);
}

TEST_F(MemoryBudgetTest, DamageInARowThatIsReadIsNoticedEachTime) {
  const Opened opened = open(std::make_shared<MemoryBudget>(1));
  const Part& part = opened.segment->part();
  const uint64_t at = opened.segment->file().find(kVectors)->offset + 1500 * owned_->spec.vector_bytes();
  opened.mapping->data()[at] ^= std::byte{0x10};
  Gathered gathered;
  const std::vector<uint32_t> damaged = {3, 1500};
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THROW(SealedRows(owned_->spec, part).gather(damaged, gathered), CorruptionError);
  }
  expect_rows(part, std::vector<uint32_t>{3, 1400, 1600});
  EXPECT_THROW(opened.segment->verify(kToyHasher), CorruptionError);
}

TEST_F(MemoryBudgetTest, AFileThatHasBecomeShorterIsDamage) {
  const Opened opened = open(std::make_shared<MemoryBudget>(1));
  expect_rows(opened.segment->part(), rows_);
  opened.file->end = opened.segment->file().find(kVectors)->offset + 100 * owned_->spec.vector_bytes();
  expect_rows(opened.segment->part(), std::vector<uint32_t>{1, 2, 50});
  EXPECT_THROW(expect_rows(opened.segment->part(), rows_), CorruptionError);
}

TEST_F(MemoryBudgetTest, AFileThatCannotBeReadIsDamage) {
  const Opened opened = open(std::make_shared<MemoryBudget>(1));
  opened.file->unreadable = true;
  EXPECT_THROW(expect_rows(opened.segment->part(), rows_), CorruptionError);
  opened.file->unreadable = false;
  expect_rows(opened.segment->part(), rows_);
}

TEST_F(MemoryBudgetTest, IsDealtAnewBesideThoseWhoRead) {
  const auto budget = std::make_shared<MemoryBudget>(1'000'000);
  const Opened first = open(budget);
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) expect_rows(first.segment->part(), rows_);
  });
  std::vector<std::thread> openers;
  for (int i = 0; i < 2; ++i) {
    openers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) expect_rows(open(budget).segment->part(), rows_);
    });
  }
  for (std::thread& opener : openers) opener.join();
  done = true;
  reader.join();
  const uint32_t alone = open(std::make_shared<MemoryBudget>(1'000'000)).segment->part().paging->codes->rows_in_place();
  EXPECT_EQ(first.segment->part().paging->codes->rows_in_place(), alone) << "all is the first one's again";
}

TEST_F(MemoryBudgetTest, AForkedChildWaitsForNobody) {
  const auto budget = std::make_shared<MemoryBudget>(1'000'000);
  const Opened opened = open(budget);
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) budget->count(budget->bytes());
  });
  for (int round = 0; round < 50; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      const Opened another = open(budget);
      ::_exit(another.segment->part().paging->codes->rows_in_place() > 0 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  done = true;
  reader.join();
}

TEST(MemoryBudgetOfRecords, IsKeptByLettingGoOfWhatWasLookedAt) {
  MemoryFileSystem fs;
  const auto owned = sample::records(300, IdKind::kInt);
  const sample::File file = sample::record_segment(fs, "/", *owned);
  for (const uint64_t bytes : {1, 1 << 30}) {
    const auto mapping = std::make_shared<TestMapping>(file.bytes);
    const auto budget = std::make_shared<MemoryBudget>(bytes);
    const auto segment = open_record_segment(mapping, file.ref, sample::kRecordId, kToyHasher,
                                             {budget, std::make_shared<TestFile>(mapping)});
    EXPECT_EQ(segment->find(Id(int64_t{-30})), 10u);
    EXPECT_TRUE(mapping->let_go_of().empty()) << "what finds a record stays";
    EXPECT_EQ(segment->block(7).rows, 3u);
    EXPECT_EQ(mapping->let_go_of().empty(), bytes > 1);
    const size_t before = mapping->let_go_of().size();
    segment->fields_at(10);
    EXPECT_EQ(mapping->let_go_of().size() > before, bytes == 1);
    for (const auto& range : mapping->let_go_of()) {
      EXPECT_TRUE(std::ranges::any_of(segment->file().sections(), [&](const Section& section) {
        const bool finds = section.name == kRecordRids || section.name == kIdOrder || section.name == kIntIds;
        return !finds && section.offset == range.first && section.padded() == range.second;
      })) << range.first;
    }
    EXPECT_GT(budget->in_use(), 0u);
  }
}

}  // namespace
}  // namespace lamina
