// System calls that a signal interrupts or that move fewer bytes than asked, repeated until they are done. Private to
// this room.
//
// Every call for which POSIX knows EINTR goes through retry(): open, flock, read, write, truncate, statvfs, and fsync,
// too, which has not told yet of what failed when it was interrupted. Not close: the descriptor is gone even so.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace lamina::posix {

#ifdef LAMINA_TESTING
// What a test does to the calls of this process while no other thread makes any.
struct Disturbance {
  int interruptions = 0;                    // of each call, before it is made
  size_t transfer_bytes = size_t{1} << 30;  // the most that one call moves
  int interrupted = 0;                      // calls so far, each time
};
extern Disturbance disturbance;

inline bool interrupts(int turn) {
  if (turn >= disturbance.interruptions) return false;
  ++disturbance.interrupted;
  errno = EINTR;
  return true;
}
inline size_t transfer_limit() { return disturbance.transfer_bytes; }
#else
constexpr bool interrupts(int) { return false; }
constexpr size_t transfer_limit() { return size_t{1} << 30; }  // no system moves more than 2 GiB in a call
#endif

template <class Call>
auto retry(Call&& call) {
  using Result = decltype(call());
  for (int turn = 0;; ++turn) {
    const Result result = interrupts(turn) ? Result{-1} : call();
    if (result != -1 || errno != EINTR) return result;
  }
}

// call(done, wanted) reads or writes behind the first `done` of `bytes`. Returns how many were moved: fewer only if a
// call moved none. -1, and errno, if one failed.
template <class Call>
ssize_t transfer(size_t bytes, Call&& call) {
  size_t done = 0;
  while (done < bytes) {
    const size_t wanted = std::min(bytes - done, transfer_limit());
    const ssize_t moved = retry([&]() -> ssize_t { return call(done, wanted); });
    if (moved == -1) return -1;
    if (moved == 0) break;
    done += static_cast<size_t>(moved);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace lamina::posix
