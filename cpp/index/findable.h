// Sees to it that every row of a part can be found: a search for its own vector has it among its first ten.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codes/metric.h"
#include "index/part.h"

namespace lamina {

// The rows that a default search for ten does not find, ascending. A row that as many as ten equal ones hide counts as
// found. By inner product a vector is not its own nearest: there a row is lost if no path leads to it.
std::vector<uint32_t> lost_rows(const VectorSpec& spec, const Part& part, int threads);

// Gives lost rows links from rows near them, until none is lost or no more can be done. Those are looked for among all
// rows that no path leads to and `asked`. `level0` is the part's list of links, which may be written. Returns how many
// are still lost.
size_t mend(const VectorSpec& spec, const Part& part, std::span<const uint32_t> asked, std::span<uint32_t> level0,
            int threads);

// Rows that a change of the graph around them is likeliest to lose: those that few link to, and from `first` on in
// `order` (old numbers by new), ascending.
std::vector<uint32_t> suspects(const Part& part, std::span<const uint32_t> order, uint32_t first);

}  // namespace lamina
