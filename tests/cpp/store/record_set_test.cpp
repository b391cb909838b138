// Goal: views of a record set stay what they were while the set goes on, and always agree with a plain map.
// Method: random puts and erases beside a toy model; old views are asked again at the end.
#include "store/record_set.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <string>

#include "base/random.h"
#include "store/record_codec.h"

namespace lamina {
namespace {

// Rows are their rid and version in text, so that a block can be told from every other.
struct NoCodec : RecordCodec {
  void check(Bytes, uint32_t) const override {}
  std::vector<std::byte> concat_take(std::span<const Slice>) const override { return {}; }
};

struct ToyRecord {
  uint64_t rid;
  uint64_t version;
  bool operator==(const ToyRecord&) const = default;
};
using ToyRecords = std::map<std::string, ToyRecord>;

void expect_same(const RecordView& view, const ToyRecords& toy) {
  EXPECT_EQ(view.live, toy.size());
  for (int i = 0; i < 60; ++i) {
    const std::string id = "id-" + std::to_string(i);
    const RecordRef where = view.find(std::string_view(id));
    ASSERT_EQ(where.found(), toy.contains(id)) << id;
    if (!where.found()) continue;
    const RecordFields fields = view.fields_at(where);
    EXPECT_EQ((ToyRecord{fields.rid, fields.version}), toy.at(id)) << id;
    EXPECT_EQ(std::get<std::string_view>(view.id_at(where)), id);
    EXPECT_EQ(fields.scope, fields.version % 2 == 0 ? "even" : "");
    const RecordRef by_rid = view.find_rid(fields.rid);
    EXPECT_EQ(by_rid.row, where.row);
    const BlockRef block = view.block_at(where, NoCodec());
    EXPECT_EQ(block.bytes.size(), fields.version % 100);
    EXPECT_LT(block.row, block.block_rows);
  }
  size_t scanned = 0;
  std::optional<RecordRef> last;
  for (;;) {
    const std::vector<RecordRef> some = view.scan(last, 7);
    if (some.empty()) break;
    for (RecordRef where : some) EXPECT_TRUE(toy.contains(std::string(std::get<std::string_view>(view.id_at(where)))));
    scanned += some.size();
    last = some.back();
  }
  EXPECT_EQ(scanned, toy.size());
}

TEST(RecordSetTest, ViewsOfAHeadAgreeWithAToyModel) {
  RecordSet set(IdKind::kString, {});
  ToyRecords toy;
  Random random(7);
  uint64_t next_rid = 0;
  std::vector<std::pair<std::shared_ptr<const RecordView>, ToyRecords>> history;

  for (uint64_t version = 1; version <= 300; ++version) {
    std::map<std::string, ToyRecord> batch;
    for (uint64_t i = random.uniform(8); i-- > 0;) {
      const std::string id = "id-" + std::to_string(random.uniform(60));
      batch[id] = {toy.contains(id) ? toy[id].rid : next_rid++, version};
    }
    if (version % 3 == 0) {
      std::vector<uint64_t> rids{1u << 30};  // one that never was
      for (const auto& [id, record] : batch) {
        if (toy.erase(id) != 0) rids.push_back(record.rid);
      }
      EXPECT_EQ(set.erase(rids), rids.size() - 1);
    } else {
      std::vector<std::string_view> ids;
      std::vector<RecordFields> fields;
      for (const auto& [id, record] : batch) {
        ids.push_back(id);
        fields.push_back({record.rid, version, 0, 0, {}, version % 2 == 0 ? "even" : ""});
        toy[id] = record;
      }
      set.put({{IdKind::kString, {}, ids}, fields, std::vector<std::byte>(version % 100)});
    }
    expect_same(*set.view(), toy);
    if (version % 10 == 0) history.emplace_back(set.view(), toy);
  }
  for (const auto& [view, then] : history) expect_same(*view, then);
}

TEST(RecordSetTest, IntegerIdsFindTheirRows) {
  RecordSet set(IdKind::kInt, {});
  const std::vector<int64_t> ids{5, -7, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  const std::vector<RecordFields> fields{{1}, {2}, {3}, {4}};
  set.put({{IdKind::kInt, ids, {}}, fields, {}});
  const auto view = set.view();
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(view->fields_at(view->find(ids[i])).rid, i + 1);
  EXPECT_FALSE(view->find(int64_t{6}).found());
  EXPECT_FALSE(view->find(std::string_view("5")).found());
}

TEST(RecordSetTest, RowsPutSinceAHeadWasSealedStayInTheHead) {
  RecordSet set(IdKind::kString, {});
  const auto put = [&](std::vector<std::string_view> ids, std::vector<RecordFields> fields) {
    const std::vector<std::byte> columns(fields[0].version);
    set.put({{IdKind::kString, {}, ids}, fields, columns});
  };
  put({"id-1", "id-2"}, {{1, 1}, {2, 1}});
  const std::vector<uint64_t> all{1, 2};
  set.erase(all);
  const auto before = set.view();  // nothing of it lives: there will be no segment
  put({"id-3", "id-4"}, {{3, 2, 0, 0, {}, "even"}, {4, 2, 0, 0, {}, "even"}});
  put({"id-5"}, {{5, 4, 0, 0, {}, "even"}});
  const std::vector<uint64_t> one{4};
  set.erase(one);
  const ToyRecords left{{"id-3", {3, 2}}, {"id-5", {5, 4}}};
  expect_same(*set.view(), left);
  set.replace_head(*before, nullptr);
  EXPECT_EQ(set.view()->head_rows, 3u);
  expect_same(*set.view(), left);
  put({"id-4"}, {{6, 6, 0, 0, {}, "even"}});
  expect_same(*set.view(), {{"id-3", {3, 2}}, {"id-4", {6, 6}}, {"id-5", {5, 4}}});
  EXPECT_THROW(set.replace_head(*before, nullptr), std::logic_error);
}

}  // namespace
}  // namespace lamina
