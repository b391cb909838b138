#include "index/head.h"

#include <algorithm>

#include "base/error.h"
#include "index/builder.h"

namespace lamina {
namespace {

// Looks at a sample of all rows whenever there is a quarter more of them.
bool code_fits(HeadGraph& graph, const HeadRows& rows, uint32_t count) {
  if (!has_i8(graph.spec()) || count - graph.fitted() < graph.fitted() / 4) return true;
  graph.set_fitted(count);
  return codes_fit(graph.spec(), graph.params(), rows, count);
}

}  // namespace

// A write that failed half-way has left rows that are encoded and not linked.
bool Head::usable() const { return rows_->whole() && (graph_ == nullptr || graph_->linked() == graph_->rows()); }

std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int threads) {
  const VectorSpec& spec = head->spec();
  const uint32_t count = head->rows_->size();
  if (count < kFlatRows) return head;
  if (head->graph_ && code_fits(*head->graph_, *head->rows_, count)) {
    head->graph_->encode(count, threads);
    link_rows(*head->graph_, threads);
    return head;
  }
  const I8Params params = has_i8(spec) ? train_codes(spec, *head->rows_, count) : I8Params{};
  const auto graph = std::make_shared<HeadGraph>(spec, head->rows_, params);
  graph->encode(count, threads);
  graph->set_fitted(count);
  link_rows(*graph, threads);
  return std::make_shared<const Head>(spec, head->rows_, graph);
}

std::shared_ptr<const Head> anchor_head(std::shared_ptr<const Head> head, const View& view, int threads) {
  if (!head->graph_ || view.parts.empty()) return head;
  const auto fewer = [](const View::SealedPart& a, const View::SealedPart& b) { return a.part->rows < b.part->rows; };
  const auto& part = std::max_element(view.parts.begin(), view.parts.end(), fewer)->part;
  if (part->graph.entry == kNoRow || part->rows <= head->rows_->size()) return head;
  const bool are_there = head->anchors_in(part) != nullptr;
  const auto anchors = are_there ? head->anchors_ : std::make_shared<Anchors>(part);
  try {
    anchors->hang(*head->graph_, *part, threads);
  } catch (const CorruptionError&) {  // for a search of that part to say
    return std::make_shared<const Head>(head->spec_, head->rows_, head->graph_);
  }
  return are_there ? head : std::make_shared<const Head>(head->spec_, head->rows_, head->graph_, anchors);
}

}  // namespace lamina
