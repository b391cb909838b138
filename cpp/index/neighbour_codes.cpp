#include "index/neighbour_codes.h"

#include <algorithm>
#include <utility>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "codes/neighbour.h"

namespace lamina {
namespace {

constexpr uint64_t kEncodedInTurn = 256;

struct Neighbours {
  mutable AlignedBuffer codes;
  std::shared_ptr<const void> columns;  // the part's other memory
};

// Encodes one row after another; load(row, x) writes a row's code, rotated.
template <class Load>
class Encoder {
 public:
  Encoder(const VectorSpec& spec, const Part& part, std::byte* codes, const Load& load)
      : spec_(spec), graph_(part.graph), codes_(codes), load_(load), x_((graph_.degree + 1) * rotated_dim(spec)) {}

  void encode(size_t row) {
    const size_t dim = rotated_dim(spec_);
    const uint32_t* const links = graph_.level0 + row * graph_.degree;
    float* x = x_.data();
    load_(static_cast<uint32_t>(row), x);
    list_.clear();
    for (size_t slot = 0; slot < graph_.degree && links[slot] != kNoRow; ++slot) {
      load_(links[slot], x += dim);
      list_.push_back(x);
    }
    encode_neighbours(spec_, graph_.degree, x_.data(), list_, codes_ + row * neighbour_stride(spec_, graph_.degree));
  }

 private:
  const VectorSpec& spec_;
  const GraphView& graph_;
  std::byte* const codes_;
  const Load& load_;
  std::vector<float> x_;
  std::vector<const float*> list_;
};

void load_rotated(const VectorSpec& spec, const Part& part, const Rotation& rotation, uint32_t row, float* x) {
  const int8_t* const code = part.codes + size_t{row} * part.code_stride;
  std::copy_n(code, spec.dim, x);
  std::fill(x + spec.dim, x + rotation.dim(), 0.0F);
  rotation.apply(x);
}

}  // namespace

void add_neighbour_codes(const VectorSpec& spec, Part& part, int threads) {
  const Rotation rotation(rotated_dim(spec));
  const size_t dim = rotation.dim();
  const auto workers = static_cast<unsigned>(std::max(threads, 0));
  AlignedBuffer all(part.rows * dim * sizeof(f16));  // rows rotated, each once
  auto* const halves = reinterpret_cast<f16*>(all.data());
  parallel_for(0, part.rows, kEncodedInTurn, workers, [&](uint64_t begin, uint64_t end, unsigned) {
    std::vector<float> x(dim);
    for (uint64_t row = begin; row < end; ++row) {
      load_rotated(spec, part, rotation, static_cast<uint32_t>(row), x.data());
      kernels().f32_to_f16(x.data(), halves + row * dim, dim);
    }
  });
  const auto load = [&](uint32_t row, float* x) { kernels().f16_to_f32(halves + size_t{row} * dim, x, dim); };

  const auto neighbours = std::make_shared<Neighbours>();
  neighbours->codes = AlignedBuffer(part.rows * neighbour_stride(spec, part.graph.degree), AlignedBuffer::Pages::kHuge);
  std::byte* const codes = neighbours->codes.data();
  parallel_for(0, part.rows, kEncodedInTurn, workers, [&](uint64_t begin, uint64_t end, unsigned) {
    Encoder encoder(spec, part, codes, load);
    for (uint64_t row = begin; row < end; ++row) encoder.encode(row);
  });
  neighbours->columns = std::move(part.owner);
  part.neighbour_codes = codes;
  part.owner = neighbours;
}

void encode_again(const VectorSpec& spec, const Part& part, uint32_t row) {
  const Rotation rotation(rotated_dim(spec));
  const auto load = [&](uint32_t r, float* x) { load_rotated(spec, part, rotation, r, x); };
  std::byte* const codes = std::static_pointer_cast<const Neighbours>(part.owner)->codes.data();
  Encoder(spec, part, codes, load).encode(row);
}

}  // namespace lamina
