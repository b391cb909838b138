// Every implementation that this CPU can run: the tables of the registry, and those that the same CPU would get if it
// lacked the newer instructions that replace single kernels.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/registry.h"

namespace lamina {

struct Variant {
  std::string name;
  Kernels table;
};

inline void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

inline std::vector<Variant> variants() {
  const CpuFeatures newest = cpu_features();
  CpuFeatures plain;
  plain.avx2 = newest.avx2;
  plain.avx512 = newest.avx512;
  plain.neon = newest.neon;
  std::vector<Variant> all;
  for (const Kernels& table : tables_for(plain)) all.push_back({table.name, table});
  for (const Kernels& table : tables_for(newest)) {
    if (table.l2_i8 != all.front().table.l2_i8) all.push_back({std::string("newest_") + table.name, table});
  }
  return all;
}

// One page between two that cannot be touched: a read before or after the elements ends the test.
class GuardedPages {
 public:
  GuardedPages() : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    void* mapped = mmap(nullptr, usable() + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<char*>(mapped);
    if (mprotect(begin_ + page_, usable(), PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  }
  ~GuardedPages() { munmap(begin_, usable() + 2 * page_); }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;

  // Copies that end where the upper guard begins, or begin where the lower one ends.
  template <class T>
  T* at_end(const std::vector<T>& from) {
    return copy(from, begin_ + page_ + usable() - from.size() * sizeof(T));
  }
  template <class T>
  T* at_start(const std::vector<T>& from) {
    return copy(from, begin_ + page_);
  }

 private:
  size_t usable() const { return 8 * page_; }
  template <class T>
  T* copy(const std::vector<T>& from, char* to) {
    if (!from.empty()) std::memcpy(to, from.data(), from.size() * sizeof(T));
    return reinterpret_cast<T*>(to);
  }

  const size_t page_;
  char* begin_;
};

}  // namespace lamina
