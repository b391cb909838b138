#include "io/bus_error.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace lamina::posix {

struct WatchedMapping::Slot {
  std::atomic<uintptr_t> begin = 0;  // 0: free; written last, cleared first
  std::atomic<uintptr_t> end = 0;
  std::atomic<uint64_t> failed_at = kNone;
  std::atomic<bool> taken = false;
};

namespace {

using Slot = WatchedMapping::Slot;

// The table: chunks in a list that only grows. A handler may come at any instruction, and a fork at any time.
struct Chunk {
  std::array<Slot, 256> slots;
  Chunk* next = nullptr;  // immutable once the chunk is in the list
};
std::atomic<Chunk*> chunks = nullptr;

std::atomic<const struct sigaction*> former_action = nullptr;
std::atomic<bool> passed_on = false;
uintptr_t page_bytes = 0;

Slot* take_slot() {
  for (;;) {
    Chunk* const first = chunks.load(std::memory_order_acquire);
    for (Chunk* chunk = first; chunk != nullptr; chunk = chunk->next) {
      for (Slot& slot : chunk->slots) {
        if (!slot.taken.load(std::memory_order_relaxed) && !slot.taken.exchange(true)) return &slot;
      }
    }
    auto* const more = new Chunk;
    more->next = first;
    Chunk* expected = first;
    if (!chunks.compare_exchange_strong(expected, more)) delete more;
  }
}

// The entry that `address` lies in, if any.
Slot* find(uintptr_t address) {
  for (Chunk* chunk = chunks.load(std::memory_order_acquire); chunk != nullptr; chunk = chunk->next) {
    for (Slot& slot : chunk->slots) {
      const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
      if (begin != 0 && begin <= address && address < slot.end.load(std::memory_order_acquire)) return &slot;
    }
  }
  return nullptr;
}

// As if there had been no handler: a fault comes again as soon as this returns, a signal that was sent is sent again.
void take_default(int number, const siginfo_t& info) {
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(number, &standard, nullptr);
  if (info.si_code <= 0) raise(number);
}

// What is none of ours goes to the handler that was there before, except what that one, having had its turn at a fault,
// sends back by raise(): it wants the process to end.
void pass_on(int number, siginfo_t* info, void* context) {
  const bool is_fault = info->si_code > 0;
  const struct sigaction* const former = former_action.load();
  const bool sent_back = !is_fault && passed_on.load() && info->si_pid == getpid();
  if (is_fault) passed_on.store(true);
  if (former == nullptr || sent_back) return take_default(number, *info);
  if ((former->sa_flags & SA_SIGINFO) != 0) return former->sa_sigaction(number, info, context);
  if (former->sa_handler == SIG_IGN && !is_fault) return;
  if (former->sa_handler == SIG_IGN || former->sa_handler == SIG_DFL) return take_default(number, *info);
  former->sa_handler(number);
}

// Async-signal-safe: loads, stores and system calls.
void on_bus_error(int number, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  Slot* const slot = info->si_code > 0 ? find(address) : nullptr;  // one that was sent has no address
  if (slot == nullptr) return pass_on(number, info, context);
  const uintptr_t page = address / page_bytes * page_bytes;
  const uintptr_t begin = slot->begin.load();
  slot->failed_at.store(page - begin);  // before the zeros, which are not to be believed
  void* const zeros = mmap(reinterpret_cast<void*>(page), slot->end.load() - page, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (zeros == MAP_FAILED) pass_on(number, info, context);
}

// Also where somebody has put a handler before ours since: that one becomes the former.
void install() {
  page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction now = {};
  sigaction(SIGBUS, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &on_bus_error) return;
  former_action.store(new struct sigaction(now));  // never freed: a handler may be reading the one before
  struct sigaction ours = {};
  ours.sa_sigaction = &on_bus_error;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  sigaction(SIGBUS, &ours, nullptr);
}

}  // namespace

WatchedMapping::WatchedMapping(Bytes mapped) : slot_(take_slot()) {
  install();
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  slot_->failed_at.store(kNone);
  slot_->end.store((begin + mapped.size() + page_bytes - 1) / page_bytes * page_bytes);
  slot_->begin.store(begin, std::memory_order_release);
}

WatchedMapping::~WatchedMapping() {
  slot_->begin.store(0);
  slot_->taken.store(false, std::memory_order_release);
}

uint64_t WatchedMapping::failed_at() const { return slot_->failed_at.load(std::memory_order_acquire); }

}  // namespace lamina::posix
