// _core.Index: one VectorSet whose record numbers are the ids themselves.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <limits>
#include <mutex>
#include <random>
#include <stdexcept>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/hasher.h"
#include "bindings/search.h"
#include "bindings/spec.h"
#include "index/huge_pages.h"
#include "index/id_filter.h"
#include "segment/index_file.h"

namespace lamina {
namespace {

using namespace py::literals;

constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();

std::vector<uint64_t> rids_of(std::span<const int64_t> ids) { return {ids.begin(), ids.end()}; }

void refuse_repeated(std::span<const int64_t> ids) {
  if (std::ranges::is_sorted(ids, std::less_equal<>())) return;
  std::vector<int64_t> sorted(ids.begin(), ids.end());
  std::ranges::sort(sorted);
  const auto twice = std::ranges::adjacent_find(sorted);
  if (twice != sorted.end()) throw DuplicateIdError("id " + std::to_string(*twice) + " stands twice in this call");
}

// Threads: any. Writers (add, erase, optimize, copy_to_huge_pages, save) wait for each other; readers take the newest
// view.
class Index {
 public:
  Index(const VectorSpec& spec, int threads) : threads_(threads), set_(spec) {}
  Index(IndexFile file, int threads)
      : threads_(threads),
        set_(file.info.spec, std::move(file.parts)),
        next_id_(std::bit_cast<int64_t>(file.info.next_rid)) {}

  int threads() const { return threads_; }

  const VectorSpec& spec() const { return set_.spec(); }
  std::shared_ptr<const View> view() const { return set_.view(); }

  // `ids` null: fills in `count` new ones. A failure has added nothing.
  void add(const void* vectors, size_t count, std::span<int64_t> ids, bool given) {
    const std::lock_guard lock(writer_);
    if (given) {
      refuse_known(ids);
    } else {
      if (count > static_cast<size_t>(kHighest - next_id_)) throw std::invalid_argument("no ids are left: give ids=");
      std::ranges::generate(ids, [id = next_id_]() mutable { return id++; });
    }
    const std::vector<uint64_t> rids = rids_of(ids);
    set_.add({.count = count, .vectors = vectors, .rids = rids.data(), .ids = ids.data()}, threads_);
    if (count != 0) next_id_ = std::max(next_id_, std::ranges::max(ids) + (std::ranges::max(ids) != kHighest));
  }

  size_t erase(std::span<const int64_t> ids) {
    const std::lock_guard lock(writer_);
    return set_.erase(rids_of(ids));
  }

  void optimize() {
    const std::lock_guard lock(writer_);
    const auto before = set_.view();
    const bool one = before->parts.size() == 1 && before->head == nullptr && before->parts[0].deleted.count() == 0;
    if (before->live == 0 || (one && !before->parts[0].part->calibration.points.empty())) return;
    set_.replace_parts(*before, VectorSet::merge(*before, threads_));
  }

  void copy_to_huge_pages() {
    const auto copies = copies_in_huge_pages(*view(), threads_);
    const std::lock_guard lock(writer_);
    set_.place_copies(copies);
  }

  void save(const std::string& path) {
    const std::lock_guard lock(writer_);
    const auto now = set_.view();
    std::vector<View::SealedPart> parts = now->parts;
    if (auto head = set_.freeze_head(threads_)) parts.push_back({std::move(head), now->head_deleted});
    write_file(path, {.spec = spec(), .has_ids = true, .next_rid = std::bit_cast<uint64_t>(next_id_), .settings = {}},
               parts);
  }

 private:
  void refuse_known(std::span<const int64_t> ids) const {
    refuse_repeated(ids);
    const auto now = set_.view();
    for (const int64_t id : ids) {
      View::RowRef where;
      if (now->find(static_cast<uint64_t>(id), &where)) {
        throw DuplicateIdError("id " + std::to_string(id) + " is in the index already: delete it first, to replace it");
      }
    }
  }

  // Scratch is beside the target: the name never stands for half a file.
  static void write_file(const std::string& path, const IndexFileInfo& info,
                         const std::vector<View::SealedPart>& parts) {
    const std::filesystem::path target(path);
    const std::string directory = target.has_parent_path() ? target.parent_path().string() : ".";
    std::random_device random;
    std::vector<SegmentId> ids(parts.size());
    for (SegmentId& id : ids) std::ranges::generate(id, [&random] { return static_cast<std::byte>(random() & 0xFF); });
    Publication out(FileSystem::posix(), directory, target.filename().string());
    write_index_file(out, info, parts, ids, PythonHasher());
    out.commit(directory, target.filename().string());
  }

