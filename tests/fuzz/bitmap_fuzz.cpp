#include "mutator.h"
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lamina::fuzz::bitmap(std::as_bytes(std::span(data, size)));
  return 0;
}
