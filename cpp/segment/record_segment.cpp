#include "segment/record_segment.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <type_traits>

#include "base/error.h"
#include "segment/made_order.h"
#include "segment/memory_budget.h"
#include "segment/record_sections.h"

namespace lamina {
namespace {

// The first of `count` places where before(place) no longer holds.
template <class Before>
uint64_t partition_point(uint64_t count, Before before) {
  uint64_t low = 0;
  while (count > 0) {
    const uint64_t half = count / 2;
    if (before(low + half)) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return low;
}

// Looks for ascending keys among `count` ascending values on one way through: fn(i, place) is told where key i is, if
// it is there. Among few values that is a merge, which leaves the processor no branches to guess.
template <class Key, class ValueAt, class Fn>
void find_among_few(std::span<const Key> keys, uint64_t count, ValueAt&& value_at, Fn&& fn) {
  uint64_t place = 0;
  for (size_t i = 0; i < keys.size() && place < count;) {
    const auto order = value_at(place) <=> keys[i];
    if (order == 0) fn(i, place);
    place += order < 0 ? 1 : 0;
    i += order < 0 ? 0 : 1;
  }
}

// Among many, each key is looked for as far ahead of the one before as it would be if values lay evenly: among numbers
// without gaps two looks are enough.
template <class Key, class ValueAt, class Fn>
void find_among_many(std::span<const Key> keys, uint64_t count, ValueAt&& value_at, Fn&& fn) {
  double density = 0;
  if constexpr (std::is_integral_v<Key>) {
    const uint64_t span = static_cast<uint64_t>(value_at(count - 1)) - static_cast<uint64_t>(value_at(0));
    density = static_cast<double>(count - 1) / std::max(1.0, static_cast<double>(span));
  }
  uint64_t place = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto before = [&](uint64_t at) { return value_at(at) < keys[i]; };
    double ahead = static_cast<double>(count - place) / static_cast<double>(keys.size() - i);
    if constexpr (std::is_integral_v<Key>) {
      const Key from = i == 0 ? value_at(0) : keys[i - 1];
      ahead = keys[i] <= from ? 0 : density * static_cast<double>(static_cast<uint64_t>(keys[i]) - from);
    }
    const double left = static_cast<double>(count - 1 - place);
    uint64_t low = place;
    uint64_t high = place + static_cast<uint64_t>(std::min(ahead + 0.5, left));
    if (before(high)) {
      low = high + 1;
      high = low;
      for (uint64_t step = 1; high < count && before(high); step *= 2) {
        low = high + 1;
        high = low + step;
      }
    } else {
      for (uint64_t step = 1; high > low; step *= 2) {
        const uint64_t at = high - std::min(step, high - low);
        if (before(at)) {
          low = at + 1;
          break;
        }
        high = at;
      }
    }
    place = low + partition_point(std::min(high, count) - low, [&](uint64_t at) { return before(low + at); });
    if (place == count) return;
    if (value_at(place) == keys[i]) fn(i, place);
  }
}

template <class Key, class ValueAt, class Fn>
void find_ascending(std::span<const Key> keys, uint64_t count, ValueAt&& value_at, Fn&& fn) {
  constexpr uint64_t kFew = 8;  // values for each key
  if (count == 0 || keys.empty()) return;
  count <= kFew* keys.size() ? find_among_few(keys, count, value_at, fn) : find_among_many(keys, count, value_at, fn);
}

class OpenRecords final : public RecordSegment, public MemoryBudget::Tenant {
 public:
  OpenRecords(std::shared_ptr<const Mapping> mapping, const FileRef& ref, const SegmentId& id, const Hasher& hasher,
              Budgeted budgeted)
      : file_(std::move(mapping), 0, ref, hasher, std::move(budgeted)),
        rows_(rows_of(file_, id)),
        rids_(file_, kRecordRids, rows_),
        order_(file_, kIdOrder, rows_),
        hashes_(file_, kHashes, rows_),
        times_(file_, kTimes, rows_),
        versions_(file_, kVersions, rows_),
        scopes_(file_, kScopes, rows_),
        blocks_(file_, kBlocks, section(kBlocks).count),
        columns_(file_, file_.require(kColumns, 1, section(kColumns).length)) {
    if (id_kind() == IdKind::kInt) {
      ints_.emplace(file_, kIntIds, rows_);
    } else {
      id_offsets_.emplace(file_, kIdOffsets, uint64_t{rows_} + 1);
      id_bytes_.emplace(file_, file_.require(kIdBytes, 1, section(kIdBytes).length));
    }
    read_scope_names();
  }

