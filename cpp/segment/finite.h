// Numbers read from files must be numbers: one NaN makes every order that it takes part in undefined.
#pragma once

#include "base/bytes.h"
#include "codes/metric.h"

namespace lamina {

inline constexpr size_t kAllFinite = static_cast<size_t>(-1);

// The first element of `elements` that is NaN or infinite, else kAllFinite. Any alignment; bits are always finite.
size_t first_not_finite(Bytes elements, DType dtype);

}  // namespace lamina
