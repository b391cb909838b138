// A graph that grows: the codes and links of a head. One writer call at a time adds rows, with several threads inside;
// readers walk it meanwhile without a lock.
//
// How that is safe: a list's slot is an atomic number. A row's code and own links are written before its number is
// released into the first list, and whoever acquires the number from there sees them. Lists change in place, so a
// reader may see half of an old list and half of a new one: both halves name rows that exist.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "codes/i8.h"
#include "index/part.h"
#include "index/rows.h"

namespace lamina {

class HeadGraph {
 public:
  // `rows` are walked themselves where the set has no codes.
  HeadGraph(const VectorSpec& spec, std::shared_ptr<const HeadRows> rows, const I8Params& params);

  // A copy of the graph that `from` is on its first `count` rows, all of which are linked.
  static std::shared_ptr<HeadGraph> copy_of(const HeadGraph& from, uint32_t count, int threads);

  const VectorSpec& spec() const { return spec_; }
  const HeadRows& stored() const { return *rows_; }
  const I8Params& params() const { return params_; }
  const ChunkedRows& codes() const { return codes_; }
  const int8_t* code(uint32_t row) const { return reinterpret_cast<const int8_t*>(codes_.row(row)); }

  // Writer: takes in the rows [rows(), count) of the columns, not linked yet. Their levels are drawn, but for those
  // that are given: of the first rows, while there are none. std::bad_alloc leaves rows() as it was.
  void encode(uint32_t count, int threads, std::span<const uint32_t> levels = {});

  // The same for the rows `kept` of a part, of whose levels none is drawn; their codes are copied where they are of the
  // same parameters. REQUIRES: there are no rows yet.
  void take(const Part& part, std::span<const uint32_t> kept, int threads, std::span<const uint32_t> levels);

  // Rows that links may name. Acquire.
  uint32_t rows() const { return count_.load(std::memory_order_acquire); }
  // Rows whose links are all in: the writer's.
  uint32_t linked() const { return linked_; }
  void set_linked(uint32_t count) { linked_ = count; }
  // Rows there were when the fit of the code was last looked at: the writer's.
  uint32_t fitted() const { return fitted_; }
  void set_fitted(uint32_t count) { fitted_ = count; }

  // The top row and its level; kNoRow while nothing is linked.
  struct Entry {
    uint32_t row;
    uint32_t level;
  };
  Entry entry() const;
  void set_entry(Entry entry);
  std::mutex& entry_mutex() { return entry_mutex_; }

  uint32_t degree(uint32_t level) const { return level == 0 ? spec_.m * 2 : spec_.m; }
  uint32_t level_of(uint32_t row) const { return node(row).level; }
  // A row that hangs on its double: on level 0 only, whatever was drawn for it. To be said before it is linked.
  bool is_twin(uint32_t row) const { return node(row).upper == kNoRow; }
  void make_twin(uint32_t row) {
    node(row).upper = kNoRow;
    node(row).level = 0;
  }
  uint32_t* list(uint32_t row, uint32_t level) const {
    return reinterpret_cast<uint32_t*>(level == 0 ? level0_.row(row) : upper_.row(node(row).upper + level - 1));
  }

  // Writers' lock on a row's lists.
  void lock(uint32_t row) const;
  void unlock(uint32_t row) const;

  // Links into a row on level 0.
  uint32_t in_degree(uint32_t row) const;
  void gain_link(uint32_t row) const;
  bool lose_link(uint32_t row, uint32_t keep) const;  // false, and nothing happens, if `keep` or fewer are left

  static uint32_t load(const uint32_t* slot) {
    return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(slot)).load(std::memory_order_acquire);
  }
  static void store(uint32_t* slot, uint32_t row) {
    std::atomic_ref<uint32_t>(*slot).store(row, std::memory_order_release);
  }

 private:
  struct Node {
    uint32_t locked;
    uint32_t in_degree;
    uint32_t upper;  // where its lists of level 1, 2, ... begin
    uint32_t level;
  };
  Node& node(uint32_t row) const { return *reinterpret_cast<Node*>(nodes_.row(row)); }
  uint32_t draw_level(uint32_t row) const;
  void make_nodes(uint32_t count, std::span<const uint32_t> levels = {});  // and empty lists
  void encode_row(uint32_t row, float* x);                                 // x: room for one vector
  void copy_row(const HeadGraph& from, uint32_t row, uint32_t count);

  const VectorSpec spec_;
  const std::shared_ptr<const HeadRows> rows_;
  const I8Params params_;
  ChunkedRows codes_;
  ChunkedRows level0_;
  ChunkedRows upper_;
  ChunkedRows nodes_;
  std::atomic<uint32_t> count_ = 0;
  std::atomic<uint64_t> entry_;
  std::mutex entry_mutex_;
  uint32_t upper_used_ = 0;  // writer only
  uint32_t linked_ = 0;      // writer only
  uint32_t fitted_ = 0;      // writer only
};

// One level of it, for a walk over rows below `rows`: what was linked since the walk began is passed by.
class HeadLevel {
 public:
  HeadLevel(const HeadGraph& graph, uint32_t level, uint32_t rows) : graph_(graph), level_(level), rows_(rows) {}

  uint32_t rows() const { return rows_; }
  size_t slots() const { return graph_.degree(level_); }
  const uint32_t* list(uint32_t row) const { return graph_.list(row, level_); }
  uint32_t load(const uint32_t* slot) const { return HeadGraph::load(slot); }
  uint32_t row(uint32_t node) const { return node; }
  void beyond(uint32_t) const {}
  void prefetch(uint32_t row) const { lamina::prefetch(list(row), slots() * sizeof(uint32_t)); }

 private:
  const HeadGraph& graph_;
  const uint32_t level_;
  const uint32_t rows_;
};

}  // namespace lamina
