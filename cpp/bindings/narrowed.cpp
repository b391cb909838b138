#include "bindings/narrowed.h"

#include <algorithm>

namespace lamina {
namespace {

constexpr uint64_t kRoom = uint64_t{64} << 20;

// Of the bitmaps that a snapshot has for itself once it is narrowed, and its vectors are.
uint64_t bytes_of(const Snapshot& snapshot) {
  uint64_t rows = snapshot.records->head_rows + snapshot.vectors->head_rows;
  for (const auto& part : snapshot.records->parts) rows += part.deleted.size();
  for (const auto& part : snapshot.vectors->parts) rows += part.deleted.size();
  return sizeof(Snapshot) + rows / 8 + (snapshot.other ? bytes_of(*snapshot.other) : 0);
}

}  // namespace

std::shared_ptr<const Snapshot> NarrowedSnapshots::find(const std::shared_ptr<const Snapshot>& of,
                                                        const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find({of.get(), key});
  if (found == entries_.end() || found->second.of.lock() != of) return nullptr;
  found->second.used = ++uses_;
  return found->second.narrowed;
}

void NarrowedSnapshots::keep(const std::shared_ptr<const Snapshot>& of, const std::string& key,
                             std::shared_ptr<const Snapshot> narrowed) {
  const uint64_t bytes = bytes_of(*of) + key.size();
  std::map<std::pair<const Snapshot*, std::string>, Entry> gone;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  const auto drop = [&](auto entry) {
    bytes_ -= entry->second.bytes;
    gone.insert(entries_.extract(entry));
  };
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->second.of.expired()) drop(entry);
    entry = next;
  }
  if (const auto found = entries_.find({of.get(), key}); found != entries_.end()) drop(found);
  while (!entries_.empty() && bytes_ + bytes > kRoom) {
    drop(std::ranges::min_element(entries_, {}, [](const auto& entry) { return entry.second.used; }));
  }
  bytes_ += bytes;
  entries_.emplace(std::pair{of.get(), key}, Entry{of, std::move(narrowed), bytes, ++uses_});
}

}  // namespace lamina
