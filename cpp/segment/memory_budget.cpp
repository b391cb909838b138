#include "segment/memory_budget.h"

#include <algorithm>
#include <new>

#include "io/process.h"

namespace lamina {
namespace {

constexpr uint64_t kOfSearches = uint64_t{1} << 20;  // what threads need to search at all, about

}  // namespace

void PagedSection::keep(double share) {
  const auto rows = static_cast<uint32_t>(static_cast<double>(section_.count) * share);
  if (rows_in_place_.exchange(rows, std::memory_order_relaxed) == rows) return;
  const uint64_t kept = rows * stride();
  file_.map_singly(section_.offset, kept, false);
  file_.map_singly(section_.offset + kept, section_.padded() - kept, true);
  file_.let_go(section_.offset + kept, section_.padded() - kept);
}

MemoryBudget::~MemoryBudget() { delete opened_.load(); }

void MemoryBudget::add(const std::shared_ptr<Tenant>& tenant) {
  Opened& mine = opened();
  {
    const std::lock_guard lock(mine.mutex);
    mine.tenants.push_back(tenant);
  }
  deal();
}

// A segment may be closed by a search that was the last to hold it, which is to wait for nobody: whoever is dealing
// then deals once more.
void MemoryBudget::deal() noexcept {
  changed_.store(true);
  while (changed_.load()) {
    try {
      Opened& mine = opened();
      Tenants open;  // outlives the lock: who lets go of a tenant last deals too
      const std::unique_lock lock(mine.mutex, std::try_to_lock);
      if (!lock.owns_lock()) return;
      changed_.store(false);
      open = those_open(mine);
      deal_to(open);
    } catch (const std::bad_alloc&) {  // shares stay as they are until the next comes or goes
      return;
    }
  }
}

// The mutex of a parent may be held for ever in a forked child, so all is swapped without one. What the parent had is
// left to nobody.
MemoryBudget::Opened& MemoryBudget::opened() {
  const int64_t process = process_id();
  Opened* seen = opened_.load(std::memory_order_acquire);
  while (seen == nullptr || seen->process != process) {
    auto mine = std::unique_ptr<Opened>(new Opened{process});
    if (opened_.compare_exchange_strong(seen, mine.get(), std::memory_order_acq_rel)) return *mine.release();
  }
  return *seen;
}

MemoryBudget::Tenants MemoryBudget::those_open(Opened& opened) {
  Tenants open;
  for (const auto& known : opened.tenants) {
    if (auto tenant = known.lock()) open.push_back(std::move(tenant));
  }
  opened.tenants.assign(open.begin(), open.end());
  return open;
}

void MemoryBudget::deal_to(const Tenants& open) {
  uint64_t left = bytes_ - bytes_ / kRecordShare - std::min(bytes_ / 8, kOfSearches);
  uint64_t used = 0;
  for (const auto& tenant : open) used += tenant->bytes_in_place();
  left -= std::min(left, used);
  for (size_t use = 0; use < kUses; ++use) {
    std::vector<PagedSection*> columns;
    for (const auto& tenant : open) {
      for (PagedSection* column : tenant->columns(static_cast<Use>(use))) columns.push_back(column);
    }
    uint64_t wanted = 0;
    for (const PagedSection* column : columns) wanted += column->bytes();
    const uint64_t given = std::min(wanted, left);
    for (PagedSection* column : columns) {
      column->keep(wanted == 0 ? 0 : static_cast<double>(given) / static_cast<double>(wanted));
    }
    left -= given;
    used += given;
  }
  in_use_.store(used, std::memory_order_relaxed);
}

void MemoryBudget::count(uint64_t touched) {
  const uint64_t before = touched_.fetch_add(touched, std::memory_order_relaxed);
  if (before + touched < bytes_ / kRecordShare / 2) return;
  Opened& mine = opened();
  {
    Tenants open;  // as above
    const std::unique_lock lock(mine.mutex, std::try_to_lock);
    if (!lock.owns_lock()) return;                       // the next to count sees to it
    touched_.store(touched, std::memory_order_relaxed);  // they are about to be
    open = those_open(mine);
    for (const auto& tenant : open) tenant->let_go();
  }
  if (changed_.load()) deal();  // who came or went meanwhile has left it to us
}

}  // namespace lamina
