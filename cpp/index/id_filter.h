// The rows that a search may return, named by their rids.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/atomic_shared.h"
#include "index/vector_set.h"

namespace lamina {

// Any thread.
class IdFilter {
 public:
  explicit IdFilter(std::vector<uint64_t> rids);  // in any order, repeated or not

  size_t size() const { return rids_.size(); }

  // The view without the other rows. The last one is kept, and with it the view that it was made from: asking for it
  // again costs nothing. CorruptionError.
  std::shared_ptr<const View> narrow(const std::shared_ptr<const View>& view);

 private:
  struct Narrowed {
    std::shared_ptr<const View> from;
    std::shared_ptr<const View> narrow;
  };

  bool contains(uint64_t rid) const;
  View narrowed(const View& view) const;

  std::vector<uint64_t> rids_;   // ascending, each once
  std::vector<uint64_t> dense_;  // where they lie close together: a bit for each number from the first to the last
  AtomicShared<const Narrowed> kept_;
};

}  // namespace lamina
