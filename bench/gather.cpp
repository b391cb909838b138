// How fast this machine reads lines of memory at random places that it was told of in time: what a walk of a graph can
// at best do. One core; the set lies in huge pages where the system has them; the best of some rounds.
//
//   build/release/gather MEGABYTES LINES        prints 64-byte lines a nanosecond, LINES side by side at each place
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace {

using namespace lamina;
using Clock = std::chrono::steady_clock;

constexpr size_t kLine = 64;
constexpr size_t kAhead = 16;  // places are asked for so early
constexpr size_t kGathered = size_t{1} << 22;
constexpr int kRounds = 7;

// The sum of a word of each line, so that each is read.
uint64_t gather(const std::byte* set, const std::vector<uint32_t>& places, size_t lines) {
  uint64_t sum = 0;
  const size_t bytes = lines * kLine;
  for (size_t i = 0; i < places.size(); ++i) {
    prefetch(set + places[std::min(i + kAhead, places.size() - 1)] * bytes, bytes);
    const auto* words = reinterpret_cast<const uint64_t*>(set + places[i] * bytes);
    for (size_t line = 0; line < lines; ++line) sum += words[line * (kLine / sizeof(uint64_t))];
  }
  return sum;
}

}  // namespace

int main(int count, char** arguments) {
  const size_t megabytes = count == 3 ? std::strtoull(arguments[1], nullptr, 10) : 0;
  const size_t lines = count == 3 ? std::strtoull(arguments[2], nullptr, 10) : 0;
  const size_t rows = lines == 0 ? 0 : (megabytes << 20) / (lines * kLine);
  if (rows == 0) {
    std::fputs("usage: gather MEGABYTES LINES, both positive\n", stderr);
    return 2;
  }
  AlignedBuffer set(rows * lines * kLine, AlignedBuffer::Pages::kHuge);
  std::fill_n(set.data(), set.size(), std::byte{1});
  Random random(7);
  std::vector<uint32_t> places(std::max<size_t>(kGathered / lines, 1));
  for (uint32_t& place : places) place = static_cast<uint32_t>(random.uniform(rows));
  double best = 0;
  uint64_t sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto began = Clock::now();
    sum += gather(set.data(), places, lines);
    const std::chrono::duration<double, std::nano> took = Clock::now() - began;
    best = std::max(best, static_cast<double>(places.size() * lines) / took.count());
  }
  std::printf("%.4f\n", best);
  return sum == 0 ? 1 : 0;
}
