#include <algorithm>

#include "index/sealed_graph.h"
#include "index/view_rows.h"

namespace lamina {
namespace {

void require_whole_part(const Part& part) {
  if (part.guard != nullptr) part.guard->require_whole();
}

}  // namespace

void View::require_whole() const {
  for (const SealedPart& sealed : parts) require_whole_part(*sealed.part);
}

bool View::find(uint64_t rid, RowRef* where) const {
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = *parts[i].part;
    const uint32_t* order = part.checked_order();
    const uint32_t* end = order + part.rows;
    const auto rid_of = [&](uint32_t row) {
      if (row >= part.rows) refuse_link(part, row, part.rows);
      return part.rids[row];
    };
    const uint32_t* at = std::lower_bound(order, end, rid, [&](uint32_t row, uint64_t r) { return rid_of(row) < r; });
    const Live shown(parts[i].deleted, part.rows);
    bool found = false;
    for (; !found && at != end && rid_of(*at) == rid; ++at) {
      found = shown(*at);
      if (found) *where = {static_cast<uint32_t>(i), *at};
    }
    require_whole_part(part);
    if (found) return true;
  }
  if (!head) return false;
  const uint32_t row = head->rows().find(rid, Live(head_deleted, head_rows));
  if (row == kNoRow) return false;
  *where = {static_cast<uint32_t>(parts.size()), row};
  return true;
}

void View::vector_at(RowRef where, std::byte* out) const {
  if (where.part == parts.size()) return head->rows().copy(where.row, out);
  const Part& part = *parts[where.part].part;
  SealedRows(spec, part).copy(where.row, out);
  require_whole_part(part);
}

Provenance View::provenance_at(RowRef where) const {
  if (where.part == parts.size()) return head->rows().provenance(where.row);
  const Part& part = *parts[where.part].part;
  if (part.guard != nullptr) part.guard->check_index();
  const Provenance found = SealedRows(spec, part).provenance(where.row);
  require_whole_part(part);
  return found;
}

void View::for_each_live(const std::function<void(RowRef, uint64_t rid)>& visit) const {
  uint32_t part = 0;
  for_each_rows(*this, [&](const auto& rows, const Live& shown, const auto*) {
    for (uint32_t row = 0; row < shown.rows; ++row) {
      if (shown(row)) visit({part, row}, rows.rid(row));
    }
    ++part;
  });
  require_whole();
}

}  // namespace lamina
