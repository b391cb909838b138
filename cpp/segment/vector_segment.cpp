#include "segment/vector_segment.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/thread_pool.h"
#include "codes/neighbour.h"
#include "segment/finite.h"
#include "segment/made_order.h"
#include "segment/memory_budget.h"
#include "segment/vector_sections.h"

namespace lamina {
namespace {

constexpr uint64_t kCalibrationPointBytes = 16;
constexpr uint32_t kMaxEf = 65536;  // or the rows, if those are more

// That every u32 of `block` is below `limit`, or kNoRow if that is allowed.
void expect_below(const SegmentFile& file, const Section& section, uint64_t offset, Bytes block, uint32_t limit,
                  bool none_allowed) {
  const auto* values = reinterpret_cast<const uint32_t*>(block.data());
  const size_t count = block.size() / sizeof(uint32_t);
  const uint32_t shift = none_allowed ? 1 : 0;  // kNoRow + 1 is 0; limit + 1 is no overflow, kMaxRows sees to that
  const auto beyond = [=](uint32_t value) { return value + shift >= limit + shift; };
  uint32_t bad = 0;
  for (size_t i = 0; i < count; ++i) bad |= beyond(values[i]) ? 1U : 0U;
  if (bad == 0) return;
  size_t first = 0;
  while (!beyond(values[first])) ++first;
  file.corrupt(section.offset + offset + first * sizeof(uint32_t),
               text_of(section.name) + " below " + std::to_string(limit), std::to_string(values[first]));
}

void expect_finite(const SegmentFile& file, const Section& section, uint64_t offset, Bytes block) {
  const DType dtype = section.name == kVectors ? file.header().spec.dtype : DType::kF32;
  if (first_not_finite(block, dtype) == kAllFinite) return;
  file.corrupt(section.offset + offset, "numbers in " + text_of(section.name), "NaN or infinity");
}

class OpenVectors final : public VectorSegment, public Part::Guard, public MemoryBudget::Tenant {
 public:
  OpenVectors(std::shared_ptr<const Mapping> mapping, const FileRef& ref, const VectorSegmentInfo& info,
              const Hasher& hasher, uint64_t base, Budgeted budgeted)
      : file_(std::move(mapping), base, ref, hasher, budgeted), budget_(std::move(budgeted.budget)) {
    check_header(info);
    const SegmentHeader& header = file_.header();
    part_.rows = static_cast<uint32_t>(header.rows);
    part_.name = file_.path();
    part_.guard = this;
    set_columns();
    read_derived();
    vectors_.emplace(file_, file_.require(kVectors, static_cast<uint32_t>(header.spec.vector_bytes()), header.rows),
                     &expect_finite);
    part_.vectors = file_.data<std::byte>(vectors_->section());
    if (budget_) page_columns();
  }
  ~OpenVectors() override {
    if (budget_) budget_->deal();
  }

  const SegmentFile& file() const override { return file_; }
  const Part& part() const override { return part_; }

  void verify(const Hasher& hasher, const VerifyProgress& progress) const override {
    file_.verify(hasher, progress);
    check_order();
    check_index();
    vectors_->check_all();
    file_.require_whole();
  }

  // A write needs no more than this, so that one can be replayed where what is derived is damaged.
  const uint32_t* check_rids() const override {
    if (const uint32_t* known = order_.load(std::memory_order_acquire)) return known;
    file_.check_all(*rids_);
    const uint32_t* order = part_.rid_order;
    try {
      check_order();
    } catch (const CorruptionError&) {
      order = made_order_.keep(make_order()).data();
    }
    order_.store(order, std::memory_order_release);
    return order;
  }

  // No lock: threads that come at the same time each do the work, and a forked child finds nobody's lock held.
  void check_index() const override {
    if (index_good_.load(std::memory_order_acquire)) return;
    if (derived_damage_) std::rethrow_exception(derived_damage_);
    check_rids();
    for (const Section* section : plain_) file_.check_all(*section);
    if (const Section* norms = file_.find(kNorms)) {
      file_.check_all(*norms, [&](uint64_t offset, Bytes block) { expect_finite(file_, *norms, offset, block); });
    }
    if (part_.graph.entry != kNoRow) check_graph();
    index_good_.store(true, std::memory_order_release);
  }

