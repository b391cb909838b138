#include "codes/metric.h"

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include "codes/i8.h"

namespace lamina {
namespace {

constexpr uint32_t kMaxDim = 65536;
constexpr uint32_t kMaxM = 512;

template <class T, size_t n>
T parse(std::string_view name, const std::array<std::pair<std::string_view, T>, n>& names, const char* what) {
  std::string known;
  for (const auto& [spelling, value] : names) {
    if (spelling == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(spelling);
  }
  throw std::invalid_argument("unknown " + std::string(what) + " '" + std::string(name) + "': one of " + known);
}

}  // namespace

Metric parse_metric(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Metric>, 9> kNames = {{
      {"cosine", Metric::kCosine},
      {"ip", Metric::kIp},
      {"l2", Metric::kL2},
      {"hamming", Metric::kHamming},
      {"cos", Metric::kCosine},
      {"dot", Metric::kIp},
      {"inner_product", Metric::kIp},
      {"l2sq", Metric::kL2},
      {"euclidean", Metric::kL2},
  }};
  return parse(name, kNames, "metric");
}

std::string_view name_of(Metric metric) {
  switch (metric) {
    case Metric::kCosine: return "cosine";
    case Metric::kIp: return "ip";
    case Metric::kL2: return "l2";
    case Metric::kHamming: return "hamming";
  }
  return "unknown";
}

DType parse_dtype(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, DType>, 3> kNames = {{
      {"float32", DType::kF32},
      {"float16", DType::kF16},
      {"bits", DType::kBits},
  }};
  return parse(name, kNames, "dtype");
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "float32";
    case DType::kF16: return "float16";
    case DType::kBits: return "bits";
  }
  return "unknown";
}

Layout parse_layout(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Layout>, 3> kNames = {{
      {"auto", Layout::kAuto},
      {"nodes", Layout::kNodes},
      {"neighbours", Layout::kNeighbours},
  }};
  return parse(name, kNames, "layout");
}

std::string_view name_of(Layout layout) {
  switch (layout) {
    case Layout::kAuto: return "auto";
    case Layout::kNodes: return "nodes";
    case Layout::kNeighbours: return "neighbours";
  }
  return "unknown";
}

void validate(const VectorSpec& spec) {
  const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
  if (spec.dim < 1 || spec.dim > kMaxDim) refuse("dim " + std::to_string(spec.dim) + " is not in 1..65536");
  const bool hamming = spec.metric == Metric::kHamming;
  if (hamming && spec.dim % 8 != 0) refuse("dim " + std::to_string(spec.dim) + " is not a multiple of 8 (hamming)");
  if (hamming != (spec.dtype == DType::kBits)) refuse("hamming, and nothing else, goes with packed bits");
  if (spec.layout == Layout::kNeighbours && !has_i8(spec)) {
    refuse("layout neighbours goes with 8-bit codes only, of floats in 16 to 32768 dimensions");
  }
  if (spec.m < 2 || spec.m > kMaxM) refuse("m " + std::to_string(spec.m) + " is not in 2..512");
  if (spec.ef_construction < 1) refuse("ef_construction 0 is not positive");
}

}  // namespace lamina
