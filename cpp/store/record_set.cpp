#include "store/record_set.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "base/ascending.h"
#include "base/atomic_shared.h"
#include "store/record_codec.h"
#include "store/record_head.h"

namespace lamina {

uint64_t reserve_block_keys(uint64_t count) {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(count, std::memory_order_relaxed);
}

namespace {

uint64_t live_rows(const RecordView::SealedPart& part) { return (*part.segment)->rows() - part.deleted.count(); }

// Calls fn(part, places) for each part, and the head, that some of the refs lie in: `places` are theirs among all.
template <class Fn>
void for_each_part(const RecordView& view, std::span<const RecordRef> refs, Fn&& fn) {
  std::vector<size_t> ends(view.parts.size() + 1);
  for (const RecordRef ref : refs) {
    if (ref.found()) ++ends[ref.part];
  }
  std::exclusive_scan(ends.begin(), ends.end(), ends.begin(), size_t{0});
  std::vector<size_t> order(refs.size());
  for (size_t i = 0; i < refs.size(); ++i) {
    if (refs[i].found()) order[ends[refs[i].part]++] = i;
  }
  size_t begin = 0;
  for (size_t part = 0; part < ends.size(); begin = ends[part++]) {
    if (begin < ends[part]) fn(part, std::span(order).subspan(begin, ends[part] - begin));
  }
}

// Finds many, in the order of the keys: each in the head, and those that are left on one way through each part. One
// part at most has the live row, so those with most of them come first, few being left then, and those with none not at
// all.
template <class Key, class InHead, class InPart>
std::vector<RecordRef> find_each(const RecordView& view, std::span<const Key> keys, InHead&& in_head,
                                 InPart&& in_part) {
  std::vector<RecordRef> found(keys.size());
  Ascending<Key> left = ascending(keys);
  const auto look = [&](auto&& where_is) {  // where_is(i): the i-th of those that are left
    size_t lost = 0;
    for (size_t i = 0; i < left.keys.size(); ++i) {
      const RecordRef where = where_is(i);
      found[left.places[i]] = where;
      if (where.found()) continue;
      left.keys[lost] = left.keys[i];
      left.places[lost++] = left.places[i];
    }
    left.keys.resize(lost);
    left.places.resize(lost);
  };
  if (view.head_rows > view.head_deleted.count()) {
    look([&](size_t i) {
      const uint32_t row = in_head(left.keys[i]);
      return row == RowIndex::kNone ? RecordRef{} : RecordRef{static_cast<uint32_t>(view.parts.size()), row};
    });
  }
  std::vector<uint32_t> parts(view.parts.size());
  std::iota(parts.begin(), parts.end(), 0U);
  std::ranges::sort(parts, std::ranges::greater{}, [&](uint32_t part) { return live_rows(view.parts[part]); });
  for (const uint32_t part : parts) {
    if (left.keys.empty() || live_rows(view.parts[part]) == 0) break;
    const auto rows = in_part(**view.parts[part].segment, left.keys);
    const Bitmap& deleted = view.parts[part].deleted;
    look([&](size_t i) { return rows[i] && !deleted.test(*rows[i]) ? RecordRef{part, *rows[i]} : RecordRef{}; });
  }
  return found;
}

}  // namespace

SealedRecords::SealedRecords(std::shared_ptr<const RecordSegment> segment)
    : segment_(std::move(segment)),
      first_key_(reserve_block_keys(segment_->block_count())),
      checked_(new std::atomic<bool>[segment_->block_count()]()) {}

void refuse_block(const RecordSegment& segment, Bytes block, const std::string& found) {
  const Section& columns = *segment.file().find(section_name("COLS"));
  const auto offset = static_cast<uint64_t>(block.data() - segment.file().bytes(columns).data());
  segment.file().corrupt(columns, offset, "a whole block of columns", found);
}

BlockRef SealedRecords::block(uint32_t number) const {
  const RecordSegment::Block block = segment_->block(number);
  return {first_key_ + number, block.bytes, block.rows, 0, segment_.get(), nullptr};
}

BlockRef SealedRecords::unchecked_at(uint32_t row) const {
  const RecordSegment::Block block = segment_->block(segment_->block_of(row));
  return {first_key_ + block.number, block.bytes, block.rows, row - block.first_row, segment_.get(), nullptr};
}

BlockRef SealedRecords::block_at(uint32_t row, const RecordCodec& codec) const {
  const BlockRef block = unchecked_at(row);
  std::atomic<bool>& checked = checked_[block.key - first_key_];
  if (!checked.load(std::memory_order_acquire)) {
    try {
      codec.check(block.bytes, block.block_rows);
    } catch (const std::invalid_argument& wrong) {
      refuse_block(*segment_, block.bytes, wrong.what());
    }
    checked.store(true, std::memory_order_release);
  }
  return block;
}

RecordRef RecordView::find(Id id) const {
  const auto in_head = static_cast<uint32_t>(parts.size());
  if (head) {
    const uint32_t row = head->find(id, head_rows, head_deleted);
    if (row != RowIndex::kNone) return {in_head, row};
  }
  for (uint32_t part = in_head; part-- > 0;) {
    const auto row = (*parts[part].segment)->find(id);
    if (row && !parts[part].deleted.test(*row)) return {part, *row};
  }
  return {};
}

RecordRef RecordView::find_rid(uint64_t rid) const {
  const auto in_head = static_cast<uint32_t>(parts.size());
  if (head) {
    const uint32_t row = head->find_rid(rid, head_rows, head_deleted);
    if (row != RowIndex::kNone) return {in_head, row};
  }
  for (uint32_t part = in_head; part-- > 0;) {
    const auto row = (*parts[part].segment)->find_rid(rid);
    if (row && !parts[part].deleted.test(*row)) return {part, *row};
  }
  return {};
}

std::vector<RecordRef> RecordView::find_all(const Ids& ids) const {
  const auto in_head = [&](auto id) { return head->find(id, head_rows, head_deleted); };
  if (ids.kind == IdKind::kInt) {
    return find_each(*this, ids.ints, in_head, [](const RecordSegment& segment, std::span<const int64_t> ascending) {
      return segment.find_all({IdKind::kInt, ascending, {}});
    });
  }
  return find_each(*this, ids.strings, in_head,
                   [](const RecordSegment& segment, std::span<const std::string_view> ascending) {
                     return segment.find_all({IdKind::kString, {}, ascending});
                   });
}

std::vector<RecordRef> RecordView::find_all_rids(std::span<const uint64_t> rids) const {
  return find_each(
      *this, rids, [&](uint64_t rid) { return head->find_rid(rid, head_rows, head_deleted); },
      [](const RecordSegment& segment, std::span<const uint64_t> ascending) {
        return segment.find_all_rids(ascending);
      });
}

Id RecordView::id_at(RecordRef where) const {
  return where.part == parts.size() ? head->id_at(where.row) : (*parts[where.part].segment)->id_at(where.row);
}

RecordFields RecordView::fields_at(RecordRef where) const {
  return where.part == parts.size() ? head->fields_at(where.row) : (*parts[where.part].segment)->fields_at(where.row);
}

std::vector<RecordFields> RecordView::fields_of(std::span<const RecordRef> all) const {
  std::vector<RecordFields> fields(all.size());
  std::vector<RecordFields> found;
  std::vector<uint32_t> rows;
  for_each_part(*this, all, [&](size_t part, std::span<const size_t> places) {
    if (part == parts.size()) {
      for (const size_t i : places) fields[i] = head->fields_at(all[i].row);
      return;
    }
    rows.clear();
    for (const size_t i : places) rows.push_back(all[i].row);
    found.resize(rows.size());
    (*parts[part].segment)->read_fields(rows, found.data());
    for (size_t at = 0; at < places.size(); ++at) fields[places[at]] = found[at];
  });
  return fields;
}

BlockRef RecordView::block_at(RecordRef where, const RecordCodec& codec) const {
  if (where.part != parts.size()) parts[where.part].segment->block_at(where.row, codec);
  return unchecked_at(where);
}

BlockRef RecordView::unchecked_at(RecordRef where) const {
  const bool in_head = where.part == parts.size();
  BlockRef block = in_head ? head->block_at(where.row) : parts[where.part].segment->unchecked_at(where.row);
  if (in_head) {
    block.owner = head;
  } else {
    block.owner = parts[where.part].segment;
  }
  return block;
}

std::vector<RecordRef> RecordView::scan(std::optional<RecordRef> after, size_t limit) const {
  std::vector<RecordRef> found;
  RecordRef next = after ? RecordRef{after->part, after->row + 1} : RecordRef{0, 0};
  for (; next.part <= parts.size() && found.size() < limit; next = {next.part + 1, 0}) {
    const bool in_head = next.part == parts.size();
    const uint32_t rows = in_head ? head_rows : (*parts[next.part].segment)->rows();
    const Bitmap& deleted = in_head ? head_deleted : parts[next.part].deleted;
    for (; next.row < rows && found.size() < limit; ++next.row) {
      if (!deleted.test(next.row)) found.push_back(next);
    }
  }
  return found;
}

struct RecordSet::State {
  std::shared_ptr<RecordHead> head;  // the writer's own way to view->head
  AtomicShared<const RecordView> view;