  uint64_t bytes_in_place() const override {
    uint64_t bytes = 0;
    for (const Section& section : file_.sections()) bytes += section.padded();
    for (const Section* section : looked_at()) bytes -= section->padded();
    return bytes;
  }
  void let_go() override {
    for (const Section* section : looked_at()) file_.let_go(section->offset, section->padded());
  }

  const SegmentFile& file() const override { return file_; }
  uint32_t rows() const override { return rows_; }
  IdKind id_kind() const override { return static_cast<IdKind>(file_.header().id_kind); }

  std::span<const uint64_t> rids() const override {
    const std::span<const uint64_t> all = rids_.all();
    file_.require_whole();
    if (rids_ascend_.load(std::memory_order_acquire)) return all;
    const auto fall = std::ranges::adjacent_find(all, std::ranges::greater_equal{});
    if (fall != all.end()) {
      file_.corrupt(rids_.section(), static_cast<uint64_t>(fall - all.begin()) + 1,
                    "a rid above " + std::to_string(*fall), std::to_string(fall[1]));
    }
    rids_ascend_.store(true, std::memory_order_release);
    return all;
  }

  std::optional<uint32_t> find(Id id) const override {
    if (std::holds_alternative<int64_t>(id) != (id_kind() == IdKind::kInt)) return {};
    const std::vector<uint32_t>* made = made_order_.get();
    if (made == nullptr) {
      try {
        return find_by(id, [&](uint64_t place) { return row_at(place); });
      } catch (const CorruptionError&) {
        made = &made_order_.keep(make_order());
      }
    }
    return find_by(id, [&](uint64_t place) { return (*made)[place]; });
  }

  std::optional<uint32_t> find_rid(uint64_t rid) const override {
    const uint64_t row = partition_point(rows_, [&](uint64_t i) { return rids_[i] < rid; });
    const bool found = row < rows_ && rids_[row] == rid;
    file_.require_whole();
    return found ? std::optional(static_cast<uint32_t>(row)) : std::nullopt;
  }

  std::vector<std::optional<uint32_t>> find_all(const Ids& ascending) const override {
    if (ascending.kind != id_kind()) return std::vector<std::optional<uint32_t>>(ascending.size());
    return ascending.kind == IdKind::kInt ? find_ordered(ascending.ints) : find_ordered(ascending.strings);
  }

  std::vector<std::optional<uint32_t>> find_all_rids(std::span<const uint64_t> ascending) const override {
    std::vector<std::optional<uint32_t>> found(ascending.size());
    find_ascending(
        ascending, rows_, [&](uint64_t row) { return rids_[row]; },
        [&](size_t i, uint64_t row) { found[i] = static_cast<uint32_t>(row); });
    file_.require_whole();
    return found;
  }

  Id id_at(uint32_t row) const override {
    const Id id = read_id(row);
    file_.require_whole();
    return id;
  }

  void read_fields(std::span<const uint32_t> rows, RecordFields* fields) const override {
    constexpr uint64_t kPages = 4 * 4096;  // of a row, where it is far from the others
    count(rows.size() * kPages);
    for (size_t i = 0; i < rows.size(); ++i) fields[i].rid = rids_[rows[i]];
    for (size_t i = 0; i < rows.size(); ++i) fields[i].version = versions_[rows[i]];
    for (size_t i = 0; i < rows.size(); ++i) {
      const RecordTimes& times = times_[rows[i]];
      fields[i].created_us = times.created_us;
      fields[i].updated_us = times.updated_us;
    }
    for (size_t i = 0; i < rows.size(); ++i) fields[i].content_hash = hashes_[rows[i]];
    for (size_t i = 0; i < rows.size(); ++i) {
      const uint32_t scope = scopes_[rows[i]];
      if (scope >= scope_names_.size()) {
        file_.corrupt(scopes_.section(), rows[i], "a scope below " + std::to_string(scope_names_.size()),
                      std::to_string(scope));
      }
      fields[i].scope = scope_names_[scope];
    }
    file_.require_whole();
  }

  uint32_t block_count() const override { return static_cast<uint32_t>(blocks_.section().count); }

