#include "store/sealed_files.h"

#include <algorithm>

#include "segment/bitmap_file.h"
#include "segment/record_segment.h"

namespace lamina {
namespace {

// A block is read and decoded whole to get at one row of it.
constexpr size_t kBlockRows = 4096;
constexpr size_t kBlockTarget = size_t{1} << 20;

struct LiveRow {
  uint64_t rid;
  RecordRef where;
};

std::vector<LiveRow> rows_by_rid(const RecordView& view) {
  std::vector<LiveRow> rows;
  rows.reserve(view.live);
  std::vector<RecordRef> found;
  std::optional<RecordRef> after;
  while (!(found = view.scan(after, kBlockRows)).empty()) {
    for (const RecordRef where : found) rows.push_back({view.fields_at(where).rid, where});
    after = found.back();
  }
  std::sort(rows.begin(), rows.end(), [](const LiveRow& a, const LiveRow& b) { return a.rid < b.rid; });
  return rows;
}

// The columns of rows in a given order, block by block. Rows of an updated collection come from an old block and a new
// one by turns: what is wanted of each is taken at once, and all of it put in order.
class ColumnBlocks {
 public:
  ColumnBlocks(const RecordView& view, const RecordCodec& codec) : view_(view), codec_(codec) {}

  void add(RecordRef where) {
    const BlockRef block = view_.block_at(where, codec_);
    const size_t row_bytes = block.bytes.size() / std::max(block.block_rows, 1U);
    if (sources_.size() == kBlockRows || (!sources_.empty() && bytes_ + row_bytes > kBlockTarget)) finish();
    const auto source = static_cast<size_t>(std::find(keys_.begin(), keys_.end(), block.key) - keys_.begin());
    if (source == keys_.size()) {
      keys_.push_back(block.key);
      slices_.push_back({block.bytes, {}});
    }
    slices_[source].rows.push_back(block.row);
    sources_.push_back(source);
    bytes_ += row_bytes;
  }

  void finish() {
    if (sources_.empty()) return;
    owned_.push_back(codec_.concat_take(slices_));
    if (!std::is_sorted(sources_.begin(), sources_.end())) {
      const RecordCodec::Slice in_order{owned_.back(), order()};
      owned_.back() = codec_.concat_take({&in_order, 1});
    }
    blocks_.push_back({owned_.back(), static_cast<uint32_t>(sources_.size())});
    keys_.clear();
    slices_.clear();
    sources_.clear();
    bytes_ = 0;
  }

  std::vector<RecordRows::Block> blocks() const { return blocks_; }

 private:
  // Where each row is when the slices stand one behind the other.
  std::vector<uint32_t> order() const {
    std::vector<uint32_t> next(1, 0);
    for (const RecordCodec::Slice& slice : slices_)
      next.push_back(next.back() + static_cast<uint32_t>(slice.rows.size()));
    std::vector<uint32_t> order;
    for (const size_t source : sources_) order.push_back(next[source]++);
    return order;
  }

  const RecordView& view_;
  const RecordCodec& codec_;
  std::vector<uint64_t> keys_;  // of the slices' blocks
  std::vector<RecordCodec::Slice> slices_;
  std::vector<size_t> sources_;  // of each row, the slice
  size_t bytes_ = 0;
  std::vector<std::vector<std::byte>> owned_;
  std::vector<RecordRows::Block> blocks_;
};

SegmentRef ref_to(const FileRef& file, const SegmentId& id, uint64_t rows) {
  SegmentRef ref;
  ref.file = file;
  ref.id = id;
  ref.rows = rows;
  ref.live = rows;
  return ref;
}

}  // namespace

RecordView head_of(const RecordView& view) {
  RecordView head = view;
  head.parts.clear();
  head.live = head.head_rows - head.head_deleted.count();
  return head;
}

RecordView parts_of(const RecordView& view, std::span<const size_t> which) {
  RecordView parts;
  parts.id_kind = view.id_kind;
  for (const size_t i : which) {
    parts.parts.push_back(view.parts[i]);
    parts.live += (*view.parts[i].segment)->rows() - view.parts[i].deleted.count();
  }
  return parts;
}

View parts_of(const View& view, std::span<const size_t> which) {
  View parts;
  parts.spec = view.spec;
  for (const size_t i : which) {
    parts.parts.push_back(view.parts[i]);
    parts.live += view.parts[i].part->rows - view.parts[i].deleted.count();
  }
  return parts;
}

WrittenSegment<SealedRecords> SegmentFiles::write_records(const RecordView& view) {
  const std::vector<LiveRow> rows = rows_by_rid(view);
  if (rows.empty()) return {};
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
  std::vector<RecordFields> fields;
  ColumnBlocks columns(view, codec_);
  for (const LiveRow& row : rows) {
    const Id id = view.id_at(row.where);
    if (view.id_kind == IdKind::kInt) {
      ints.push_back(std::get<int64_t>(id));
    } else {
      strings.push_back(std::get<std::string_view>(id));
    }
    fields.push_back(view.fields_at(row.where));
    columns.add(row.where);
  }
  columns.finish();
  for (const RecordView::SealedPart& part : view.parts) (*part.segment)->file().require_whole();
  const RecordRows content{{view.id_kind, ints, strings}, fields, columns.blocks()};
  const SegmentId id = random_segment_id();
  const FileRef file =
      added_.add(kRecordFile, [&](Publication& out) { return write_record_segment(out, content, id, open_.hasher()); });
  const SegmentRef ref = ref_to(file, id, rows.size());
  return {ref, open_.records(ref, view.id_kind)};
}

WrittenSegment<Part> SegmentFiles::write_vectors(std::shared_ptr<const Part> part, const Generation& generation) {
  if (!part || part->rows == 0) return {};
  const VectorSegmentInfo info{random_segment_id(), generation.fingerprint, generation.spec};
  const FileRef file =
      added_.add(kVectorFile, [&](Publication& out) { return write_vector_segment(out, *part, info, open_.hasher()); });
  const SegmentRef ref = ref_to(file, info.id, part->rows);
  const auto segment = open_.vectors(ref, generation);
  return {ref, std::shared_ptr<const Part>(segment, &segment->part())};
}

void SegmentFiles::write_deleted(SegmentRef& ref, const Bitmap& deleted) {
  if (ref.rows - deleted.count() == ref.live) return;
  ref.live = ref.rows - deleted.count();
  ref.deleted = added_.add_document(kBitmapFile, encode_bitmap(deleted, ref.id));
}

FileRef SegmentFiles::write_manifest(const Manifest& manifest) {
  return added_.add_document(kManifestFile, encode_manifest(manifest));
}

}  // namespace lamina
