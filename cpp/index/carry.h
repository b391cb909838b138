// A sealed part's graph, less the part's dead rows, as one that can grow.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/head_graph.h"
#include "index/part.h"

namespace lamina {

struct Carried {
  std::shared_ptr<HeadGraph> graph;
  std::vector<uint32_t> bereaved;  // rows that lost near neighbours on level 0, or many: to be refined
};

// The graph of the part's rows `kept` (ascending), which are the first rows of `rows`. A row most of whose neighbours
// have died gets those behind them (Singh et al., "FreshDiskANN", 2021), so that a walk can go on from it; the rest is
// for refining. On one thread the same part gives the same graph.
// REQUIRES: the part has a graph; kept is not empty. Throws CorruptionError.
Carried carry_graph(const VectorSpec& spec, const Part& part, std::span<const uint32_t> kept,
                    std::shared_ptr<const HeadRows> rows, const I8Params& params, int threads);

}  // namespace lamina