  void publish(RecordView next) { view.store(std::make_shared<const RecordView>(std::move(next))); }
};

namespace {

uint64_t count_live(const RecordView& view) {
  uint64_t live = view.head_rows - view.head_deleted.count();
  for (const RecordView::SealedPart& part : view.parts) live += live_rows(part);
  return live;
}

// Marks live rows dead in `view`; returns how many there were.
size_t mark_dead(RecordView& view, std::span<const RecordRef> rows) {
  size_t count = 0;
  std::vector<uint32_t> dead;
  for_each_part(view, rows, [&](size_t part, std::span<const size_t> places) {
    dead.clear();
    for (const size_t i : places) dead.push_back(rows[i].row);
    Bitmap& deleted = part == view.parts.size() ? view.head_deleted : view.parts[part].deleted;
    deleted = deleted.with(dead);
    count += dead.size();
  });
  return count;
}

// Appends the rids of the rows of a part that were alive in `before` and are dead now.
void append_died_since(const Bitmap& before, const RecordView::SealedPart& now, std::vector<uint64_t>& rids) {
  const std::span<const uint64_t> all = (*now.segment)->rids();
  now.deleted.without(before).for_each([&](uint32_t row) { rids.push_back(all[row]); });
}

Bitmap rows_of(const SealedRecords& segment, std::span<const uint64_t> rids) {
  std::vector<uint32_t> rows;
  for (uint64_t rid : rids) {
    if (const auto row = segment->find_rid(rid)) rows.push_back(*row);
  }
  return Bitmap(segment->rows()).with(rows);
}

// Drops the first rows of the head, which is replaced by what is left of it.
void cut_head(RecordView& view, uint32_t rows, std::shared_ptr<const RecordHead> rest) {
  std::vector<uint32_t> dead;
  view.head_deleted.for_each([&](uint32_t row) {
    if (row >= rows) dead.push_back(row - rows);
  });
  view.head = std::move(rest);
  view.head_rows -= rows;
  view.head_deleted = Bitmap(view.head_rows).with(dead);
}

// Where the parts of `before` are now, in its order.
std::vector<size_t> places(const RecordView& now, const RecordView& before) {
  std::vector<size_t> places;
  for (const RecordView::SealedPart& wanted : before.parts) {
    const auto is_it = [&](const RecordView::SealedPart& part) { return part.segment == wanted.segment; };
    const auto found = std::find_if(now.parts.begin(), now.parts.end(), is_it);
    if (found == now.parts.end()) throw std::logic_error("segments have been replaced that were to be merged");
    places.push_back(static_cast<size_t>(found - now.parts.begin()));
  }
  return places;
}

}  // namespace

RecordSet::RecordSet(IdKind id_kind, std::vector<RecordView::SealedPart> parts) : state_(std::make_unique<State>()) {
  RecordView view;
  view.id_kind = id_kind;
  view.parts = std::move(parts);
  view.live = count_live(view);
  state_->publish(std::move(view));
}

RecordSet::~RecordSet() = default;

std::shared_ptr<const RecordView> RecordSet::view() const { return state_->view.load(); }

void RecordSet::put(NewRecords records) {
  const auto current = view();
  RecordView next = *current;
  if (records.found.view == current) {
    mark_dead(next, records.found.refs);
  } else {
    std::vector<uint64_t> rids;
    rids.reserve(records.fields.size());
    for (const RecordFields& fields : records.fields) rids.push_back(fields.rid);
    mark_dead(next, next.find_all_rids(rids));
  }
  if (!state_->head) {
    state_->head = std::make_shared<RecordHead>(next.id_kind);
    next.head = state_->head;
  }
  state_->head->put(std::move(records));
  next.head_rows = state_->head->rows();
  next.head_deleted = next.head_deleted.resized(next.head_rows);
  next.live = count_live(next);
  state_->publish(std::move(next));
}

size_t RecordSet::erase(std::span<const uint64_t> rids) {
  RecordView next = *view();
  const size_t erased = mark_dead(next, next.find_all_rids(rids));
  if (erased == 0) return 0;
  next.live = count_live(next);
  state_->publish(std::move(next));
  return erased;
}

void RecordSet::replace_head(const RecordView& before, std::shared_ptr<const SealedRecords> sealed) {
  if (!before.head) return;
  RecordView next = *view();
  if (next.head != before.head) throw std::logic_error("the head that was sealed has been replaced");
  if (sealed) {
    std::vector<uint64_t> dead;
    next.head_deleted.resized(before.head_rows).without(before.head_deleted).for_each([&](uint32_t row) {
      dead.push_back(next.head->fields_at(row).rid);
    });
    const Bitmap deleted = rows_of(*sealed, dead);
    next.parts.push_back({std::move(sealed), deleted});
  }
  std::shared_ptr<RecordHead> rest = state_->head->tail(before.head_rows);
  cut_head(next, before.head_rows, rest);
  next.live = count_live(next);
  state_->head = std::move(rest);
  state_->publish(std::move(next));
}

void RecordSet::replace_parts(const RecordView& before, std::shared_ptr<const SealedRecords> merged) {
  RecordView next = *view();
  std::vector<size_t> gone = places(next, before);
  const Bitmap died = merged ? died_since(before, *merged) : Bitmap();
  std::sort(gone.begin(), gone.end());
  const size_t first = gone.empty() ? 0 : gone.front();
  for (size_t i = gone.size(); i > 0; --i) next.parts.erase(next.parts.begin() + static_cast<ptrdiff_t>(gone[i - 1]));
  if (merged) next.parts.insert(next.parts.begin() + static_cast<ptrdiff_t>(first), {std::move(merged), died});
  next.live = count_live(next);
  state_->publish(std::move(next));
}

Bitmap RecordSet::died_since(const RecordView& before, const SealedRecords& merged) const {
  const std::shared_ptr<const RecordView> now = view();
  const std::vector<size_t> at = places(*now, before);
  std::vector<uint64_t> rids;
  for (size_t i = 0; i < before.parts.size(); ++i) {
    append_died_since(before.parts[i].deleted, now->parts[at[i]], rids);
  }
  return rows_of(merged, rids);
}

}  // namespace lamina
