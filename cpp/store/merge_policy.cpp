#include "store/merge_policy.h"

#include <algorithm>
#include <numeric>

namespace lamina {
namespace {

size_t largest(std::span<const SegmentSize> segments) {
  const auto smaller = [](const SegmentSize& a, const SegmentSize& b) { return a.live_bytes() < b.live_bytes(); };
  return static_cast<size_t>(std::max_element(segments.begin(), segments.end(), smaller) - segments.begin());
}

// What would join the segment and what has died, in it and elsewhere, in bytes.
double change(std::span<const SegmentSize> segments, size_t to) {
  uint64_t bytes = segments[to].bytes - segments[to].live_bytes();
  for (size_t i = 0; i < segments.size(); ++i) bytes += i == to ? 0 : segments[i].bytes;
  return static_cast<double>(bytes);
}

bool is_rewritten(double changed, uint64_t bytes) {
  return changed > 0 && changed >= kRewriteShare * static_cast<double>(bytes);
}

}  // namespace

std::vector<size_t> choose_merge(std::span<const SegmentSize> segments) {
  if (segments.empty()) return {};
  std::vector<size_t> order(segments.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const size_t first = largest(segments);
  if (is_rewritten(change(segments, first), segments[first].bytes)) return order;
  std::erase(order, first);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return segments[a].bytes < segments[b].bytes; });
  for (size_t i = 0; i + kFanIn <= order.size(); ++i) {
    size_t end = i;
    while (end < order.size() && segments[order[end]].bytes <= kStep * segments[order[i]].bytes) ++end;
    if (end - i < kFanIn) continue;
    std::vector<size_t> chosen(order.begin() + static_cast<ptrdiff_t>(i), order.begin() + static_cast<ptrdiff_t>(end));
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  }
  if (segments.size() <= kMostSegments) return {};
  order.resize(kFanIn);
  std::sort(order.begin(), order.end());
  return order;
}

bool head_is_due(std::span<const SegmentSize> segments, uint64_t head_live) {
  if (segments.empty() || head_live < kLeastHead) return false;
  const size_t first = largest(segments);
  const SegmentSize& base = segments[first];
  if (base.rows == 0) return false;
  const double row_bytes = static_cast<double>(base.bytes) / static_cast<double>(base.rows);
  return is_rewritten(change(segments, first) + row_bytes * static_cast<double>(head_live), base.bytes);
}

}  // namespace lamina
