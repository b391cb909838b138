#include "store/generation.h"

#include <algorithm>

#include "base/bytes.h"

namespace lamina {
namespace {

// A hash has the second half of a stamp once in 2^64 texts.
bool is_stamp(const ContentHash& basis) {
  return std::all_of(basis.begin() + 8, basis.end(), [](uint8_t b) { return b == 0; });
}

}  // namespace

ContentHash version_stamp(uint64_t version) {
  ContentHash stamp{};
  store_le(reinterpret_cast<std::byte*>(stamp.data()), version);
  return stamp;
}

ContentHash basis_of(const RecordFields& record, const View& served) {
  if (record.content_hash != ContentHash{}) return record.content_hash;
  View::RowRef where;
  if (!served.find(record.rid, &where)) return version_stamp(record.version);
  const ContentHash made_from = served.provenance_at(where).content_hash;
  return is_stamp(made_from) ? made_from : version_stamp(record.version);
}

void for_each_missing(const Snapshot& snapshot, const std::function<void(RecordRef, bool stale)>& visit) {
  const RecordView& records = *snapshot.records;
  std::vector<RecordRef> found;
  std::optional<RecordRef> after;
  while (!(found = records.scan(after, 4096)).empty()) {
    for (const RecordRef where : found) {
      const RecordFields record = records.fields_at(where);
      View::RowRef row;
      if (!snapshot.vectors->find(record.rid, &row)) {
        visit(where, false);
      } else if (snapshot.vectors->provenance_at(row).content_hash != basis_of(record, *snapshot.served)) {
        visit(where, true);
      }
    }
    after = found.back();
  }
}

MissingCounts count_missing(const Snapshot& snapshot) {
  MissingCounts counts;
  for_each_missing(snapshot, [&](RecordRef, bool stale) { ++(stale ? counts.stale : counts.owed); });
  return counts;
}

}  // namespace lamina