  void require_whole() const override { file_.require_whole(); }

  uint64_t bytes_in_place() const override {
    uint64_t bytes = 0;
    for (const Section& section : file_.sections()) bytes += section.padded();
    for (const auto& column : columns_) bytes -= column->bytes();
    return bytes;
  }

  std::vector<PagedSection*> columns(MemoryBudget::Use use) override {
    std::vector<PagedSection*> found;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (uses_[i] == use) found.push_back(columns_[i].get());
    }
    return found;
  }

  void check_vectors(uint32_t first_row, uint32_t count) const override {
    const uint64_t row_bytes = vectors_->section().element_bytes;
    vectors_->check(first_row * row_bytes, count * row_bytes);
  }

 private:
  void check_header(const VectorSegmentInfo& info) const {
    const SegmentHeader& header = file_.header();
    ByteWriter expected;
    ByteWriter found;
    write_spec(expected, info.spec);
    write_spec(found, header.spec);
    if (header.kind != SegmentKind::kVectors) file_.corrupt(24, "a vector segment", "another kind");
    if (header.id_kind > 1) file_.corrupt(26, "id kind 0 or 1", std::to_string(header.id_kind));
    if (header.id != info.id) file_.corrupt(32, "segment id " + hex(info.id), hex(header.id));
    if (header.fingerprint != info.fingerprint) {
      file_.corrupt(64, "model fingerprint " + hex(std::as_bytes(std::span(info.fingerprint))),
                    hex(std::as_bytes(std::span(header.fingerprint))));
    }
    if (as_text(expected.view()) != as_text(found.view())) {
      file_.corrupt(96, "spec " + hex(expected.view()), hex(found.view()));
    }
  }

  // Damage here is told of when it matters, by check_index(): what is primary can be read without.
  void read_derived() {
    try {
      read_parameters();
      read_calibration();
      set_derived_columns();
    } catch (const CorruptionError&) {
      derived_damage_ = std::current_exception();
      part_.graph = {};
    }
  }

  void read_parameters() {
    const Section& section = file_.require(kParameters, 0, 1);
    file_.check_all(section);
    ByteReader in = file_.reader(section);
    part_.i8.offset = in.f32();
    part_.i8.scale = in.f32();
    const auto sane_scale = part_.i8.scale >= std::numeric_limits<float>::min() && std::isfinite(part_.i8.scale);
    if (!sane_scale || !std::isfinite(part_.i8.offset)) in.corrupt("a code's offset and scale", "none that can be");
    part_.i4.step = in.u32();
    part_.i4.low = in.u32();
    GraphView& graph = part_.graph;
    graph.degree = in.u32();
    graph.upper_degree = in.u32();
    graph.entry = in.u32();
    const uint32_t levels = read_count(in, sizeof(uint32_t));
    for (uint32_t level = 0; level < levels; ++level) {
      const uint32_t limit = level == 0 ? part_.rows : upper_counts_.back();
      upper_counts_.push_back(in.u32());
      if (upper_counts_.back() == 0 || upper_counts_.back() > limit) {
        in.corrupt("1 to " + std::to_string(limit) + " rows on level " + std::to_string(level + 1),
                   std::to_string(upper_counts_.back()));
      }
    }
    in.expect_end();
    graph.upper_counts = upper_counts_;
    const bool flat = file_.header().flavour == Flavour::kFlat;
    if (flat != (graph.entry == kNoRow) || flat != (graph.degree == 0) || levels > kMaxLevels ||
        (graph.upper_degree == 0) != (levels == 0) || graph.degree > kMaxDegree || graph.upper_degree > kMaxDegree) {
      in.corrupt("the parameters of a graph", "what none can have");
    }
    if (part_.i4.step > I4Params::kMaxStep || part_.i4.low > (part_.i4.step == 0 ? 0 : I4Params::kMaxLow) ||
        (part_.i4.step != 0 && (flat || file_.header().code_stride == 0))) {
      in.corrupt("a 4-bit code's step and low", "none that can be");
    }
    if (!flat && graph.entry >= part_.rows) in.corrupt("an entry that is a row", std::to_string(graph.entry));
  }

