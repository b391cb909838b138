#include "index/huge_pages.h"

#include <algorithm>
#include <cstring>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "codes/neighbour.h"

namespace lamina {
namespace {

// Columns of `Part`, with their bytes; those that it has not are null, of no bytes.
struct HotColumns {
  HotColumns(const VectorSpec& spec, const Part& part)
      : codes{part.codes, part.rows * part.code_stride}, links{part.graph.level0, 0} {
    if (part.coarse_codes != nullptr) coarse = {part.coarse_codes, part.rows * i4_stride(spec)};
    if (part.graph.level0 == nullptr) return;
    links.bytes = size_t{part.rows} * part.graph.degree * sizeof(uint32_t);
    if (part.neighbour_codes == nullptr) return;
    neighbours = {part.neighbour_codes, part.rows * neighbour_stride(spec, part.graph.degree)};
  }

  struct Column {
    const void* data = nullptr;
    size_t bytes = 0;
  };
  size_t bytes() const { return codes.bytes + coarse.bytes + neighbours.bytes + links.bytes; }

  Column codes, coarse, neighbours, links;
};

// A thread copies whole pages, so that the system clears each on the processor that fills it.
AlignedBuffer copy_of(const HotColumns::Column& column, int threads) {
  AlignedBuffer copy(column.bytes, AlignedBuffer::Pages::kHuge);
  const auto* const from = static_cast<const std::byte*>(column.data);
  parallel_for(0, column.bytes, kHugePage, static_cast<unsigned>(std::max(threads, 0)),
               [&](uint64_t begin, uint64_t end, unsigned) {
                 std::memcpy(copy.data() + begin, from + begin, static_cast<size_t>(end - begin));
               });
  return copy;
}

struct Copies {
  AlignedBuffer codes, coarse, neighbours, links;
};

}  // namespace

std::shared_ptr<const Part> in_huge_pages(const VectorSpec& spec, const std::shared_ptr<const Part>& part,
                                          int threads) {
  if (part->guard == nullptr || part->original != nullptr || part->paging != nullptr) return part;
  part->guard->check_index();
  const HotColumns hot(spec, *part);
  if (part->codes == nullptr || hot.bytes() < kHugePage) return part;
  const auto copies = std::make_shared<Copies>();
  copies->codes = copy_of(hot.codes, threads);
  copies->coarse = copy_of(hot.coarse, threads);
  copies->neighbours = copy_of(hot.neighbours, threads);
  copies->links = copy_of(hot.links, threads);
  part->guard->require_whole();

  auto same = std::make_shared<Part>(*part);
  same->codes = reinterpret_cast<const int8_t*>(copies->codes.data());
  same->coarse_codes = reinterpret_cast<const uint8_t*>(copies->coarse.data());
  same->neighbour_codes = copies->neighbours.data();
  same->graph.level0 = reinterpret_cast<const uint32_t*>(copies->links.data());
  same->owner = copies;
  same->original = part;
  return same;
}

std::vector<std::shared_ptr<const Part>> copies_in_huge_pages(const View& view, int threads) {
  std::vector<std::shared_ptr<const Part>> copies;
  for (const View::SealedPart& sealed : view.parts) {
    auto same = in_huge_pages(view.spec, sealed.part, threads);
    if (same != sealed.part) copies.push_back(std::move(same));
  }
  return copies;
}

}  // namespace lamina
