#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/thread_pool.h"
#include "index/head.h"
#include "index/scan.h"
#include "index/vector_set.h"

namespace lamina {
namespace {

constexpr size_t kGroup = 16;  // queries that share the rows in cache during an exact batch

size_t query_bytes(const VectorSpec& spec) {
  return spec.dtype == DType::kBits ? spec.vector_bytes() : size_t{spec.dim} * sizeof(float);
}

// What a thread needs for a search, kept from one to the next.
struct Scratch {
  std::array<ExactQuery, kGroup> queries;
  std::array<TopK, kGroup> tops;
};

Scratch& scratch() {
  thread_local Scratch mine;
  return mine;
}

void require(const SearchOptions& options) {
  if (options.k == 0) throw std::invalid_argument("k 0 is not positive");
}

// Calls fn(rows, live, part) for each part and then for the head, whose `part` is null.
template <class Fn>
void for_each_rows(const View& view, Fn&& fn) {
  for (const View::SealedPart& sealed : view.parts) {
    if (sealed.part->guard != nullptr) sealed.part->guard->check_index();
    fn(SealedRows(view.spec, *sealed.part), Live(sealed.deleted, sealed.part->rows), sealed.part.get());
  }
  if (view.head) fn(view.head->rows(), Live(view.head_deleted, view.head_rows), static_cast<const Part*>(nullptr));
}

void search_exactly(const View& view, std::span<const ExactQuery> queries, std::span<TopK> tops) {
  for_each_rows(view, [&](const auto& rows, const Live& live, const Part*) { scan(rows, live, queries, tops); });
}

}  // namespace

size_t View::search(const void* query, const SearchOptions& options, Hit* out) const {
  require(options);
  Scratch& mine = scratch();
  mine.queries[0].prepare(spec, query);
  mine.tops[0].reset(std::min<uint64_t>(options.k, live), options.ties);
  search_exactly(*this, {mine.queries.data(), 1}, {mine.tops.data(), 1});
  return mine.tops[0].take(out);
}

void View::search_batch(const void* queries, size_t count, const SearchOptions& options, int threads, Hit* out,
                        uint32_t* counts) const {
  require(options);
  const auto* first = static_cast<const std::byte*>(queries);
  const size_t stride = query_bytes(spec);
  const unsigned pool = threads < 0 ? 0 : static_cast<unsigned>(threads);
  if (!options.exact) {
    parallel_for(0, count, 4, pool, [&](uint64_t begin, uint64_t end, unsigned) {
      for (uint64_t i = begin; i < end; ++i) {
        counts[i] = static_cast<uint32_t>(search(first + i * stride, options, out + i * options.k));
      }
    });
    return;
  }
  parallel_for(0, count, kGroup, pool, [&](uint64_t begin, uint64_t end, unsigned) {
    Scratch& mine = scratch();
    const size_t n = end - begin;
    for (size_t i = 0; i < n; ++i) {
      mine.queries[i].prepare(spec, first + (begin + i) * stride);
      mine.tops[i].reset(std::min<uint64_t>(options.k, live), options.ties);
    }
    search_exactly(*this, {mine.queries.data(), n}, {mine.tops.data(), n});
    for (size_t i = 0; i < n; ++i) {
      counts[begin + i] = static_cast<uint32_t>(mine.tops[i].take(out + (begin + i) * options.k));
    }
  });
}

bool View::find(uint64_t rid, RowRef* where) const {
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = *parts[i].part;
    if (part.guard != nullptr) part.guard->check_index();
    const uint32_t* end = part.rid_order + part.rows;
    const uint32_t* at =
        std::lower_bound(part.rid_order, end, rid, [&](uint32_t row, uint64_t r) { return part.rids[row] < r; });
    const Live shown(parts[i].deleted, part.rows);
    for (; at != end && part.rids[*at] == rid; ++at) {
      if (!shown(*at)) continue;
      *where = {static_cast<uint32_t>(i), *at};
      return true;
    }
  }
  if (!head) return false;
  const uint32_t row = head->rows().find(rid, Live(head_deleted, head_rows));
  if (row == kNoRow) return false;
  *where = {static_cast<uint32_t>(parts.size()), row};
  return true;
}

void View::vector_at(RowRef where, std::byte* out) const {
  if (where.part == parts.size()) {
    std::memcpy(out, head->rows().vector(where.row), spec.vector_bytes());
    return;
  }
  const SealedRows rows(spec, *parts[where.part].part);
  rows.check(where.row, 1);
  std::memcpy(out, rows.vector(where.row), spec.vector_bytes());
}

Provenance View::provenance_at(RowRef where) const {
  if (where.part == parts.size()) return head->rows().provenance(where.row);
  const Part& part = *parts[where.part].part;
  if (part.guard != nullptr) part.guard->check_index();
  return SealedRows(spec, part).provenance(where.row);
}

void View::for_each_live(const std::function<void(RowRef, uint64_t rid)>& visit) const {
  uint32_t part = 0;
  for_each_rows(*this, [&](const auto& rows, const Live& shown, const Part*) {
    for (uint32_t row = 0; row < shown.rows; ++row) {
      if (shown(row)) visit({part, row}, rows.rid(row));
    }
    ++part;
  });
}

}  // namespace lamina
