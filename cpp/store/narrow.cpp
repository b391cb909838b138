#include "store/narrow.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "index/sealed_graph.h"
#include "store/record_head.h"

namespace lamina {
namespace {

using Rids = std::vector<uint64_t>;  // ascending

// The first of the places [from, count) whose rid is not below `rid`; cheap where it lies near `from`.
template <class RidAt>
size_t seek(size_t from, size_t count, uint64_t rid, RidAt&& rid_at) {
  if (from >= count || rid_at(from) >= rid) return from;
  size_t step = 1;
  for (; from + step < count && rid_at(from + step) < rid; step *= 2) from += step;
  size_t high = std::min(from + step, count);
  while (high - from > 1) {
    const size_t middle = from + (high - from) / 2;
    (rid_at(middle) < rid ? from : high) = middle;
  }
  return high;
}

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

// Of the records that `before` has: those that `after` has too (`stay`), or those that it has not.
Rids rids_between(const RecordView& before, const RecordView& after, bool stay) {
  Rids rids;
  rids.reserve(stay ? after.live : before.live - after.live);
  const auto chosen = [&](const Bitmap& was, const Bitmap& is) { return stay ? is.inverted() : is.without(was); };
  for (size_t i = 0; i < before.parts.size(); ++i) {
    const std::span<const uint64_t> all = (*before.parts[i].segment)->rids();
    const size_t begin = rids.size();
    chosen(before.parts[i].deleted, after.parts[i].deleted).for_each([&](uint32_t row) { rids.push_back(all[row]); });
    std::inplace_merge(rids.begin(), rids.begin() + static_cast<ptrdiff_t>(begin), rids.end());
  }
  const size_t sealed = rids.size();
  chosen(before.head_deleted, after.head_deleted).for_each([&](uint32_t row) {
    rids.push_back(before.head->fields_at(row).rid);
  });
  const auto head = rids.begin() + static_cast<ptrdiff_t>(sealed);
  std::sort(head, rids.end());
  std::inplace_merge(rids.begin(), head, rids.end());
  return rids;
}

// Which rows of a set of vectors are no longer shown: those of these rids, or all but those.
class Failing {
 public:
  Failing(const RecordView& before, const RecordView& after)
      : all_but_(after.live < before.live - after.live), rids_(rids_between(before, after, all_but_)) {}

  Bitmap of(const Part& part) const {
    std::vector<uint64_t> words = blank(part.rows);
    const uint32_t* const order = part.checked_order();
    const auto rid_at = [&](size_t i) {
      if (order[i] >= part.rows) refuse_link(part, order[i], part.rows);
      return part.rids[order[i]];
    };
    size_t i = 0;
    for (const uint64_t rid : rids_) {
      i = seek(i, part.rows, rid, rid_at);
      for (; i < part.rows && rid_at(i) == rid; ++i) flip(words, order[i]);
      if (i == part.rows) break;
    }
    return Bitmap::of(part.rows, words);
  }

  Bitmap of_head(const View& view) const {
    std::vector<uint64_t> words = blank(view.head_rows);
    View head = view;
    head.parts.clear();
    size_t i = 0;
    head.for_each_live([&](View::RowRef where, uint64_t rid) {
      if (i > 0 && rids_[i - 1] >= rid) i = 0;
      i = seek(i, rids_.size(), rid, [&](size_t at) { return rids_[at]; });
      if (i < rids_.size() && rids_[i] == rid) flip(words, where.row);
    });
    return Bitmap::of(view.head_rows, words);
  }

 private:
  std::vector<uint64_t> blank(uint64_t rows) const {
    std::vector<uint64_t> words((rows + 63) / 64, all_but_ ? ~uint64_t{0} : 0);
    if (all_but_ && rows % 64 != 0) words.back() >>= 64 - rows % 64;
    return words;
  }
  static void flip(std::vector<uint64_t>& words, uint32_t row) { words[row / 64] ^= uint64_t{1} << row % 64; }

  const bool all_but_;
  const Rids rids_;
};

std::shared_ptr<const View> narrow_vectors(const View& view, const Failing& failing) {
  auto next = std::make_shared<View>(view);
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

std::shared_ptr<const Snapshot> narrow_generations(const Snapshot& snapshot, std::shared_ptr<const RecordView> records,
                                                   const Failing& failing) {
  auto next = std::make_shared<Snapshot>(snapshot);
  next->records = std::move(records);
  next->vectors = narrow_vectors(*snapshot.vectors, failing);
  next->served = snapshot.served == snapshot.vectors ? next->vectors : narrow_vectors(*snapshot.served, failing);
  if (snapshot.other) next->other = narrow_generations(*snapshot.other, next->records, failing);
  return next;
}

}  // namespace

std::shared_ptr<const Snapshot> narrow(const Snapshot& snapshot, std::span<const Bitmap> failing) {
  const RecordView& before = *snapshot.records;
  auto after = std::make_shared<const RecordView>(narrow_records(before, failing));
  const Failing vectors(before, *after);
  return narrow_generations(snapshot, std::move(after), vectors);
}

}  // namespace lamina
