// How much memory the segments of a store may take of this process, and for which of their bytes.
//
// What is touched in place of a mapped file counts as memory of the process. So of each segment's columns only the
// first rows are kept in place, as many as there is memory for, and what a search needs of the others is read: the
// system's cache, which all processes share, is the one that holds them. Columns are served by their use: all that
// walks touch comes before all that is looked at once a search; within a use every column has the same share. Shares
// are dealt anew when a segment is opened or closed, and what has none any more is let go of.
//
// Records are found in place too, by columns that stay there. What is read of them then is counted, and let go of when
// that is more than half of their share. The other half is for what the caller keeps decoded of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "index/part.h"
#include "segment/segment_file.h"

namespace lamina {

// A column of a segment of which only the first rows are touched in place. Outlived by the file.
class PagedSection final : public PagedColumn {
 public:
  PagedSection(const SegmentFile& file, const Section& section)
      : PagedColumn(file.data<std::byte>(section), section.element_bytes), file_(file), section_(section) {
    file.map_singly(section.offset, section.padded(), true);
  }

  uint64_t bytes() const { return section_.length; }
  void read(uint32_t row, uint32_t count, std::byte* out) const override {
    file_.read(section_.offset + row * stride(), {out, count * stride()});
  }
  void keep(double share);  // of the rows, in place; lets go of the others, which a search under way may touch still

 private:
  const SegmentFile& file_;
  const Section& section_;
};

// Any thread. Those that open or close a segment may wait for each other, but for none that close one.
class MemoryBudget {
 public:
  enum class Use : uint8_t { kWalked, kChosen, kMeasured };  // the most needed first
  static constexpr size_t kUses = 3;
  static constexpr uint64_t kRecordShare = 16;  // one part in so many is for records

  // An open segment.
  class Tenant {
   public:
    virtual ~Tenant() = default;
    virtual uint64_t bytes_in_place() const { return 0; }  // that are touched whatever the budget
    virtual std::vector<PagedSection*> columns(Use) { return {}; }
    virtual void let_go() {}  // of what it has counted
  };

  explicit MemoryBudget(uint64_t bytes) : bytes_(bytes) {}

  ~MemoryBudget();
  void add(const std::shared_ptr<Tenant>& tenant);
  void count(uint64_t touched);  // bytes of records, at most; may let go of all
  void deal() noexcept;          // a tenant came or went

  uint64_t bytes() const { return bytes_; }
  uint64_t in_use() const { return in_use_.load(std::memory_order_relaxed); }  // as it was dealt last

 private:
  using Tenants = std::vector<std::shared_ptr<Tenant>>;
  // The segments that a process has opened. Those of its parent keep the shares that they had when it was forked.
  struct Opened {
    const int64_t process;
    std::mutex mutex{};
    std::vector<std::weak_ptr<Tenant>> tenants{};  // guarded by it
  };
  Opened& opened();
  static Tenants those_open(Opened& opened);  // REQUIRES: its mutex is held
  void deal_to(const Tenants& open);

  const uint64_t bytes_;
  std::atomic<uint64_t> in_use_ = 0;
  std::atomic<uint64_t> touched_ = 0;
  std::atomic<bool> changed_ = false;  // since it was dealt last
  std::atomic<Opened*> opened_ = nullptr;
};

}  // namespace lamina
