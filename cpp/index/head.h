// The growing end of a VectorSet: rows, and, from about a thousand of them on, a graph over them.
#pragma once

#include <cstdint>
#include <memory>

#include "index/anchors.h"
#include "index/head_graph.h"
#include "index/rows.h"

namespace lamina {

// Immutable: what grows is behind the pointers. A head with another graph, or other anchors, is another Head over the
// same rows.
class Head {
 public:
  Head(const VectorSpec& spec, std::shared_ptr<HeadRows> rows, std::shared_ptr<HeadGraph> graph = nullptr,
       std::shared_ptr<Anchors> anchors = nullptr)
      : spec_(spec), rows_(std::move(rows)), graph_(std::move(graph)), anchors_(std::move(anchors)) {}

  const VectorSpec& spec() const { return spec_; }
  HeadRows& rows() const { return *rows_; }
  std::shared_ptr<const HeadRows> shared_rows() const { return rows_; }
  const HeadGraph* graph() const { return graph_.get(); }  // null: flat
  // Where its rows lie among those of this part; null where nobody has looked.
  const Anchors* anchors_in(const std::shared_ptr<const Part>& part) const {
    return anchors_ && anchors_->are_in(part) ? anchors_.get() : nullptr;
  }
  bool usable() const;  // writer: more rows can be added

 private:
  const VectorSpec spec_;
  friend std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int threads);
  friend std::shared_ptr<const Head> anchor_head(std::shared_ptr<const Head> head, const View& view, int threads);

  std::shared_ptr<HeadRows> rows_;
  std::shared_ptr<HeadGraph> graph_;
  std::shared_ptr<Anchors> anchors_;
};

// Below so many rows a scan is as fast as a walk.
inline constexpr uint32_t kFlatRows = 1000;

// Writer. The head with all of its rows in its graph, if there are enough of them to have one. It has a new graph where
// the codes of the old one do not fit what has come. Views with the old head go on with the old graph.
std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int threads);

// Writer. The head with its linked rows anchored in the largest part of the view, if that has a graph and more rows.
std::shared_ptr<const Head> anchor_head(std::shared_ptr<const Head> head, const View& view, int threads);

}  // namespace lamina
