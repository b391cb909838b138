#include "segment/record.h"

#include <unordered_map>

namespace lamina {

ScopeTable ScopeTable::of(std::span<const RecordFields> fields) {
  ScopeTable table;
  std::unordered_map<std::string_view, uint32_t> number_of;
  for (const RecordFields& row : fields) {
    const auto [place, is_new] = number_of.try_emplace(row.scope, static_cast<uint32_t>(table.names.size()));
    if (is_new) table.names.push_back(row.scope);
    table.numbers.push_back(place->second);
  }
  return table;
}

}  // namespace lamina
