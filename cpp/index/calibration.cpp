#include <algorithm>

#include "index/part.h"

namespace lamina {

uint32_t Calibration::ef_for(float, uint32_t k) const { return std::max<uint32_t>(64, 2 * k); }

}  // namespace lamina
