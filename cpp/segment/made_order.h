// Row numbers in an order that a file should have, and whose section is damaged.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace lamina {

// Made at most once, and kept. Any thread; no lock, so that a forked child finds nobody's held.
class MadeOrder {
 public:
  MadeOrder() = default;
  ~MadeOrder() { delete order_.load(); }
  MadeOrder(const MadeOrder&) = delete;
  MadeOrder& operator=(const MadeOrder&) = delete;

  const std::vector<uint32_t>* get() const { return order_.load(std::memory_order_acquire); }  // null: not made yet

  // Of threads that come with one at the same time, the first's is kept, and is what all get.
  const std::vector<uint32_t>& keep(std::vector<uint32_t> made) const {
    const auto* const mine = new std::vector<uint32_t>(std::move(made));
    const std::vector<uint32_t>* kept = nullptr;
    if (order_.compare_exchange_strong(kept, mine)) return *mine;
    delete mine;
    return *kept;
  }

 private:
  mutable std::atomic<const std::vector<uint32_t>*> order_ = nullptr;
};

}  // namespace lamina
