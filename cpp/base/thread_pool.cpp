#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace lamina {
namespace {

thread_local bool inside_parallel_for = false;

// One parallel_for under way. Lives on its caller's stack.
struct Job {
  // Hands out the next piece; false when there is none left.
  bool take(uint64_t& from, uint64_t& to) {
    from = next.load(std::memory_order_relaxed);
    do {
      if (from >= end) return false;
      to = from + std::min(grain, end - from);
    } while (!next.compare_exchange_weak(from, to, std::memory_order_relaxed));
    return true;
  }

  void run(unsigned worker) {
    inside_parallel_for = true;
    try {
      for (uint64_t from = 0, to = 0; take(from, to);) fn(from, to, worker);
    } catch (...) {
      next.store(end, std::memory_order_relaxed);
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
    inside_parallel_for = false;
  }

  std::atomic<uint64_t> next;  // where the next piece begins
  const uint64_t end;
  const uint64_t grain;
  const unsigned threads;
  const RangeFn& fn;
  std::mutex error_mutex{};
  std::exception_ptr error{};
  unsigned joined = 1;  // workers that ever took part, the caller included; guarded by the pool's mutex
  unsigned active = 0;  // threads of the pool at work on it; guarded by the pool's mutex
};

class Pool {
 public:
  const pid_t pid = getpid();

  void run(Job& job) {
    std::list<Job*>::iterator place;
    {
      const std::lock_guard lock(mutex_);
      place = jobs_.insert(jobs_.end(), &job);
      grow(job.threads - 1);
    }
    work_.notify_all();
    job.run(0);
    std::unique_lock lock(mutex_);
    jobs_.erase(place);
    idle_.wait(lock, [&] { return job.active == 0; });
  }

 private:
  // Threads that cannot be had are done without: the caller's is enough.
  void grow(unsigned threads) {
    sigset_t mask;
    sigset_t before;
    sigfillset(&mask);  // signals are for the threads of the program; those of a fault go to the thread that faults
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&mask, fault);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    try {
      for (; threads_ < threads; ++threads_) std::thread([this] { serve(); }).detach();
    } catch (const std::exception&) {
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  Job* open_job() {
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [](const Job* job) {
      return job->joined < job->threads && job->next.load(std::memory_order_relaxed) < job->end;
    });
    return found == jobs_.end() ? nullptr : *found;
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      work_.wait(lock, [&] { return (job = open_job()) != nullptr; });
      const unsigned worker = job->joined++;
      ++job->active;
      lock.unlock();
      job->run(worker);
      lock.lock();
      if (--job->active == 0) idle_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  std::list<Job*> jobs_;
  unsigned threads_ = 0;
};

// The mutex of a parent's pool may be held for ever in a forked child, so the pool is swapped without one.
Pool& pool() {
  static std::atomic<Pool*> current = nullptr;
  Pool* seen = current.load(std::memory_order_acquire);
  while (seen == nullptr || seen->pid != getpid()) {
    auto mine = std::make_unique<Pool>();
    if (current.compare_exchange_strong(seen, mine.get(), std::memory_order_acq_rel)) return *mine.release();
  }
  return *seen;
}

}  // namespace

unsigned hardware_threads() {
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
#endif
  return std::max(std::thread::hardware_concurrency(), 1U);
}

void parallel_for(uint64_t begin, uint64_t end, uint64_t grain, unsigned threads, const RangeFn& fn) {
  if (begin >= end) return;
  if (threads == 0) threads = hardware_threads();
  const uint64_t pieces = (end - begin - 1) / grain + 1;
  threads = static_cast<unsigned>(std::min<uint64_t>(threads, pieces));
  if (threads <= 1 || inside_parallel_for) {
    for (uint64_t from = begin; from < end; from += std::min(grain, end - from))
      fn(from, from + std::min(grain, end - from), 0);
    return;
  }
  Job job{.next = begin, .end = end, .grain = grain, .threads = threads, .fn = fn};
  pool().run(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace lamina
