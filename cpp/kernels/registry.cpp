#include "kernels/registry.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace lamina {
namespace {

const std::vector<Kernels>& tables_here() {
  static const std::vector<Kernels> tables = tables_for(cpu_features());
  return tables;
}

}  // namespace

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
