// Where the rows of a growing head lie among those of the largest part: each hangs on the rows there that are nearest
// to it, so that the rows on which a search of the part ends say where the head's walk has to begin.
//
// One writer call at a time hangs rows, with several threads inside; readers gather meanwhile without a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "index/head_graph.h"
#include "index/part.h"
#include "index/pool.h"

namespace lamina {

class Anchors {
 public:
  explicit Anchors(const std::shared_ptr<const Part>& part);

  bool are_in(const std::shared_ptr<const Part>& part) const;  // or a copy of it

  // Writer: hangs the linked rows that do not hang yet. REQUIRES: are_in() the part. Throws CorruptionError and
  // std::bad_alloc; what hangs then is of no more use.
  void hang(const HeadGraph& graph, const Part& part, int threads);

  // Appends the rows that hang on those of a walk of the part, nearest first; some may come twice.
  void gather(const Pool& nearest, std::vector<uint32_t>& rows) const;

 private:
  static constexpr uint32_t kAnchors = 16;  // of a row

  void hang_row(uint32_t row, const Pool& nearest);

  const std::weak_ptr<const Part> part_;
  // A link is row x kAnchors + which of its anchors, plus 1; 0 is none.
  std::vector<std::atomic<uint32_t>> newest_;  // on a row of the part
  ChunkedRows older_;                          // of a row's links: what hung there before
  uint32_t hung_ = 0;                          // writer only
};

}  // namespace lamina
