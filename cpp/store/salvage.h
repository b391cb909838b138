// What can still be read of a damaged store. Nothing is written, nothing of it is skipped in silence.
#pragma once

#include "store/loading.h"
#include "store/record_codec.h"
#include "store/root_store.h"
#include "store/store.h"

namespace lamina {

struct Salvaged {
  StoredRoot root;  // the newest that is whole
  Collections collections;
  uint64_t position = 0;  // of the log: what comes before it is in the collections
  uint64_t version = 0;
  std::vector<Missing> missing;
};

// Reads every byte. Of a damaged segment the rows that check are kept, those of records in memory; a vector without its
// record is left out. The log counts up to its first damage. CorruptionError if no root is whole.
Salvaged salvage(OpenFiles& files, const RootStore& roots, const RecordCodec& codec);

}  // namespace lamina
