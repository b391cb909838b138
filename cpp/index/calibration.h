// How broad a search of a part has to be for a recall, measured on the part itself.
#pragma once

#include "codes/metric.h"
#include "index/part.h"

namespace lamina {

// Searches for rows of the part as if they were not in it, at growing breadths, against exact search. The rows are a
// sample drawn by the set's seed; to be unseen they lose all links to them, in a copy of level 0.
Calibration calibrate(const VectorSpec& spec, const Part& part, int threads);

// The same for a part that has come of another by a small change: if a smaller sample finds no less than `before` says,
// but for its luck, that stands.
Calibration recalibrate(const VectorSpec& spec, const Part& part, const Calibration& before, int threads);

}  // namespace lamina
