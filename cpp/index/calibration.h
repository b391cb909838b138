// How broad a search of a part has to be for a recall, measured on the part itself.
#pragma once

#include "codes/metric.h"
#include "index/part.h"

namespace lamina {

// Searches for rows of the part as if they were not in it, at growing breadths, against exact search, and stores what
// was found in part.calibration. The rows are a sample drawn by the set's seed; to be unseen they lose all links to
// them, in a copy of level 0. Gives the part coarse codes too, if as much is found on them; or
// neighbour codes instead, where the spec's layout asks for them or leaves it open and they fetch less.
void calibrate(const VectorSpec& spec, Part& part, int threads);

// The same for a part that has come of `base` by a small change: if a smaller sample finds no less than was found
// there, but for its luck, that stands.
void recalibrate(const VectorSpec& spec, Part& part, const Part& base, int threads);

}  // namespace lamina
