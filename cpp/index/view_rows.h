// The parts of a view and its head, one after the other.
#pragma once

#include "index/head.h"
#include "index/rows.h"
#include "index/vector_set.h"

namespace lamina {

// Calls fn(rows, live, graph) for part i, or for the head where i is the number of parts; `graph` is a Part or a
// HeadGraph, null if flat.
template <class Fn>
void with_rows(const View& view, size_t i, Fn&& fn) {
  if (i == view.parts.size()) {
    if (view.head) fn(view.head->rows(), Live(view.head_deleted, view.head_rows), view.head->graph());
    return;
  }
  const Part& part = *view.parts[i].part;
  if (part.guard != nullptr) part.guard->check_index();
  fn(SealedRows(view.spec, part), Live(view.parts[i].deleted, part.rows), part.graph.entry == kNoRow ? nullptr : &part);
}

// For each part and then for the head.
template <class Fn>
void for_each_rows(const View& view, Fn&& fn) {
  for (size_t i = 0; i <= view.parts.size(); ++i) with_rows(view, i, fn);
}

}  // namespace lamina
