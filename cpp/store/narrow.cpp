#include "store/narrow.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "index/head.h"
#include "store/record_head.h"

namespace lamina {
namespace {

Bitmap unite(const Bitmap& deleted, const Bitmap& failing) {
  if (failing.size() != deleted.size()) {
    throw std::invalid_argument("a bitmap of " + std::to_string(failing.size()) + " rows for " +
                                std::to_string(deleted.size()));
  }
  return failing.count() == 0 ? deleted : deleted.united(failing);
}

RecordView narrow_records(const RecordView& view, std::span<const Bitmap> failing) {
  if (failing.size() != view.parts.size() + 1) throw std::invalid_argument("not a bitmap for each part and the head");
  RecordView next = view;
  for (size_t i = 0; i < view.parts.size(); ++i) {
    Bitmap& deleted = next.parts[i].deleted;
    const uint64_t before = deleted.count();
    deleted = unite(deleted, failing[i]);
    next.live -= deleted.count() - before;
  }
  next.head_deleted = unite(view.head_deleted, failing.back());
  next.live -= next.head_deleted.count() - view.head_deleted.count();
  return next;
}

// Of the records that `before` has: those that `after` has too (`stay`), or those that it has not. A bit for each rid,
// or a sorted list where they lie far apart.
class RidSet {
 public:
  RidSet(const RecordView& before, const RecordView& after, bool stay) {
    const uint64_t count = stay ? after.live : before.live - after.live;
    if (count == 0) return;
    const auto [least, greatest] = range_of(before);
    if ((greatest - least) / kBitsEach < count + kAnyway / kBitsEach) {
      least_ = least;
      bits_.resize((greatest - least) / 64 + 1);
      for_each(before, after, stay,
               [&, from = least](uint64_t rid) { bits_[(rid - from) / 64] |= uint64_t{1} << (rid - from) % 64; });
    } else {
      sorted_.reserve(count);
      for_each(before, after, stay, [&](uint64_t rid) { sorted_.push_back(rid); });
      std::ranges::sort(sorted_);
    }
  }

  // Which of so many rows, at most 64, have a rid that is in the set: bit i for row i.
  template <class RidOf>
  uint64_t among(uint32_t rows, RidOf&& rid_of) const {
    uint64_t found = 0;
    const uint64_t least = least_;
    const std::span<const uint64_t> bits = bits_;
    for (uint32_t i = 0; i < rows; ++i) {
      const uint64_t place = rid_of(i) - least;
      const uint64_t in = place / 64 < bits.size() ? bits[place / 64] >> place % 64 & 1 : is_sorted_in(rid_of(i));
      found |= in << i;
    }
    return found;
  }

 private:
  static constexpr uint64_t kBitsEach = 1024;
  static constexpr uint64_t kAnyway = uint64_t{1} << 23;

  uint64_t is_sorted_in(uint64_t rid) const {
    return !sorted_.empty() && std::ranges::binary_search(sorted_, rid) ? 1 : 0;
  }

  static std::pair<uint64_t, uint64_t> range_of(const RecordView& view) {
    uint64_t least = ~uint64_t{0};
    uint64_t greatest = 0;
    const auto take = [&](uint64_t rid) {
      least = std::min(least, rid);
      greatest = std::max(greatest, rid);
    };
    for (const RecordView::SealedPart& part : view.parts) {
      const std::span<const uint64_t> rids = (*part.segment)->rids();
      if (rids.empty()) continue;
      take(rids.front());
      take(rids.back());
    }
    for (uint32_t row = 0; row < view.head_rows; ++row) take(view.head->fields_at(row).rid);
    return {least, greatest};
  }

  template <class Visit>
  static void for_each(const RecordView& before, const RecordView& after, bool stay, Visit&& visit) {
    const auto chosen = [&](const Bitmap& was, const Bitmap& is) { return stay ? is.inverted() : is.without(was); };
    for (size_t i = 0; i < before.parts.size(); ++i) {
      const std::span<const uint64_t> rids = (*before.parts[i].segment)->rids();
      chosen(before.parts[i].deleted, after.parts[i].deleted).for_each([&](uint32_t row) { visit(rids[row]); });
    }
    chosen(before.head_deleted, after.head_deleted).for_each([&](uint32_t row) {
      visit(before.head->fields_at(row).rid);
    });
  }

  uint64_t least_ = 0;
  std::vector<uint64_t> bits_;
  std::vector<uint64_t> sorted_;
};

// Which vectors go: those of the records that went, found by these or by the ones that stay, whichever are fewer.
class Failing {
 public:
  Failing(const RecordView& before, const RecordView& after)
      : by_those_that_stay_(after.live < before.live - after.live), rids_(before, after, by_those_that_stay_) {}

  Bitmap of(const Part& part) const {
    part.checked_order();  // and so the rids
    return of_rows(part.rows, [rids = part.rids](uint32_t row) { return rids[row]; });
  }
  Bitmap of_head(const View& view) const {
    return of_rows(view.head_rows, [&](uint32_t row) { return view.head->rows().rid(row); });
  }

 private:
  template <class RidOf>
  Bitmap of_rows(uint32_t rows, RidOf&& rid_of) const {
    std::vector<uint64_t> words((rows + 63) / 64);
    for (uint32_t first = 0; first < rows; first += 64) {
      const uint32_t count = std::min(rows - first, 64U);
      const uint64_t all = ~uint64_t{0} >> (64 - count);
      const uint64_t found = rids_.among(count, [&](uint32_t i) { return rid_of(first + i); });
      words[first / 64] = by_those_that_stay_ ? found ^ all : found;
    }
    return Bitmap::of(rows, words);
  }

  const bool by_those_that_stay_;
  const RidSet rids_;
};

std::unique_ptr<const View> narrow_vectors(const View& view, const Failing& failing) {
  auto next = std::make_unique<View>(view);
  next->live = 0;
  for (View::SealedPart& sealed : next->parts) {
    sealed.deleted = sealed.deleted.united(failing.of(*sealed.part));
    next->live += sealed.part->rows - sealed.deleted.count();
  }
  next->head_deleted = view.head_deleted.resized(view.head_rows).united(failing.of_head(view));
  next->live += next->head_rows - next->head_deleted.count();
  view.require_whole();
  return next;
}

std::shared_ptr<const Snapshot> narrow_to(const Snapshot& snapshot, const std::shared_ptr<const RecordView>& after) {
  auto next = std::make_shared<Snapshot>(snapshot);
  next->records = after;
  next->vectors = LazyView([before = snapshot.records, after, vectors = snapshot.vectors] {
    return narrow_vectors(*vectors, Failing(*before, *after));
  });
  if (snapshot.other) next->other = narrow_to(*snapshot.other, after);
  return next;
}

}  // namespace

std::shared_ptr<const Snapshot> narrow(const Snapshot& snapshot, std::span<const Bitmap> failing) {
  return narrow_to(snapshot, std::make_shared<const RecordView>(narrow_records(*snapshot.records, failing)));
}

}  // namespace lamina
