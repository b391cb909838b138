// The rows that a search may return, named by their rids.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "index/vector_set.h"

namespace lamina {

// Any thread.
class IdFilter {
 public:
  explicit IdFilter(std::vector<uint64_t> rids);  // in any order, repeated or not

  size_t size() const { return rids_.size(); }

  // The view without the other rows. The last one is kept, and with it the view that it was made from: asking for it
  // again costs a lock. CorruptionError.
  std::shared_ptr<const View> narrow(const std::shared_ptr<const View>& view);

 private:
  bool contains(uint64_t rid) const;
  View narrowed(const View& view) const;

  std::vector<uint64_t> rids_;   // ascending, each once
  std::vector<uint64_t> dense_;  // where they lie close together: a bit for each number from the first to the last
  std::mutex mutex_;             // held to copy a pointer
  std::shared_ptr<const View> from_;
  std::shared_ptr<const View> kept_;
};

}  // namespace lamina
