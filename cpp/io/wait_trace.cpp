#include "io/wait_trace.h"

#if defined(LAMINA_TESTING) && defined(__linux__)

#include <pthread.h>
#include <time.h>

namespace lamina {
namespace {

thread_local WaitTrace mine;

template <class Lock>
int count_lock(Lock* lock, int (*try_lock)(Lock*), int (*wait)(Lock*)) {
  ++mine.locks;
  if (try_lock(lock) == 0) return 0;
  ++mine.waits;
  return wait(lock);
}

int count_sync(int descriptor, int (*sync)(int)) {
  ++mine.syncs;
  return sync(descriptor);
}

}  // namespace

WaitTrace WaitTrace::of_this_thread() { return mine; }

int64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace lamina

// The linker's --wrap=NAME makes calls of NAME calls of __wrap_NAME, and those of __real_NAME calls of NAME.
extern "C" {
int __real_pthread_mutex_lock(pthread_mutex_t* mutex);
int __real_pthread_rwlock_rdlock(pthread_rwlock_t* lock);
int __real_pthread_rwlock_wrlock(pthread_rwlock_t* lock);
int __real_fsync(int descriptor);
int __real_fdatasync(int descriptor);

int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) {
  return lamina::count_lock(mutex, &pthread_mutex_trylock, &__real_pthread_mutex_lock);
}
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
  return lamina::count_lock(lock, &pthread_rwlock_tryrdlock, &__real_pthread_rwlock_rdlock);
}
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
  return lamina::count_lock(lock, &pthread_rwlock_trywrlock, &__real_pthread_rwlock_wrlock);
}
int __wrap_fsync(int descriptor) { return lamina::count_sync(descriptor, &__real_fsync); }
int __wrap_fdatasync(int descriptor) { return lamina::count_sync(descriptor, &__real_fdatasync); }
}

#endif
