// What a store holds, counted.
#pragma once

#include "store/collection_state.h"

namespace lamina {

StoreStats::OfCollection count_rows(const CollectionHandle& collection);  // of its newest snapshot
std::optional<StoreStats::Memory> memory_of(const OpenFiles& files);
void add_bytes(StoreStats& stats, const CollectionState& collection);  // of its files

}  // namespace lamina
