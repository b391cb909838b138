#include "index/vector_set.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>
#include <stdexcept>

#include "base/atomic_shared.h"
#include "index/freeze.h"
#include "index/head.h"

namespace lamina {
namespace {

// Rows by where they are: one list a sealed part, and the head's.
struct Dead {
  explicit Dead(const View& view) : parts(view.parts.size()) {}

  void mark(View::RowRef where) { (where.part == parts.size() ? head : parts[where.part]).push_back(where.row); }

  std::vector<std::vector<uint32_t>> parts;
  std::vector<uint32_t> head;
};

// Counts again what lives, after `view`'s rows or bitmaps have changed.
void count_live(View& view) {
  view.live = Live(view.head_deleted, view.head_rows).count();
  for (const View::SealedPart& sealed : view.parts) view.live += Live(sealed.deleted, sealed.part->rows).count();
}

void bury(View& view, const Dead& dead) {
  for (size_t i = 0; i < view.parts.size(); ++i) {
    if (!dead.parts[i].empty()) view.parts[i].deleted = view.parts[i].deleted.with(dead.parts[i]);
  }
  view.head_deleted = view.head_deleted.resized(view.head_rows).with(dead.head);
  count_live(view);
}

// A head with copies of the live rows of `view`'s head from `first` on; null when there are none.
std::shared_ptr<const Head> copy_head(const View& view, uint32_t first, int threads) {
  if (!view.head) return nullptr;
  const HeadRows& old = view.head->rows();
  const Live live(view.head_deleted, view.head_rows);
  auto rows = std::make_shared<HeadRows>(view.spec);
  std::vector<uint32_t> chosen;
  for (uint32_t row = first; row < view.head_rows; ++row) {
    if (live(row)) chosen.push_back(row);
  }
  if (chosen.empty()) return nullptr;
  rows->append_copies(old, chosen, threads);
  return link_head(std::make_shared<const Head>(view.spec, std::move(rows)), threads);
}

void place_head(View& view, std::shared_ptr<const Head> head) {
  view.head = std::move(head);
  view.head_rows = view.head ? view.head->rows().size() : 0;
  view.head_deleted = Bitmap(view.head_rows);
}

// Of the rows from `first` on that have the same rid, all but the last.
void mark_repeats(const HeadRows& rows, uint32_t first, std::vector<uint32_t>& dead) {
  static const Bitmap kNone;
  const Live written(kNone, rows.size());
  for (uint32_t row = first; row < rows.size(); ++row) {
    if (rows.find(rows.rid(row), written) != row) dead.push_back(row);
  }
}

// The row of a part in which each rid occurs once at most; kNoRow if none has this one.
uint32_t find_in(const Part& part, uint64_t rid) {
  const uint32_t* const end = part.rid_order + part.rows;
  const auto* at = std::lower_bound(part.rid_order, end, rid,
                                    [&](uint32_t row, uint64_t wanted) { return part.rids[row] < wanted; });
  return at != end && part.rids[*at] == rid ? *at : kNoRow;
}

// Where the parts of `before` are now, or copies of them, in its order.
std::vector<size_t> places(const View& now, const View& before) {
  std::vector<size_t> places;
  for (const View::SealedPart& wanted : before.parts) {
    const auto is_it = [&](const View::SealedPart& sealed) {
      return sealed.part == wanted.part || sealed.part->original == wanted.part;
    };
    const auto found = std::find_if(now.parts.begin(), now.parts.end(), is_it);
    if (found == now.parts.end()) throw std::logic_error("parts have been replaced that were to be merged");
    places.push_back(static_cast<size_t>(found - now.parts.begin()));
  }
  return places;
}

}  // namespace

struct VectorSet::State {
  explicit State(const VectorSpec& set_spec) : spec(set_spec) { validate(spec); }

  void publish(View next) { view.store(std::make_shared<const View>(std::move(next))); }