  void read_calibration() {
    const Section* section = file_.find(kCalibration);
    if (section == nullptr) file_.corrupt(0, "a section CALB", "none");
    file_.require(kCalibration, kCalibrationPointBytes, section->count);
    file_.check_all(*section);
    ByteReader in = file_.reader(*section);
    for (uint64_t i = 0; i < section->count; ++i) {
      Calibration::Point point{in.u32(), in.u32(), in.f32(), in.f32()};
      const bool sane = point.k > 0 && point.ef > 0 && point.ef <= std::max(part_.rows, kMaxEf) && point.recall >= 0 &&
                        point.recall <= 1 && std::isfinite(point.far);
      if (!sane) {
        in.corrupt("a measured recall", "k " + std::to_string(point.k) + ", ef " + std::to_string(point.ef) + ", far " +
                                            std::to_string(point.far));
      }
      part_.calibration.points.push_back(point);
    }
  }

  // A section that needs nothing but its checksums.
  template <class T>
  const T* plain(SectionName name, uint32_t element_bytes, uint64_t count) {
    plain_.push_back(&file_.require(name, element_bytes, count));
    return file_.data<T>(*plain_.back());
  }

  void set_columns() {
    const SegmentHeader& header = file_.header();
    rids_ = &file_.require(kRids, sizeof(uint64_t), header.rows);
    part_.rids = file_.data<uint64_t>(*rids_);
    part_.rid_order = file_.data<uint32_t>(file_.require(kRidOrder, sizeof(uint32_t), header.rows));
    if (header.id_kind == 1) part_.ids = plain<int64_t>(kIds, sizeof(int64_t), header.rows);
    part_.provenance = plain<Provenance>(kProvenance, sizeof(Provenance), header.rows);
  }

  void set_derived_columns() {
    const SegmentHeader& header = file_.header();
    const uint64_t rows = header.rows;
    if (header.spec.metric == Metric::kCosine) {
      part_.inverse_norms = file_.data<float>(file_.require(kNorms, sizeof(float), rows));
    }
    if (header.code_stride != 0) {
      part_.codes = plain<int8_t>(kCodes, static_cast<uint32_t>(header.code_stride), rows);
      part_.code_stride = header.code_stride;
    }
    if (part_.i4.step != 0) {
      part_.coarse_codes = plain<uint8_t>(kCoarseCodes, static_cast<uint32_t>(i4_stride(header.spec)), rows);
    }
    GraphView& graph = part_.graph;
    const bool by_neighbours = file_.find(kNeighbourCodes) != nullptr;
    if (by_neighbours && (header.code_stride == 0 || graph.entry == kNoRow)) {
      file_.corrupt(0, "a graph and a section CODE beside NCOD", "not both");
    }
    if (graph.entry == kNoRow) return;
    if (by_neighbours) {
      const size_t stride = neighbour_stride(header.spec, graph.degree);
      part_.neighbour_codes = plain<std::byte>(kNeighbourCodes, static_cast<uint32_t>(stride), rows);
    }
    uint64_t lists = 0;
    for (const uint32_t count : upper_counts_) lists += count;
    const uint64_t upper = upper_counts_.empty() ? 0 : upper_counts_.front();
    graph.level0 = file_.data<uint32_t>(file_.require(kLevel0, 4 * graph.degree, rows));
    graph.upper_rows = {file_.data<uint32_t>(file_.require(kUpperRows, 4, upper)), upper};
    graph.upper = file_.data<uint32_t>(file_.require(kUpper, 4 * graph.upper_degree, lists));
  }

  void page_columns() {
    using Use = MemoryBudget::Use;
    const auto page = [&](SectionName name, Use use) {
      columns_.push_back(std::make_unique<PagedSection>(file_, *file_.find(name)));
      uses_.push_back(use);
      return columns_.back().get();
    };
    const bool flat = part_.graph.entry == kNoRow;
    const bool coarse = part_.coarse_codes != nullptr;
    const Use walked = flat ? Use::kMeasured : Use::kWalked;
    if (!flat) paging_.level0 = page(kLevel0, walked);
    if (coarse) paging_.coarse_codes = page(kCoarseCodes, walked);
    if (part_.neighbour_codes != nullptr) paging_.neighbour_codes = page(kNeighbourCodes, walked);
    if (part_.codes != nullptr) paging_.codes = page(kCodes, coarse ? Use::kChosen : walked);
    paging_.vectors = page(kVectors, part_.codes == nullptr ? walked : Use::kMeasured);
    part_.paging = &paging_;
  }

