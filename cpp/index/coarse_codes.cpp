#include "index/coarse_codes.h"

#include <utility>

#include "base/buffer.h"
#include "base/thread_pool.h"

namespace lamina {
namespace {

constexpr uint64_t kEncodedInTurn = 1024;

struct Coarse {
  AlignedBuffer codes;
  std::shared_ptr<const void> columns;  // the part's other memory
};

}  // namespace

void add_coarse_codes(const VectorSpec& spec, Part& part, int threads) {
  const size_t stride = i4_stride(spec);
  if (part.codes == nullptr || stride >= part.code_stride) return;
  const auto coarse = std::make_shared<Coarse>();
  coarse->codes = AlignedBuffer(part.rows * stride, AlignedBuffer::Pages::kHuge);
  auto* const packed = reinterpret_cast<uint8_t*>(coarse->codes.data());
  part.i4 = train_i4(spec, part.codes, part.rows);
  parallel_for(0, part.rows, kEncodedInTurn, static_cast<unsigned>(std::max(threads, 0)),
               [&](uint64_t begin, uint64_t end, unsigned) {
                 for (uint64_t row = begin; row < end; ++row) {
                   encode_i4(spec, part.i4, part.codes + row * part.code_stride, packed + row * stride);
                 }
               });
  coarse->columns = std::move(part.owner);
  part.coarse_codes = packed;
  part.owner = coarse;
}

void drop_coarse_codes(Part& part) {
  if (part.coarse_codes == nullptr) return;
  part.coarse_codes = nullptr;
  part.i4 = {};
  part.owner = std::static_pointer_cast<const Coarse>(part.owner)->columns;
}

}  // namespace lamina