  const VectorSpec spec;
  AtomicShared<const View> view;
};

VectorSet::VectorSet(const VectorSpec& spec) : VectorSet(spec, {}) {}

VectorSet::VectorSet(const VectorSpec& spec, std::vector<View::SealedPart> parts)
    : state_(std::make_unique<State>(spec)) {
  View view;
  view.spec = spec;
  view.parts = std::move(parts);
  for (View::SealedPart& sealed : view.parts) sealed.deleted = sealed.deleted.resized(sealed.part->rows);
  count_live(view);
  state_->publish(std::move(view));
}

VectorSet::~VectorSet() = default;

const VectorSpec& VectorSet::spec() const { return state_->spec; }

std::shared_ptr<const View> VectorSet::view() const { return state_->view.load(); }

void VectorSet::add(const NewRows& rows, int threads) {
  if (rows.count == 0) return;
  View next = *view();
  if (next.head && !next.head->usable()) place_head(next, copy_head(next, 0, threads));
  if (!next.head) next.head = std::make_shared<const Head>(spec(), std::make_shared<HeadRows>(spec()));
  Dead dead(next);
  for (size_t i = 0; i < rows.count; ++i) {
    View::RowRef where;
    if (next.find(rows.rids[i], &where)) dead.mark(where);
  }
  HeadRows& head = next.head->rows();
  const uint32_t first = head.size();
  for (uint32_t row = next.head_rows; row < first; ++row) dead.head.push_back(row);  // left by a write that failed
  head.append(rows, threads);
  mark_repeats(head, first, dead.head);
  next.head = anchor_head(link_head(next.head, threads), next, threads);
  next.head_rows = head.size();
  bury(next, dead);
  state_->publish(std::move(next));
}

size_t VectorSet::erase(std::span<const uint64_t> rids) {
  View next = *view();
  Dead dead(next);
  for (const uint64_t rid : rids) {
    View::RowRef where;
    if (next.find(rid, &where)) dead.mark(where);
  }
  const uint64_t before = next.live;
  bury(next, dead);
  const uint64_t erased = before - next.live;
  if (erased != 0) state_->publish(std::move(next));
  return erased;
}

std::shared_ptr<const Part> VectorSet::freeze_head(int threads) const {
  const std::shared_ptr<const View> now = view();
  if (!now->head || now->head_rows == 0) return nullptr;
  std::vector<uint32_t> order(now->head_rows);
  std::iota(order.begin(), order.end(), 0U);
  return freeze(spec(), now->head->rows(), now->head->graph(), order, threads).part;
}

void VectorSet::replace_head(std::shared_ptr<const Part> sealed) {
  View next = *view();
  if (!next.head || sealed->rows > next.head_rows) throw std::logic_error("the part is not this head's");
  const uint32_t sealed_rows = sealed->rows;
  const std::shared_ptr<const Head> rest = copy_head(next, sealed_rows, 0);
  next.parts.push_back({std::move(sealed), next.head_deleted.resized(sealed_rows)});
  place_head(next, rest);
  count_live(next);
  state_->publish(std::move(next));
}

void VectorSet::replace_part(const Part& held, std::shared_ptr<const Part> same) {
  View next = *view();
  const auto place = std::find_if(next.parts.begin(), next.parts.end(),
                                  [&](const View::SealedPart& sealed) { return sealed.part.get() == &held; });
  if (place == next.parts.end() || same->rows != held.rows) throw std::logic_error("no part of this set");
  place->part = std::move(same);
  state_->publish(std::move(next));
}

bool VectorSet::place_copies(std::span<const std::shared_ptr<const Part>> copies) {
  View next = *view();
  bool placed = false;
  for (const std::shared_ptr<const Part>& copy : copies) {
    for (View::SealedPart& sealed : next.parts) {
      if (sealed.part != copy->original) continue;
      sealed.part = copy;
      placed = true;
    }
  }
  if (placed) state_->publish(std::move(next));
  return placed;
}

void VectorSet::replace_parts(const View& before, std::shared_ptr<const Part> merged) {
  View next = *view();
  std::vector<size_t> gone = places(next, before);
  const Bitmap died = merged ? died_since(before, *merged) : Bitmap();
  if (before.head) place_head(next, copy_head(next, before.head_rows, 0));
  std::sort(gone.begin(), gone.end());
  const size_t first = gone.empty() ? 0 : gone.front();
  for (size_t i = gone.size(); i > 0; --i) next.parts.erase(next.parts.begin() + static_cast<ptrdiff_t>(gone[i - 1]));
  if (merged && merged->rows != 0) {
    next.parts.insert(next.parts.begin() + static_cast<ptrdiff_t>(first), {std::move(merged), died});
  }
  count_live(next);
  state_->publish(std::move(next));
}

Bitmap VectorSet::died_since(const View& before, const Part& merged) const {
  const std::shared_ptr<const View> now = view();
  const std::vector<size_t> at = places(*now, before);
  std::vector<uint32_t> died;
  const auto drop = [&](uint64_t rid) {
    const uint32_t row = find_in(merged, rid);
    if (row != kNoRow) died.push_back(row);
  };
  for (size_t i = 0; i < before.parts.size(); ++i) {
    const Part& part = *before.parts[i].part;
    now->parts[at[i]].deleted.without(before.parts[i].deleted).for_each([&](uint32_t row) { drop(part.rids[row]); });
  }
  if (before.head) {
    const Bitmap later = now->head_deleted.resized(before.head_rows);
    later.without(before.head_deleted).for_each([&](uint32_t row) { drop(before.head->rows().rid(row)); });
  }
  before.require_whole();
  return Bitmap(merged.rows).with(died);
}

}  // namespace lamina