  // Row numbers by ascending (rid, row): strictly, so that each row is there once.
  void check_order() const {
    const Section& section = *file_.find(kRidOrder);
    file_.check_all(
        section, [&](uint64_t offset, Bytes block) { expect_below(file_, section, offset, block, part_.rows, false); });
    parallel_for(1, part_.rows, 1 << 16, 0, [&](uint64_t begin, uint64_t end, unsigned) {
      for (uint64_t i = begin; i < end; ++i) {
        const uint32_t a = part_.rid_order[i - 1];
        const uint32_t b = part_.rid_order[i];
        if (part_.rids[a] < part_.rids[b] || (part_.rids[a] == part_.rids[b] && a < b)) continue;
        file_.corrupt(section, i, "rows by ascending rid", std::to_string(b) + " after " + std::to_string(a));
      }
    });
  }

  std::vector<uint32_t> make_order() const {
    std::vector<uint32_t> order(part_.rows);
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, {}, [&](uint32_t row) { return part_.rids[row]; });
    file_.require_whole();
    return order;
  }

  void check_graph() const {
    const GraphView& graph = part_.graph;
    const Section& level0 = *file_.find(kLevel0);
    file_.check_all(
        level0, [&](uint64_t offset, Bytes block) { expect_below(file_, level0, offset, block, part_.rows, true); });
    const Section& rows = *file_.find(kUpperRows);
    file_.check_all(rows,
                    [&](uint64_t offset, Bytes block) { expect_below(file_, rows, offset, block, part_.rows, false); });
    if (!graph.upper_rows.empty() && graph.upper_rows[0] != graph.entry) {
      file_.corrupt(rows, 0, "the entry " + std::to_string(graph.entry), std::to_string(graph.upper_rows[0]));
    }
    const Section& upper = *file_.find(kUpper);
    file_.check_all(upper);
    uint64_t offset = 0;
    for (const uint32_t count : graph.upper_counts) {
      const uint64_t length = uint64_t{count} * upper.element_bytes;
      expect_below(file_, upper, offset, file_.bytes(upper).subspan(offset, length), count, true);
      offset += length;
    }
  }

  SegmentFile file_;
  const std::shared_ptr<MemoryBudget> budget_;  // null: none, nor is there any of the three below
  std::vector<std::unique_ptr<PagedSection>> columns_;
  std::vector<MemoryBudget::Use> uses_;  // of these
  Paging paging_;
  Part part_;
  std::vector<uint32_t> upper_counts_;
  const Section* rids_ = nullptr;
  std::vector<const Section*> plain_;
  std::optional<CheckedSection> vectors_;
  std::exception_ptr derived_damage_;  // null: none that was seen at opening
  MadeOrder made_order_;
  mutable std::atomic<const uint32_t*> order_ = nullptr;  // null: not checked yet
  mutable std::atomic<bool> index_good_ = false;
};

}  // namespace

std::shared_ptr<const VectorSegment> open_vector_segment(std::shared_ptr<const Mapping> mapping, const FileRef& ref,
                                                         const VectorSegmentInfo& info, const Hasher& hasher,
                                                         Budgeted budgeted) {
  expect_whole_file(*mapping, ref);
  return open_vector_segment_at(0, std::move(mapping), ref, info, hasher, std::move(budgeted));
}

std::shared_ptr<const VectorSegment> open_vector_segment_at(uint64_t base, std::shared_ptr<const Mapping> mapping,
                                                            const FileRef& ref, const VectorSegmentInfo& info,
                                                            const Hasher& hasher, Budgeted budgeted) {
  const std::shared_ptr<MemoryBudget> budget = budgeted.budget;
  auto segment = std::make_shared<OpenVectors>(std::move(mapping), ref, info, hasher, base, std::move(budgeted));
  if (budget) budget->add(segment);
  return segment;
}

}  // namespace lamina
