#include "kernels/registry.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels/tables.h"

namespace lamina {
namespace {

[[maybe_unused]] void replace(Kernels* table, const CodeKernels& with) {
  table->l2_i8 = with.l2_i8;
  table->ip_i8 = with.ip_i8;
  table->l2_i8_x4 = with.l2_i8_x4;
  table->ip_i8_x4 = with.ip_i8_x4;
  table->l2_i4_x4 = with.l2_i4_x4;
  table->ip_i4_x4 = with.ip_i4_x4;
}

[[maybe_unused]] void replace(Kernels* table, const HammingKernels& with) {
  table->hamming = with.hamming;
  table->hamming_x4 = with.hamming_x4;
}

const std::vector<Kernels>& tables_here() {
  static const std::vector<Kernels> tables = tables_for(cpu_features());
  return tables;
}

}  // namespace

std::vector<Kernels> tables_for([[maybe_unused]] const CpuFeatures& cpu) {
  std::vector<Kernels> tables = {kBaseline};
#if defined(__x86_64__)
  if (cpu.avx2) {
    tables.push_back(kAvx2);
    if (cpu.avx_vnni) replace(&tables.back(), kAvx2Vnni);
  }
  if (cpu.avx512) {
    tables.push_back(kAvx512);
    if (cpu.avx512_vnni) replace(&tables.back(), kAvx512Vnni);
    if (cpu.avx512_vpopcntdq) replace(&tables.back(), kAvx512Vpopcntdq);
  }
#endif
  return tables;
}

const Kernels& choose(const std::vector<Kernels>& tables, const char* forced) {
  const std::string name = forced == nullptr ? "" : forced;
  if (name.empty()) return tables.back();
  std::string names;
  for (const Kernels& table : tables) {
    if (name == table.name) return table;
    names += std::string(names.empty() ? "" : ", ") + table.name;
  }
  throw std::invalid_argument("LAMINA_ISA=" + name + " is not an instruction set that this CPU runs; it runs " + names +
                              " (leave LAMINA_ISA unset for the fastest)");
}

const Kernels& kernels() {
  static const Kernels& chosen = choose(tables_here(), std::getenv("LAMINA_ISA"));
  return chosen;
}

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> available;
  for (const Kernels& table : tables_here()) available.push_back(&table);
  return available;
}

}  // namespace lamina
