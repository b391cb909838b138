// What a thread has done for which it may have had to wait: mutexes that it took, files that it synced. In test builds
// on Linux only, where the linker puts the counting before the calls (cpp/CMakeLists.txt).
//
// Whoever waits for a condition takes its mutex first: that is among the locks, but not among the waits.
#pragma once

#include <cstdint>

namespace lamina {

struct WaitTrace {
  uint64_t locks = 0;  // of mutexes, shared ones too
  uint64_t waits = 0;  // those of them that another thread was in the way of
  uint64_t syncs = 0;  // of files and directories

  static WaitTrace of_this_thread();  // since it began
};

int64_t thread_cpu_ns();  // that the calling thread has used since it began

}  // namespace lamina
