// The growing end of a VectorSet: rows, and, from about a thousand of them on, a graph over them.
#pragma once

#include <cstdint>
#include <memory>

#include "index/rows.h"

namespace lamina {

// Immutable: what grows is behind the pointers. A head with another graph is another Head over the same rows.
class Head {
 public:
  Head(const VectorSpec& spec, std::shared_ptr<HeadRows> rows) : spec_(spec), rows_(std::move(rows)) {}

  const VectorSpec& spec() const { return spec_; }
  HeadRows& rows() const { return *rows_; }
  bool usable() const { return rows_->whole(); }  // writer: more rows can be added

 private:
  const VectorSpec spec_;
  std::shared_ptr<HeadRows> rows_;
};

// Writer. The head with all of its rows in its graph, if there are enough of them to have one.
std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int threads);

}  // namespace lamina
