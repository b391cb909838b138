// A shared pointer that is read by many threads while others replace it. Nobody waits: std::atomic<std::shared_ptr>
// spins on a bit in GCC, and a reader on the core of whoever was interrupted with that bit set spins for a time slice.
//
// How: one word holds the address of a node, which owns the pointer, and how many readers are between reading the word
// and having their copy. Whoever replaces the word hands their number over to the node that it takes away, and the last
// of them, or who replaced it if there is none, deletes it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace lamina {

template <class T>
class AtomicShared {
 public:
  AtomicShared() : word_(word_of_new(nullptr)) {}
  ~AtomicShared() { delete node_of(word_.load(std::memory_order_acquire)); }
  AtomicShared(const AtomicShared&) = delete;
  AtomicShared& operator=(const AtomicShared&) = delete;

  // Any thread; fewer than 65,536 at a time.
  std::shared_ptr<T> load() const {
    Node* const node = node_of(word_.fetch_add(kOneReader, std::memory_order_acquire));
    std::shared_ptr<T> copy = node->value;
    uint64_t now = word_.load(std::memory_order_relaxed);
    while (node_of(now) == node) {  // a node's address is not used again while a reader has it
      if (word_.compare_exchange_weak(now, now - kOneReader, std::memory_order_release, std::memory_order_relaxed)) {
        return copy;
      }
    }
    if (node->readers.fetch_sub(1, std::memory_order_acq_rel) == 1) delete node;
    return copy;
  }

  // Any thread. std::bad_alloc leaves what there was.
  void store(std::shared_ptr<T> value) {
    const uint64_t old = word_.exchange(word_of_new(std::move(value)), std::memory_order_acq_rel);
    const auto readers = static_cast<int64_t>(old / kOneReader);
    Node* const node = node_of(old);
    if (node->readers.fetch_add(readers, std::memory_order_acq_rel) == -readers) delete node;
  }

 private:
  struct Node {
    std::shared_ptr<T> value;          // immutable once the node is in the word
    std::atomic<int64_t> readers = 0;  // that are left of those that were handed over; negative: they left before
  };
  static constexpr uint64_t kOneReader = uint64_t{1} << 48;  // user addresses need fewer bits, unless asked for

  static uint64_t word_of_new(std::shared_ptr<T> value) {
    auto node = std::make_unique<Node>();
    node->value = std::move(value);
    const auto word = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(node.get()));
    if (word >= kOneReader) throw std::bad_alloc();
    node.release();
    return word;
  }
  static Node* node_of(uint64_t word) { return reinterpret_cast<Node*>(static_cast<uintptr_t>(word % kOneReader)); }

  mutable std::atomic<uint64_t> word_;
};

}  // namespace lamina