  const int threads_;
  VectorSet set_;
  int64_t next_id_ = 0;
  std::mutex writer_;
};

std::unique_ptr<Index> make(uint32_t dim, const std::string& metric, const std::string& dtype, const std::string& codes,
                            const std::string& layout, uint32_t m, uint32_t ef_construction, uint64_t seed,
                            int threads) {
  return std::make_unique<Index>(make_spec(dim, metric, dtype, codes, layout, m, ef_construction, seed), threads);
}

std::unique_ptr<Index> open(const std::string& path, bool verify, int threads) {
  const py::gil_scoped_release released;
  const PythonHasher hasher;
  IndexFile file = open_index_file(FileSystem::posix().map(path), hasher);
  if (verify) file.verify(hasher, {});
  return std::make_unique<Index>(std::move(file), threads);
}

Int64Array add(Index& index, const py::array& vectors, const std::optional<Int64Array>& given) {
  const VectorRows rows = vectors_of(vectors, index.spec().metric);
  check_vectors(rows, index.spec());
  if (given && static_cast<size_t>(given->size()) != rows.count) {
    throw std::invalid_argument(std::to_string(rows.count) + " vectors with " + std::to_string(given->size()) + " ids");
  }
  Int64Array ids(static_cast<py::ssize_t>(rows.count));
  if (given) std::ranges::copy(span_of(*given), ids.mutable_data());
  const std::span<int64_t> all(ids.mutable_data(), rows.count);
  const py::gil_scoped_release released;
  index.add(rows.data, rows.count, all, given.has_value());
  return ids;
}

py::array get(const Index& index, const Int64Array& ids) {
  const auto view = index.view();
  py::array vectors = new_vectors(static_cast<size_t>(ids.size()), index.spec());
  auto* out = static_cast<std::byte*>(vectors.mutable_data());
  const size_t stride = static_cast<size_t>(vectors.strides(0));
  const std::span<const int64_t> wanted = span_of(ids);
  const py::gil_scoped_release released;
  for (const int64_t id : wanted) {
    View::RowRef where;
    if (!view->find(static_cast<uint64_t>(id), &where))
      throw NotFoundError("id " + std::to_string(id) + " is not in the index");
    read_vector(*view, where, out);
    out += stride;
  }
  return vectors;
}

Int64Array ids(const Index& index) {
  const auto view = index.view();
  std::vector<int64_t> all;
  {
    const py::gil_scoped_release released;
    all.reserve(view->live);
    view->for_each_live([&all](View::RowRef, uint64_t rid) { all.push_back(static_cast<int64_t>(rid)); });
    std::ranges::sort(all);
  }
  return to_array(all);
}

std::shared_ptr<const View> narrowed(const Index& index, IdFilter& filter) {
  const py::gil_scoped_release released;
  return filter.narrow(index.view());
}

py::dict stats(const Index& index) {
  const auto view = index.view();
  py::list parts;
  for (const View::SealedPart& sealed : view->parts) {
    py::list calibration;
    for (const Calibration::Point& point : sealed.part->calibration.points) {
      calibration.append(py::make_tuple(point.k, point.ef, point.recall));
    }
    py::object code_bits = py::none();
    if (sealed.part->codes != nullptr) code_bits = py::int_(sealed.part->coarse_codes != nullptr ? 4 : 8);
    py::object layout = py::none();
    if (sealed.part->codes != nullptr && sealed.part->graph.entry != kNoRow) {
      const bool by_neighbours = sealed.part->neighbour_codes != nullptr;
      layout = py::str(name_of(by_neighbours ? Layout::kNeighbours : Layout::kNodes));
    }
    parts.append(py::dict("rows"_a = sealed.part->rows, "deleted"_a = sealed.deleted.count(),
                          "name"_a = sealed.part->name, "code_bits"_a = code_bits, "layout"_a = layout,
                          "calibration"_a = calibration));
  }
  return py::dict("live"_a = view->live, "head_rows"_a = view->head_rows, "head_deleted"_a = view->head_deleted.count(),
                  "parts"_a = parts);
}

}  // namespace

void bind_index(py::module_& m) {
  py::class_<IdFilter>(
      m, "IdFilter",
      "Ids that a search may return. Keeps what they are in the state of an index that it was last used "
      "with.")
      .def(py::init([](const Int64Array& ids) { return std::make_unique<IdFilter>(rids_of(span_of(ids))); }),
           "ids"_a.noconvert())
      .def("__len__", &IdFilter::size);
  const auto released = py::call_guard<py::gil_scoped_release>();
  py::class_<Index> index(m, "Index",
                          "A VectorSet whose rids are its ids. Thread-safe; the GIL is released around all work.");
  bind_spec(index, [](const Index& self) -> const VectorSpec& { return self.spec(); });
  index
      .def(py::init(&make), "dim"_a, "metric"_a, "dtype"_a, "codes"_a, "layout"_a, "m"_a, "ef_construction"_a, "seed"_a,
           "threads"_a)
      .def_static("open", &open, "path"_a, "verify"_a, "threads"_a)
      .def_property_readonly("threads", [](const Index& self) { return self.threads(); })
      .def("add", &add, "vectors"_a.noconvert(), "ids"_a.noconvert().none(true))
      .def(
          "search",
          [](const Index& self, py::object query, py::object k, std::optional<int64_t> ef, std::optional<float> recall,
             bool exact, std::optional<int> threads, std::optional<float> radius, bool explain, IdFilter* filter) {
            const auto view = filter == nullptr ? self.view() : narrowed(self, *filter);
            return search(*view, {std::move(query), std::move(k), ef, recall, exact, threads.value_or(self.threads()),
                                  radius, explain});
          },
          "query"_a, "k"_a, "ef"_a, "recall"_a, "exact"_a, "threads"_a, "radius"_a = py::none(), "explain"_a = false,
          "filter"_a = py::none(),
          "None where the query is no C-contiguous array of the right dtype: convert it, and ask again.")
      .def(
          "delete",
          [](Index& self, const Int64Array& ids) {
            const std::span<const int64_t> wanted = span_of(ids);
            const py::gil_scoped_release without_gil;
            return self.erase(wanted);
          },
          "ids"_a.noconvert())
      .def("get", &get, "ids"_a.noconvert())
      .def(
          "contains",
          [](const Index& self, int64_t id) {
            View::RowRef where;
            return self.view()->find(static_cast<uint64_t>(id), &where);
          },
          "id"_a)
      .def("ids", &ids)
      .def("optimize", &Index::optimize, released)
      .def("save", &Index::save, "path"_a, released)
      .def(
          "warm", [](const Index& self) { warm(*self.view()); }, released)
      .def("copy_to_huge_pages", &Index::copy_to_huge_pages, released)
      .def("stats", &stats)
      .def("__len__", [](const Index& self) { return self.view()->live; });
}

}  // namespace lamina
