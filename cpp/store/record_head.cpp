#include "store/record_head.h"

#include <cstring>
#include <functional>
#include <new>

namespace lamina {
namespace {

uint64_t hash_of(Id id) {
  if (const int64_t* number = std::get_if<int64_t>(&id)) return mix(static_cast<uint64_t>(*number));
  return mix(std::hash<std::string_view>{}(std::get<std::string_view>(id)));
}

}  // namespace

RecordHead::RecordHead(IdKind id_kind)
    : id_kind_(id_kind), key_(reserve_block_keys(1)), rows_storage_(sizeof(Row), size_t{64} << 10) {}

void RecordHead::put(NewRecords records) {
  const auto count = static_cast<uint32_t>(records.ids.size());
  rows_storage_.reserve(uint64_t{rows_} + count);
  size_t text_bytes = 0;
  for (std::string_view text : records.ids.strings) text_bytes += text.size();
  auto texts = std::make_unique<char[]>(text_bytes);
  char* text = texts.get();
  blocks_.push_back(
      std::make_shared<const Block>(Block{reserve_block_keys(1), count, std::move(records.columns), std::move(texts)}));

  for (uint32_t i = 0; i < count; ++i) {
    const RecordFields& fields = records.fields[i];
    Row row{fields.rid,
            fields.version,
            fields.created_us,
            fields.updated_us,
            fields.content_hash,
            intern_scope(fields.scope),
            0,
            text,
            0,
            i,
            blocks_.back().get()};
    const Id id = records.ids.at(i);
    if (id_kind_ == IdKind::kInt) {
      row.int_id = std::get<int64_t>(id);
    } else {
      const auto id_text = std::get<std::string_view>(id);
      row.text_size = static_cast<uint32_t>(id_text.size());
      std::memcpy(text, id_text.data(), id_text.size());
      text += id_text.size();
    }
    append(row);
  }
}

void RecordHead::append(const Row& row) {
  new (rows_storage_.row(rows_)) Row(row);
  by_id_.add(hash_of(id_of(row)));
  by_rid_.add(mix(row.rid));
  ++rows_;
}

std::shared_ptr<RecordHead> RecordHead::tail(uint32_t first) const {
  if (first == rows_) return nullptr;
  auto rest = std::make_shared<RecordHead>(id_kind_);
  rest->rows_storage_.reserve(rows_ - first);
  rest->scopes_ = scopes_;
  uint32_t begin = 0;
  for (const auto& block : blocks_) {
    if (begin >= first) rest->blocks_.push_back(block);
    begin += block->rows;
  }
  for (uint32_t row = first; row < rows_; ++row) rest->append(at(row));
  return rest;
}

uint32_t RecordHead::find(Id id, uint32_t visible, const Bitmap& deleted) const {
  return by_id_.find(hash_of(id),
                     [&](uint32_t row) { return row < visible && !deleted.test(row) && id_at(row) == id; });
}

uint32_t RecordHead::find_rid(uint64_t rid, uint32_t visible, const Bitmap& deleted) const {
  return by_rid_.find(mix(rid),
                      [&](uint32_t row) { return row < visible && !deleted.test(row) && at(row).rid == rid; });
}

Id RecordHead::id_of(const Row& row) const {
  if (id_kind_ == IdKind::kInt) return row.int_id;
  return std::string_view(row.text, row.text_size);
}

RecordFields RecordHead::fields_at(uint32_t row) const {
  const Row& r = at(row);
  return {r.rid, r.version, r.created_us, r.updated_us, r.content_hash, *r.scope};
}

BlockRef RecordHead::block_at(uint32_t row) const {
  const Row& r = at(row);
  return {r.block->key, r.block->bytes, r.block->rows, r.row_in_block, nullptr};
}

const std::string* RecordHead::intern_scope(std::string_view scope) {
  for (const auto& known : scopes_) {
    if (*known == scope) return known.get();
  }
  scopes_.push_back(std::make_shared<const std::string>(scope));
  return scopes_.back().get();
}

}  // namespace lamina
