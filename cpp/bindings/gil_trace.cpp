#include "bindings/gil_trace.h"

#if defined(LAMINA_TESTING) && defined(__linux__)

#include <Python.h>

#include <algorithm>
#include <cstdint>

#include "io/wait_trace.h"

namespace lamina {
namespace {

thread_local int64_t held_since = 0;
thread_local int64_t longest_ns = 0;

void end_hold() { longest_ns = std::max(longest_ns, thread_cpu_ns() - held_since); }
void begin_hold() { held_since = thread_cpu_ns(); }

}  // namespace

double longest_gil_hold() {
  end_hold();
  const double longest = static_cast<double>(longest_ns) / 1e9;
  longest_ns = 0;
  begin_hold();
  return longest;
}

}  // namespace lamina

extern "C" {
PyThreadState* __real_PyEval_SaveThread();
void __real_PyEval_RestoreThread(PyThreadState* state);
void __real_PyEval_AcquireThread(PyThreadState* state);

PyThreadState* __wrap_PyEval_SaveThread() {
  lamina::end_hold();
  return __real_PyEval_SaveThread();
}
void __wrap_PyEval_RestoreThread(PyThreadState* state) {
  __real_PyEval_RestoreThread(state);
  lamina::begin_hold();
}
void __wrap_PyEval_AcquireThread(PyThreadState* state) {
  __real_PyEval_AcquireThread(state);
  lamina::begin_hold();
}
}

#endif
