// Which segments of a collection are to become one, and when its head is to become a segment for that.
//
// Small segments join others of their size, and the largest is written again only once what would join it and what has
// died make up a stated share of it. So the work of a small refresh follows the refresh. Beside the log, a byte is
// written when its head is sealed, once a step of sizes, and, of a collection of a steady size, 1/kRewriteShare times
// or so with the largest. By rows, in a model: 6 times for ten rounds that each replace a fifth; for fifty refreshes
// that each replace 500 of 100,000 rows and add 500, 6 times from one head, 7 where each is sealed by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lamina {

// What joins the largest segment and what died, as a share of it, from which on it is written again.
inline constexpr double kRewriteShare = 1.0 / 3;
// So many segments of about one size (the largest at most kStep times the smallest) become one.
inline constexpr size_t kFanIn = 4;
inline constexpr uint64_t kStep = 4;
// More segments than this there are never for long: each costs a search.
inline constexpr size_t kMostSegments = 8;
// A head of fewer live rows is not sealed to be merged.
inline constexpr uint64_t kLeastHead = 1000;

struct SegmentSize {
  uint64_t rows = 0;
  uint64_t live = 0;
  uint64_t bytes = 0;
  uint64_t live_bytes() const {
    if (rows == 0) return 0;
    return static_cast<uint64_t>(static_cast<double>(bytes) * static_cast<double>(live) / static_cast<double>(rows));
  }
};

// The segments to be merged, ascending; none if nothing is due. One alone is to be written without its dead rows.
std::vector<size_t> choose_merge(std::span<const SegmentSize> segments);

// Whether a head with so many live rows, once sealed, would bring the largest segment to be written again.
bool head_is_due(std::span<const SegmentSize> segments, uint64_t head_live);

}  // namespace lamina
