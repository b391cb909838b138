// One pool of threads for a process, made on first use. A forked child makes its own and leaves its parent's alone.
// The pool is never destroyed and its threads are never joined, so that a process can exit at any moment.
#pragma once

#include <cstdint>
#include <functional>

namespace lamina {

// CPUs that this process may run on (its affinity mask, where the system has one); at least 1.
unsigned hardware_threads();

using RangeFn = std::function<void(uint64_t begin, uint64_t end, unsigned worker)>;

// Calls fn(b, e, worker) on pieces of at most `grain` (> 0) items that together make up [begin, end), each item once,
// on at most `threads` threads (0: hardware_threads()), the caller's among them; worker < threads, and no two calls
// under way have the same one. Pieces are handed out as threads come free. Returns when all are done.
//
// Runs in the caller alone, as worker 0, when one piece or one thread is all there is, or from inside another
// parallel_for. The first exception from fn stops the handing out and is rethrown here. Any number of callers.
void parallel_for(uint64_t begin, uint64_t end, uint64_t grain, unsigned threads, const RangeFn& fn);

}  // namespace lamina
