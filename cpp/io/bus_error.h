// Mapped pages that cannot be read. The system answers a touch of one (the file was cut short underneath, the disk
// failed) with SIGBUS, which ends the process; here it costs the mapping, not the process.
//
// One handler for the process, installed with the first mapping. It finds the mapping by address in a table without
// locks, marks it, and puts zeros in the place of all of it from that page on, so that whoever reads goes on, and finds
// the mark before believing what was read. It runs on the stack of the thread that touched the page, or on that
// thread's alternate one if it has any: SIGBUS is no overflow of the stack, and the handler needs little of it. What is
// none of ours goes to the handler that was there before. Private to this room.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace lamina::posix {

// Watches a mapping from construction to destruction. REQUIRES: it is mapped for as long. Any thread.
class WatchedMapping {
 public:
  explicit WatchedMapping(Bytes mapped);
  ~WatchedMapping();
  WatchedMapping(const WatchedMapping&) = delete;
  WatchedMapping& operator=(const WatchedMapping&) = delete;

  static constexpr uint64_t kNone = ~uint64_t{0};
  uint64_t failed_at() const;  // offset of a page that could not be read; kNone: none so far

  struct Slot;  // an entry of the table; one that was made stays for the process's life

 private:
  Slot* const slot_;
};

}  // namespace lamina::posix
