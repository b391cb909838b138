// The growing end of a VectorSet: rows, and, from about a thousand of them on, a graph over them.
#pragma once

#include <cstdint>
#include <memory>

#include "index/head_graph.h"
#include "index/rows.h"

namespace lamina {

// Immutable: what grows is behind the pointers. A head with another graph is another Head over the same rows.
class Head {
 public:
  Head(const VectorSpec& spec, std::shared_ptr<HeadRows> rows, std::shared_ptr<HeadGraph> graph = nullptr)
      : spec_(spec), rows_(std::move(rows)), graph_(std::move(graph)) {}

  const VectorSpec& spec() const { return spec_; }
  HeadRows& rows() const { return *rows_; }
  std::shared_ptr<const HeadRows> shared_rows() const { return rows_; }
  const HeadGraph* graph() const { return graph_.get(); }  // null: flat
  bool usable() const;                                     // writer: more rows can be added

 private:
  const VectorSpec spec_;
  friend std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int threads);

  std::shared_ptr<HeadRows> rows_;
  std::shared_ptr<HeadGraph> graph_;
};

// Below so many rows a scan is as fast as a walk.
inline constexpr uint32_t kFlatRows = 1000;

// Writer. The head with all of its rows in its graph, if there are enough of them to have one. It has a new graph where
// the codes of the old one do not fit what has come. Views with the old head go on with the old graph.
std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int threads);

}  // namespace lamina