  uint32_t block_of(uint32_t row) const override {
    const std::span<const BlockEntry> blocks = checked_blocks();
    const auto after = std::ranges::upper_bound(blocks, uint64_t{row}, {}, &BlockEntry::first_row);
    file_.require_whole();
    return static_cast<uint32_t>(after - blocks.begin()) - 1;
  }

  Block block(uint32_t number) const override {
    const BlockEntry entry = checked_blocks()[number];
    file_.require_whole();
    columns_.check(entry.offset, entry.length);
    file_.require_whole();
    count(entry.length);
    return {number, static_cast<uint32_t>(entry.first_row), static_cast<uint32_t>(entry.rows),
            file_.bytes(columns_.section()).subspan(entry.offset, entry.length)};
  }

  void verify(const Hasher& hasher, const VerifyProgress& progress) const override {
    file_.verify(hasher, progress);
    rids();
    for (uint64_t i = 0; i < rows_; ++i) {
      fields_at(static_cast<uint32_t>(i));
      if (i > 0 && id_at(row_at(i - 1)) >= id_at(row_at(i))) {
        file_.corrupt(order_.section(), i, "rows by ascending id", std::to_string(row_at(i)));
      }
    }
    verify_ids();
    verify_gaps();
    file_.require_whole();
  }

 private:
  // What is not needed to find a record, and so not kept in place under a budget.
  std::array<const Section*, 5> looked_at() const {
    return {&hashes_.section(), &times_.section(), &versions_.section(), &scopes_.section(), &columns_.section()};
  }
  void count(uint64_t bytes) const {
    if (file_.budget() != nullptr) file_.budget()->count(bytes);
  }

  static uint32_t rows_of(const SegmentFile& file, const SegmentId& id) {
    const SegmentHeader& header = file.header();
    if (header.kind != SegmentKind::kRecords) file.corrupt(24, "a record segment", "another kind");
    if (header.id_kind == 0) file.corrupt(26, "id kind 1 or 2", "0");
    if (header.id != id) file.corrupt(32, "segment id " + hex(id), hex(header.id));
    return static_cast<uint32_t>(header.rows);
  }

  const Section& section(SectionName name) const {
    const Section* found = file_.find(name);
    if (found == nullptr) file_.corrupt(0, "a section " + text_of(name), "none");
    return *found;
  }

  void read_scope_names() {
    const Section& names = section(kScopeNames);
    file_.require(kScopeNames, 0, names.count);
    file_.check_all(names);
    ByteReader in = file_.reader(names);
    std::set<std::string_view> seen;
    for (uint64_t i = 0; i < names.count; ++i) {
      scope_names_.push_back(as_text(in.bytes(in.u32())));
      if (!seen.insert(scope_names_.back()).second) in.corrupt("each scope once", "one twice");
    }
    in.expect_end();
  }

  Id read_id(uint32_t row) const { return ints_ ? Id(read<int64_t>(row)) : Id(read<std::string_view>(row)); }

  // REQUIRES: the ids are of this type.
  template <class T>
  T read(uint32_t row) const {
    if constexpr (std::is_same_v<T, int64_t>) {
      return (*ints_)[row];
    } else {
      return read_text(row);
    }
  }

  std::string_view read_text(uint32_t row) const {
    const uint64_t begin = (*id_offsets_)[row];
    const uint64_t end = (*id_offsets_)[uint64_t{row} + 1];
    if (begin > end || end > id_bytes_->section().length) {
      file_.corrupt(id_offsets_->section(), row, "an id within IDSB",
                    std::to_string(begin) + " to " + std::to_string(end));
    }
    id_bytes_->check(begin, end - begin);
    return as_text(file_.bytes(id_bytes_->section()).subspan(begin, end - begin));
  }

  template <class RowAt>
  std::optional<uint32_t> find_by(Id id, RowAt&& row_of) const {
    const uint64_t place = partition_point(rows_, [&](uint64_t i) { return read_id(row_of(i)) < id; });
    const std::optional<uint32_t> row = place == rows_ ? std::nullopt : std::optional(row_of(place));
    const bool found = row && read_id(*row) == id;
    file_.require_whole();
    return found ? row : std::nullopt;
  }

  template <class T>
  std::vector<std::optional<uint32_t>> find_ordered(std::span<const T> ids) const {
    const std::vector<uint32_t>* made = made_order_.get();
    if (made == nullptr) {
      try {
        return find_ordered_by(ids, [&](uint64_t place) { return row_at(place); });
      } catch (const CorruptionError&) {
        made = &made_order_.keep(make_order());
      }
    }
    return find_ordered_by(ids, [&](uint64_t place) { return (*made)[place]; });
  }

