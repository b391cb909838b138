// Goal: every name of a metric, a dtype and a layout is read as what it is written as, another is refused with those
// that there are, and a spec that cannot be is told. Method: each value there and back; specs wrong in one field.
#include "codes/metric.h"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "codes/specs.h"

namespace lamina {
namespace {

using testing::spec_of;

// What was wrong; empty: nothing.
std::string refusal(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

VectorSpec laid_out(Layout layout, VectorSpec spec) {
  spec.layout = layout;
  return spec;
}

TEST(Metric, NamesThereAndBack) {
  for (const Metric metric : {Metric::kCosine, Metric::kIp, Metric::kL2, Metric::kHamming}) {
    EXPECT_EQ(parse_metric(name_of(metric)), metric);
  }
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBits}) EXPECT_EQ(parse_dtype(name_of(dtype)), dtype);
  for (const Layout layout : {Layout::kAuto, Layout::kNodes, Layout::kNeighbours}) {
    EXPECT_EQ(parse_layout(name_of(layout)), layout);
  }
  EXPECT_EQ(parse_layout("auto"), Layout::kAuto);
  EXPECT_EQ(parse_layout("nodes"), Layout::kNodes);
  EXPECT_EQ(parse_layout("neighbours"), Layout::kNeighbours);
}

TEST(Metric, AnotherNameIsRefusedWithThoseThereAre) {
  for (const char* name : {"", "Auto", "neighbors", "nodes ", "unknown"}) {
    EXPECT_EQ(refusal([&] { parse_layout(name); }),
              "unknown layout '" + std::string(name) + "': one of auto, nodes, neighbours");
  }
  EXPECT_EQ(refusal([] { parse_dtype("int8"); }), "unknown dtype 'int8': one of float32, float16, bits");
}

TEST(Metric, NeighboursGoWithCodesOnly) {
  const auto answer = [](const VectorSpec& spec) { return refusal([&] { validate(spec); }); };
  VectorSpec no_codes = spec_of(64, Metric::kL2);
  no_codes.codes = CodeKind::kNone;
  const VectorSpec without[] = {no_codes, spec_of(15, Metric::kIp), spec_of(32769, Metric::kCosine),
                                spec_of(64, Metric::kHamming, DType::kBits)};
  for (const VectorSpec& spec : without) {
    EXPECT_EQ(answer(laid_out(Layout::kAuto, spec)), "");
    EXPECT_EQ(answer(laid_out(Layout::kNodes, spec)), "");
    EXPECT_EQ(answer(laid_out(Layout::kNeighbours, spec)),
              "layout neighbours goes with 8-bit codes only, of floats in 16 to 32768 dimensions");
  }
  for (const Metric metric : {Metric::kCosine, Metric::kIp, Metric::kL2}) {
    for (const uint32_t dim : {16U, 32768U}) {
      EXPECT_EQ(answer(laid_out(Layout::kNeighbours, spec_of(dim, metric, DType::kF16))), "");
    }
  }
}

}  // namespace
}  // namespace lamina
