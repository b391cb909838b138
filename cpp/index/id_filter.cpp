#include "index/id_filter.h"

#include <algorithm>
#include <array>

#include "index/view_rows.h"

namespace lamina {
namespace {

constexpr uint64_t kMostBitsPerRid = 256;  // of dense_: 32 bytes a rid

constexpr uint64_t kLookUpShare = 64;  // looking a rid up costs what testing so many rows does

Bitmap all_but(const std::vector<uint32_t>& shown, uint32_t rows) {
  std::array<uint64_t, Bitmap::kChunkWords> words;
  Bitmap deleted(rows);
  auto at = shown.begin();
  for (size_t i = 0; i < deleted.chunk_count(); ++i) {
    const uint64_t first = i * Bitmap::kChunkRows;
    const uint64_t count = std::min<uint64_t>(rows - first, Bitmap::kChunkRows);
    words.fill(0);
    std::fill_n(words.begin(), count / 64, ~uint64_t{0});
    if (count % 64 != 0) words[count / 64] = (uint64_t{1} << count % 64) - 1;
    for (; at != shown.end() && *at < first + count; ++at) words[(*at - first) / 64] &= ~(uint64_t{1} << *at % 64);
    deleted = deleted.with_chunk(i, words);
  }
  return deleted;
}

}  // namespace

IdFilter::IdFilter(std::vector<uint64_t> rids) : rids_(std::move(rids)) {
  std::sort(rids_.begin(), rids_.end());
  rids_.erase(std::unique(rids_.begin(), rids_.end()), rids_.end());
  if (rids_.empty() || (rids_.back() - rids_.front()) / kMostBitsPerRid >= rids_.size()) return;
  dense_.resize((rids_.back() - rids_.front()) / 64 + 1);
  for (const uint64_t rid : rids_) dense_[(rid - rids_.front()) / 64] |= uint64_t{1} << (rid - rids_.front()) % 64;
}

bool IdFilter::contains(uint64_t rid) const {
  if (dense_.empty()) return std::binary_search(rids_.begin(), rids_.end(), rid);
  const uint64_t at = rid - rids_.front();  // wraps round below the first
  return at / 64 < dense_.size() && (dense_[at / 64] >> at % 64 & 1) != 0;
}

View IdFilter::narrowed(const View& view) const {
  std::vector<std::vector<uint32_t>> shown(view.parts.size() + 1);
  if (rids_.size() * kLookUpShare < view.live) {
    for (const uint64_t rid : rids_) {
      View::RowRef where;
      if (view.find(rid, &where)) shown[where.part].push_back(where.row);
    }
    for (auto& rows : shown) std::sort(rows.begin(), rows.end());
  } else {
    size_t part = 0;
    for_each_rows(view, [&](const auto& rows, const Live& live, const auto*) {
      live.for_each([&](uint32_t row) {
        if (contains(rows.rid(row))) shown[part].push_back(row);
      });
      ++part;
    });
    view.require_whole();
  }
  View narrow = view;
  for (size_t i = 0; i < view.parts.size(); ++i) narrow.parts[i].deleted = all_but(shown[i], view.parts[i].part->rows);
  narrow.head_deleted = all_but(shown.back(), view.head_rows);
  narrow.live = 0;
  for (const auto& rows : shown) narrow.live += rows.size();
  return narrow;
}

std::shared_ptr<const View> IdFilter::narrow(const std::shared_ptr<const View>& view) {
  if (const auto kept = kept_.load(); kept && kept->from == view) return kept->narrow;
  auto narrow = std::make_shared<const View>(narrowed(*view));
  kept_.store(std::make_shared<const Narrowed>(Narrowed{view, narrow}));
  return narrow;
}

}  // namespace lamina
