// What a filter needs of a snapshot: its parts with their columns, and the snapshot of the rows that pass.
#include <pybind11/stl.h>

#include <cstring>
#include <stdexcept>
#include <tuple>

#include "bindings/block.h"
#include "bindings/snapshot.h"
#include "store/narrow.h"
#include "store/record_head.h"

namespace lamina {

namespace py = pybind11;
using namespace py::literals;

namespace {

// The rows of one part that a filter has found to fail.
struct FailingRows {
  Bitmap rows;

  // From bits as Arrow has them: those of `count` rows that pass.
  static FailingRows from(uint64_t count, const py::buffer& passing) {
    const py::buffer_info bits = passing.request();
    const uint64_t needed = (count + 7) / 8;
    if (static_cast<uint64_t>(bits.size * bits.itemsize) < needed) throw std::out_of_range("fewer bits than rows");
    std::vector<uint64_t> words((count + 63) / 64);
    std::memcpy(words.data(), bits.ptr, needed);
    for (uint64_t& word : words) word = ~word;
    if (count % 64 != 0) words.back() &= (uint64_t{1} << count % 64) - 1;
    return {Bitmap::of(count, words)};
  }

  FailingRows followed_by(const FailingRows& more) const {
    std::vector<uint32_t> failing;
    more.rows.for_each([&](uint32_t row) { failing.push_back(static_cast<uint32_t>(rows.size()) + row); });
    return {rows.resized(rows.size() + more.rows.size()).with(failing)};
  }
};

std::vector<std::tuple<uint64_t, uint32_t, bool>> parts(const PythonSnapshot& self) {
  const RecordView& records = *self.snapshot->records;
  std::vector<std::tuple<uint64_t, uint32_t, bool>> parts;
  for (const auto& [segment, deleted] : records.parts) parts.emplace_back(segment->key(), (*segment)->rows(), true);
  if (records.head) parts.emplace_back(records.head->key(), records.head_rows, false);
  return parts;
}

std::vector<Block> blocks(const PythonSnapshot& self, size_t part, uint32_t first_row) {
  const RecordView& records = *self.snapshot->records;
  std::vector<Block> blocks;
  if (part < records.parts.size()) {
    const std::shared_ptr<const SealedRecords>& segment = records.parts[part].segment;
    for (uint32_t number = 0; number < (*segment)->block_count(); ++number) {
      blocks.push_back({segment->block(number)});
      blocks.back().ref.owner = segment;
    }
    return blocks;
  }
  if (part > records.parts.size()) throw std::out_of_range("part " + std::to_string(part) + " is not there");
  for (uint32_t row = first_row; row < records.head_rows; row += blocks.back().ref.block_rows) {
    blocks.push_back({records.head->block_at(row)});
    blocks.back().ref.owner = records.head;
  }
  return blocks;
}

std::optional<PythonSnapshot> narrowed(const PythonSnapshot& self, const std::string& key) {
  auto found = self.open->narrowed.find(self.snapshot, key);
  if (!found) return {};
  return PythonSnapshot{self.open, std::move(found)};
}

PythonSnapshot narrow_by(const PythonSnapshot& self, const std::string& key, const std::vector<FailingRows>& failing) {
  std::vector<Bitmap> rows;
  for (const FailingRows& part : failing) rows.push_back(part.rows);
  const RecordView& records = *self.snapshot->records;
  if (rows.size() == records.parts.size()) rows.emplace_back();
  const py::gil_scoped_release released;
  if (rows.back().size() > records.head_rows) rows.back() = rows.back().resized(records.head_rows);
  PythonSnapshot made{self.open, narrow(*self.snapshot, rows)};
  self.open->narrowed.keep(self.snapshot, key, made.snapshot);
  return made;
}

}  // namespace

void bind_filter(py::module_& m, py::class_<PythonSnapshot>& snapshot) {
  py::class_<FailingRows>(m, "FailingRows", "The rows of one part that fail a filter.")
      .def(py::init(&FailingRows::from), "rows"_a, "passing"_a)
      .def("followed_by", &FailingRows::followed_by, "more"_a)
      .def("__len__", [](const FailingRows& self) { return self.rows.size(); });
  snapshot
      .def("parts", &parts,
           "(key, rows, True) of each record segment in order; (key, rows, False) of the head, if there is one.")
      .def("blocks", &blocks, "part"_a, "first_row"_a = 0, py::call_guard<py::gil_scoped_release>(),
           "All blocks of a part in order; of the head, those from a row on that begins one.")
      .def("narrowed", &narrowed, "key"_a, "What narrow() made for this key, if it is still kept.")
      .def("narrow", &narrow_by, "key"_a, "failing"_a, "The snapshot without the rows that fail, one set a part.");
}

}  // namespace lamina
