#include "index/head_graph.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <thread>

#include "base/random.h"
#include "base/thread_pool.h"
#include "codes/exact.h"
#include "index/pool.h"

namespace lamina {
namespace {

constexpr uint64_t kLinksInTurn = 256;
constexpr uint32_t kTopLevel = 15;

uint64_t pack(HeadGraph::Entry entry) { return uint64_t{entry.level} << 32 | entry.row; }

}  // namespace

HeadGraph::HeadGraph(const VectorSpec& spec, std::shared_ptr<const HeadRows> rows, const I8Params& params)
    : spec_(spec),
      rows_(std::move(rows)),
      params_(params),
      codes_(i8_stride(spec)),
      level0_(size_t{spec.m} * 2 * sizeof(uint32_t)),
      upper_(size_t{spec.m} * sizeof(uint32_t), size_t{1} << 16),
      nodes_(sizeof(Node)),
      entry_(pack({kNoRow, 0})) {}

void HeadGraph::make_nodes(uint32_t count, std::span<const uint32_t> levels) {
  const uint32_t first = count_.load(std::memory_order_relaxed);
  if (count > Pool::kMaxRows) throw std::length_error("a graph holds fewer than 2^31 rows");
  if (has_i8(spec_)) codes_.reserve(count);
  level0_.reserve(count);
  nodes_.reserve(count);
  uint32_t upper = upper_used_;
  for (uint32_t row = first; row < count; ++row) {
    const uint32_t level = row < levels.size() ? levels[row] : draw_level(row);
    node(row) = {0, 0, upper, level};
    upper += level;
  }
  upper_.reserve(upper);
  for (uint32_t i = upper_used_; i < upper; ++i) {
    std::fill_n(reinterpret_cast<uint32_t*>(upper_.row(i)), spec_.m, kNoRow);
  }
  for (uint32_t row = first; row < count; ++row) std::fill_n(list(row, 0), degree(0), kNoRow);
  upper_used_ = upper;
}

void HeadGraph::encode(uint32_t count, int threads, std::span<const uint32_t> levels) {
  const uint32_t first = count_.load(std::memory_order_relaxed);
  make_nodes(count, levels);
  if (has_i8(spec_)) {
    parallel_for(first, count, kLinksInTurn, static_cast<unsigned>(std::max(threads, 0)),
                 [&](uint64_t begin, uint64_t end, unsigned) {
                   std::vector<float> x(spec_.dim);
                   for (uint64_t row = begin; row < end; ++row) encode_row(static_cast<uint32_t>(row), x.data());
                 });
  }
  count_.store(count, std::memory_order_release);
}

void HeadGraph::take(const Part& part, std::span<const uint32_t> kept, int threads, std::span<const uint32_t> levels) {
  if (part.codes == nullptr || part.i8.scale != params_.scale || part.i8.offset != params_.offset) {
    return encode(static_cast<uint32_t>(kept.size()), threads, levels);
  }
  make_nodes(static_cast<uint32_t>(kept.size()), levels);
  for (uint32_t row = 0; row < kept.size(); ++row) {
    std::memcpy(codes_.row(row), part.codes + size_t{kept[row]} * part.code_stride, codes_.stride());
  }
  count_.store(static_cast<uint32_t>(kept.size()), std::memory_order_release);
}

std::shared_ptr<HeadGraph> HeadGraph::copy_of(const HeadGraph& from, uint32_t count, int threads) {
  auto copy = std::make_shared<HeadGraph>(from.spec_, from.rows_, from.params_);
  copy->make_nodes(count);
  for (uint32_t row = 0; row < count; ++row) {
    if (from.is_twin(row)) copy->make_twin(row);
  }
  Entry entry = from.entry();
  if (entry.row >= count) entry = {0, 0};
  for (uint32_t row = 0; row < count; ++row) {
    const uint32_t level = copy->level_of(row);
    if (level > entry.level) entry = {row, level};
  }
  copy->set_entry(entry);
  parallel_for(0, count, kLinksInTurn, static_cast<unsigned>(std::max(threads, 0)),
               [&](uint64_t begin, uint64_t end, unsigned) {
                 for (uint64_t r = begin; r < end; ++r) copy->copy_row(from, static_cast<uint32_t>(r), count);
               });
  copy->count_.store(count, std::memory_order_release);
  copy->set_linked(count);
  return copy;
}

void HeadGraph::copy_row(const HeadGraph& from, uint32_t row, uint32_t count) {
  if (has_i8(spec_)) std::memcpy(codes_.row(row), from.codes_.row(row), codes_.stride());
  for (uint32_t level = 0; level <= level_of(row); ++level) {
    const uint32_t* theirs = from.list(row, level);
    uint32_t* mine = list(row, level);
    for (size_t slot = 0; slot < degree(level); ++slot) {
      uint32_t to = load(theirs + slot);
      // A chain goes on behind what is not copied of it.
      while (slot == 0 && to >= count && to != kNoRow && from.is_twin(to)) to = load(from.list(to, 0));
      if (to >= count) continue;
      store(mine++, to);
      if (level == 0) gain_link(to);
    }
  }
}

void HeadGraph::encode_row(uint32_t row, float* x) {
  load_vector(spec_, rows_->vector(row), x);
  const float factor = spec_.metric == Metric::kCosine ? rows_->inverse_norm(row) : 1;
  encode_i8(spec_, params_, x, factor, reinterpret_cast<int8_t*>(codes_.row(row)));
}

// Each level holds one row in m of the level below.
uint32_t HeadGraph::draw_level(uint32_t row) const {
  Random random(mix(spec_.seed + row));
  uint32_t level = 0;
  while (level < kTopLevel && random.uniform(spec_.m) == 0) ++level;
  return level;
}

HeadGraph::Entry HeadGraph::entry() const {
  const uint64_t packed = entry_.load(std::memory_order_acquire);
  return {static_cast<uint32_t>(packed), static_cast<uint32_t>(packed >> 32)};
}

void HeadGraph::set_entry(Entry entry) { entry_.store(pack(entry), std::memory_order_release); }

void HeadGraph::lock(uint32_t row) const {
  std::atomic_ref<uint32_t> locked(node(row).locked);
  while (locked.exchange(1, std::memory_order_acquire) != 0) {
    while (locked.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
  }
}

void HeadGraph::unlock(uint32_t row) const {
  std::atomic_ref<uint32_t>(node(row).locked).store(0, std::memory_order_release);
}

uint32_t HeadGraph::in_degree(uint32_t row) const {
  return std::atomic_ref<uint32_t>(node(row).in_degree).load(std::memory_order_relaxed);
}

void HeadGraph::gain_link(uint32_t row) const {
  std::atomic_ref<uint32_t>(node(row).in_degree).fetch_add(1, std::memory_order_relaxed);
}

bool HeadGraph::lose_link(uint32_t row, uint32_t keep) const {
  std::atomic_ref<uint32_t> links(node(row).in_degree);
  uint32_t seen = links.load(std::memory_order_relaxed);
  do {
    if (seen <= keep) return false;
  } while (!links.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed));
  return true;
}

}  // namespace lamina
