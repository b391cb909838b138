// What the tests of codes and of graphs ask for, in a line.
#pragma once

#include <cstdint>

#include "codes/metric.h"

namespace lamina::testing {

inline VectorSpec spec_of(uint32_t dim, Metric metric, DType dtype = DType::kF32) {
  VectorSpec spec;
  spec.dim = dim;
  spec.metric = metric;
  spec.dtype = dtype;
  return spec;
}

}  // namespace lamina::testing
