// The k nearest hits seen so far, the tie order included.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "index/vector_set.h"

namespace lamina {

// Reusable: reset() allocates only when k has grown. One thread.
class TopK {
 public:
  void reset(size_t k, const TieOrder* ties, float radius = std::numeric_limits<float>::infinity()) {
    k_ = k;
    ties_ = ties;
    radius_ = radius;
    heap_.clear();
    heap_.reserve(k);
  }

  // Forgets the hits.
  void clear() { heap_.clear(); }

  bool full() const { return heap_.size() == k_; }
  size_t size() const { return heap_.size(); }

  // A hit farther than this cannot get in; one as far away may, by the tie order.
  float bound() const { return full() ? heap_.front().distance : radius_; }

  // The distance within which the nearest `n` are. REQUIRES: 0 < n <= size().
  float distance_of_nearest(size_t n, std::vector<float>& scratch) const {
    scratch.clear();
    for (const Hit& hit : heap_) scratch.push_back(hit.distance);
    const auto nth = scratch.begin() + static_cast<ptrdiff_t>(n - 1);
    std::nth_element(scratch.begin(), nth, scratch.end());
    return *nth;
  }

  // REQUIRES: hit.distance <= bound().
  void offer(const Hit& hit) {
    const auto order = [this](const Hit& a, const Hit& b) { return before(a, b); };
    if (full()) {
      if (k_ == 0 || !before(hit, heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end(), order);
      heap_.back() = hit;
    } else {
      heap_.push_back(hit);
    }
    std::push_heap(heap_.begin(), heap_.end(), order);
  }

  // Writes the hits in order and forgets them; returns how many.
  size_t take(Hit* out) {
    std::sort_heap(heap_.begin(), heap_.end(), [this](const Hit& a, const Hit& b) { return before(a, b); });
    std::copy(heap_.begin(), heap_.end(), out);
    const size_t count = heap_.size();
    heap_.clear();
    return count;
  }

 private:
  bool before(const Hit& a, const Hit& b) const {
    if (a.distance != b.distance) return a.distance < b.distance;
    if (ties_ != nullptr) return ties_->before(a.rid, b.rid);
    return a.id != b.id ? a.id < b.id : a.rid < b.rid;
  }

  size_t k_ = 0;
  const TieOrder* ties_ = nullptr;
  float radius_ = 0;
  std::vector<Hit> heap_;  // the farthest in front
};

}  // namespace lamina
