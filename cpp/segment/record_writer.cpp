#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "segment/record_sections.h"
#include "segment/record_segment.h"

namespace lamina {
namespace {

constexpr auto kPrimary = SectionRole::kPrimary;
constexpr auto kDerived = SectionRole::kDerived;

template <class T>
void write_column(SegmentWriter& out, SectionName name, SectionRole role, const std::vector<T>& values) {
  out.begin(name, role, sizeof(T), values.size());
  out.append(as_bytes(values));
}

template <class T, class Get>
void write_field(SegmentWriter& out, SectionName name, std::span<const RecordFields> fields, Get get) {
  std::vector<T> values;
  values.reserve(fields.size());
  for (const RecordFields& row : fields) values.push_back(get(row));
  write_column(out, name, kPrimary, values);
}

// Row numbers by ascending id, which must be there once each.
std::vector<uint32_t> order_of(const Ids& ids) {
  std::vector<uint32_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto sort_by = [&](const auto& values) {
    std::ranges::sort(order, {}, [&](uint32_t row) { return values[row]; });
    const auto same = [&](uint32_t a, uint32_t b) { return values[a] == values[b]; };
    if (std::ranges::adjacent_find(order, same) != order.end()) throw std::invalid_argument("an id twice in a segment");
  };
  if (ids.kind == IdKind::kInt) {
    sort_by(ids.ints);
  } else {
    sort_by(ids.strings);
  }
  return order;
}

void write_ids(SegmentWriter& out, const Ids& ids) {
  if (ids.kind == IdKind::kInt) {
    out.begin(kIntIds, kPrimary, sizeof(int64_t), ids.ints.size());
    out.append(std::as_bytes(ids.ints));
    return;
  }
  std::vector<uint64_t> offsets = {0};
  for (const std::string_view id : ids.strings) offsets.push_back(offsets.back() + id.size());
  write_column(out, kIdOffsets, kPrimary, offsets);
  out.begin(kIdBytes, kPrimary, 1, offsets.back());
  for (const std::string_view id : ids.strings) out.append(as_bytes(id));
}

void write_scopes(SegmentWriter& out, std::span<const RecordFields> fields) {
  const auto [names, numbers] = ScopeTable::of(fields);
  ByteWriter text;
  for (const std::string_view name : names) text.string(name);
  out.begin(kScopeNames, kPrimary, 0, names.size());
  out.append(text.view());
  write_column(out, kScopes, kPrimary, numbers);
}

void write_columns(SegmentWriter& out, const std::vector<RecordRows::Block>& blocks) {
  std::vector<BlockEntry> index;
  uint64_t row = 0;
  uint64_t end = 0;
  for (const RecordRows::Block& block : blocks) {
    const uint64_t offset = round_up(end, kColumnAlignment);
    index.push_back({row, block.rows, offset, block.bytes.size()});
    row += block.rows;
    end = offset + block.bytes.size();
  }
  write_column(out, kBlocks, kPrimary, index);
  out.begin(kColumns, kPrimary, 1, end);
  uint64_t at = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    out.append(std::vector<std::byte>(index[i].offset - at));
    out.append(blocks[i].bytes);
    at = index[i].offset + index[i].length;
  }
}

void check(const RecordRows& rows) {
  const size_t count = rows.ids.size();
  if (count > kMaxRows) throw std::invalid_argument("too many rows for one segment: " + std::to_string(count));
  if (rows.fields.size() != count) throw std::invalid_argument("as many fields as ids are needed");
  const auto not_ascending = [](const RecordFields& a, const RecordFields& b) { return a.rid >= b.rid; };
  if (std::ranges::adjacent_find(rows.fields, not_ascending) != rows.fields.end()) {
    throw std::invalid_argument("rids must ascend in a segment");
  }
  uint64_t in_blocks = 0;
  for (const RecordRows::Block& block : rows.blocks) {
    if (block.rows == 0) throw std::invalid_argument("a block of no rows");
    in_blocks += block.rows;
  }
  if (in_blocks != count) throw std::invalid_argument("the blocks must hold each row once");
}

}  // namespace

FileRef write_record_segment(Publication& out, const RecordRows& rows, const SegmentId& id, const Hasher& hasher) {
  check(rows);
  const std::vector<uint32_t> order = order_of(rows.ids);
  SegmentHeader header;
  header.kind = SegmentKind::kRecords;
  header.flavour = Flavour::kRecords;
  header.id_kind = static_cast<uint8_t>(rows.ids.kind);
  header.id = id;
  header.rows = rows.ids.size();

  SegmentWriter writer(out, header, hasher);
  write_field<uint64_t>(writer, kRecordRids, rows.fields, [](const RecordFields& row) { return row.rid; });
  write_ids(writer, rows.ids);
  write_column(writer, kIdOrder, kDerived, order);
  write_field<ContentHash>(writer, kHashes, rows.fields, [](const RecordFields& row) { return row.content_hash; });
  write_field<RecordTimes>(writer, kTimes, rows.fields, [](const RecordFields& row) {
    return RecordTimes{row.created_us, row.updated_us};
  });
  write_field<uint64_t>(writer, kVersions, rows.fields, [](const RecordFields& row) { return row.version; });
  write_scopes(writer, rows.fields);
  write_columns(writer, rows.blocks);
  return writer.finish();
}

}  // namespace lamina
