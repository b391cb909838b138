// Generations: the vectors of one collection under one model. The first is served; in a migration there is a second,
// over the same records (segment/migration.h).
//
// A vector carries its *basis*: what it was made from. A record's own basis is the hash of its content; without content
// it is a stamp, the version of the write that gave its served vector (the record's own version where it has none). A
// live record without a vector in a generation is *owed* to it; one whose vector has another basis than its own is
// *stale* there. Both are counted from these, and nothing else is kept.
//
// A put gives vectors to the served generation alone: the record becomes owed or stale in the other. A delete, and a
// put that leaves a record with neither content nor vector, empty both. A back-fill gives vectors to either, and only
// to records that are live with the basis that it names.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "segment/record.h"
#include "store/store.h"

namespace lamina {

ContentHash version_stamp(uint64_t version);
ContentHash basis_of(const RecordFields& record, const View& served);

// Calls visit(record, stale) for each live record that is stale, or else owed, in the generation of the snapshot.
void for_each_missing(const Snapshot& snapshot, const std::function<void(RecordRef, bool stale)>& visit);

struct MissingCounts {
  uint64_t owed = 0;
  uint64_t stale = 0;
};
MissingCounts count_missing(const Snapshot& snapshot);

}  // namespace lamina