  template <class T, class RowAt>
  std::vector<std::optional<uint32_t>> find_ordered_by(std::span<const T> ids, RowAt&& row_of) const {
    std::vector<std::optional<uint32_t>> found(ids.size());
    find_ascending(
        ids, rows_, [&](uint64_t place) { return read<T>(row_of(place)); },
        [&](size_t i, uint64_t place) { found[i] = row_of(place); });
    file_.require_whole();
    return found;
  }

  // In place of IORD where that is damaged. CorruptionError if the ids are.
  std::vector<uint32_t> make_order() const {
    std::vector<Id> ids;
    for (uint32_t row = 0; row < rows_; ++row) ids.push_back(read_id(row));
    file_.require_whole();
    std::vector<uint32_t> order(rows_);
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, {}, [&](uint32_t row) { return ids[row]; });
    return order;
  }

  uint32_t row_at(uint64_t place) const {
    const uint32_t row = order_[place];
    if (row >= rows_)
      file_.corrupt(order_.section(), place, "a row below " + std::to_string(rows_), std::to_string(row));
    return row;
  }

  // All entries, which cover the rows and lie in COLS one behind the other.
  std::span<const BlockEntry> checked_blocks() const {
    const std::span<const BlockEntry> blocks = blocks_.all();
    if (blocks_good_.load(std::memory_order_acquire)) return blocks;
    uint64_t row = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const BlockEntry& b = blocks[i];
      const uint64_t room = columns_.section().length;
      const bool follows = b.first_row == row && b.rows > 0 && b.rows <= rows_ - row;
      const bool fits = b.offset == round_up(end, kColumnAlignment) && b.offset <= room && b.length <= room - b.offset;
      if (!follows || !fits) file_.corrupt(blocks_.section(), i, "the next block", "one elsewhere");
      row += b.rows;
      end = b.offset + b.length;
    }
    if (row != rows_ || end != columns_.section().length) {
      file_.corrupt(blocks_.section(), blocks.size(), "blocks of " + std::to_string(rows_) + " rows",
                    std::to_string(row));
    }
    blocks_good_.store(true, std::memory_order_release);
    return blocks;
  }

  void verify_ids() const {
    if (ints_) return;
    const std::span<const uint64_t> offsets = id_offsets_->all();
    if (offsets.front() != 0 || offsets.back() != id_bytes_->section().length) {
      file_.corrupt(id_offsets_->section(), 0, "ids that fill IDSB", std::to_string(offsets.back()));
    }
  }

  void verify_gaps() const {
    uint64_t end = 0;
    for (const BlockEntry& b : checked_blocks()) {
      const Section& columns = columns_.section();
      expect_zero(file_.bytes(columns).subspan(end, b.offset - end), file_.path(), columns.offset + end);
      end = b.offset + b.length;
    }
  }

  const SegmentFile file_;
  const uint32_t rows_;
  const CheckedColumn<uint64_t> rids_;
  const CheckedColumn<uint32_t> order_;
  const CheckedColumn<ContentHash> hashes_;
  const CheckedColumn<RecordTimes> times_;
  const CheckedColumn<uint64_t> versions_;
  const CheckedColumn<uint32_t> scopes_;
  const CheckedColumn<BlockEntry> blocks_;
  const CheckedSection columns_;
  MadeOrder made_order_;
  std::optional<CheckedColumn<int64_t>> ints_;
  std::optional<CheckedColumn<uint64_t>> id_offsets_;
  std::optional<CheckedSection> id_bytes_;
  std::vector<std::string_view> scope_names_;
  mutable std::atomic<bool> rids_ascend_ = false;
  mutable std::atomic<bool> blocks_good_ = false;
};

}  // namespace

std::shared_ptr<const RecordSegment> open_record_segment(std::shared_ptr<const Mapping> mapping, const FileRef& ref,
                                                         const SegmentId& id, const Hasher& hasher, Budgeted budgeted) {
  expect_whole_file(*mapping, ref);
  const std::shared_ptr<MemoryBudget> budget = budgeted.budget;
  auto segment = std::make_shared<OpenRecords>(std::move(mapping), ref, id, hasher, std::move(budgeted));
  if (budget) budget->add(segment);
  return segment;
}

}  // namespace lamina
