// The work of building a graph, shared out to threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "index/head_graph.h"

namespace lamina {

// The parameters of a code for the first `count` of these rows, from a sample of them.
I8Params train_codes(const VectorSpec& spec, const HeadRows& rows, uint32_t count);
// Whether they may stay as they are, by a smaller sample.
bool codes_fit(const VectorSpec& spec, const I8Params& params, const HeadRows& rows, uint32_t count);

// Links the rows [graph.linked(), graph.rows()). Many at once go in an order drawn by the set's seed, so that
// neither a sorted nor a clustered source bends the graph. On one thread the same rows give the same graph.
void link_rows(HeadGraph& graph, int threads);

// Looks again around these linked rows and chooses their neighbours anew. Best in an order in which rows near each
// other follow one another: so their surroundings are still in cache.
void refine_rows(HeadGraph& graph, std::span<const uint32_t> rows, int threads);

// Chooses the neighbours of linked rows on a level anew, those of rows[i] among them and others(i).
void reconsider_rows(HeadGraph& graph, uint32_t level, std::span<const uint32_t> rows, int threads,
                     const std::function<std::vector<uint32_t>(size_t)>& others);

// Links the rows [graph.linked(), graph.rows()) as refined ones, in this order. `nearby(row)` names rows near one, of
// which those count that are linked already: there it is looked for.
void join_rows(HeadGraph& graph, std::span<const uint32_t> order, int threads,
               const std::function<std::vector<uint32_t>(uint32_t)>& nearby);

// An order of the linked rows in which neighbours lie close together: breadth first from the entry.
std::vector<uint32_t> walk_order(const HeadGraph& graph);

}  // namespace lamina
