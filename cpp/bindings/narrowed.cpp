#include "bindings/narrowed.h"

#include <iterator>

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
  const auto found = by_key_.find({of.get(), key});
  if (found == by_key_.end() || found->second->of.lock() != of) return nullptr;
  entries_.splice(entries_.end(), entries_, found->second);
  return found->second->narrowed;
}

void NarrowedSnapshots::keep(const std::shared_ptr<const Snapshot>& of, const std::string& key,
                             std::shared_ptr<const Snapshot> narrowed) {
  const uint64_t bytes = bytes_of(*of) + key.size();
  Entries gone;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  if (!knows(of)) {  // a newer one: it may be the end of others
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      const auto next = std::next(entry);
      if (entry->of.expired()) drop(entry, gone);
      entry = next;
    }
  }
  if (const auto found = by_key_.find({of.get(), key}); found != by_key_.end()) drop(found->second, gone);
  while (!entries_.empty() && bytes_ + bytes > kRoom) drop(entries_.begin(), gone);
  bytes_ += bytes;
  entries_.push_back({{of.get(), key}, of, std::move(narrowed), bytes});
  by_key_.emplace(entries_.back().key, std::prev(entries_.end()));
}

void NarrowedSnapshots::drop(Entries::iterator entry, Entries& gone) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  gone.splice(gone.end(), entries_, entry);
}

// Whether anything is kept that was made of this one.
bool NarrowedSnapshots::knows(const std::shared_ptr<const Snapshot>& of) const {
  const auto first = by_key_.lower_bound({of.get(), {}});
  return first != by_key_.end() && first->first.first == of.get() && first->second->of.lock() == of;
}

}  // namespace lamina
