#include "bindings/spec.h"

#include <stdexcept>

namespace lamina {

VectorSpec make_spec(uint32_t dim, const std::string& metric, const std::string& dtype, const std::string& codes,
                     const std::string& layout, uint32_t m, uint32_t ef_construction, uint64_t seed) {
  VectorSpec spec;
  spec.dim = dim;
  spec.metric = parse_metric(metric);
  spec.dtype = spec.metric == Metric::kHamming ? DType::kBits : parse_dtype(dtype);
  if (codes != "none" && codes != "i8") throw std::invalid_argument("unknown codes '" + codes + "': one of none, i8");
  spec.codes = codes == "i8" ? CodeKind::kI8 : CodeKind::kNone;
  spec.layout = parse_layout(layout);
  spec.m = m;
  spec.ef_construction = ef_construction;
  spec.seed = seed;
  validate(spec);
  return spec;
}

std::string name_of(CodeKind codes) { return codes == CodeKind::kI8 ? "i8" : "none"; }

}  // namespace lamina
