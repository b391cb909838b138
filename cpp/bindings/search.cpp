#include "bindings/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/error.h"

namespace lamina {
namespace {

using namespace py::literals;

constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kWidestEmptyBatch = 65536;  // columns of a batch may exceed the rows that live up to here

uint64_t parse_k(const py::object& k) {
  const py::ssize_t value = PyNumber_AsSsize_t(k.ptr(), nullptr);  // clips what is beyond
  if (value == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  if (value < 1) throw std::invalid_argument("k is " + std::to_string(value) + "; it must be at least 1");
  return static_cast<uint64_t>(value);
}

SearchOptions options_of(const SearchArguments& arguments) {
  SearchOptions options;
  if (arguments.ef && arguments.recall) throw std::invalid_argument("give ef= or recall=, not both");
  if (arguments.ef) {
    if (*arguments.ef < 1) throw std::invalid_argument("ef is " + std::to_string(*arguments.ef) + "; at least 1");
    options.ef = static_cast<uint32_t>(std::min<int64_t>(*arguments.ef, kMost));
  }
  if (arguments.recall) {
    if (!(*arguments.recall > 0 && *arguments.recall <= 1)) {
      throw std::invalid_argument("recall is " + std::to_string(*arguments.recall) + "; above 0 and at most 1");
    }
    options.recall = *arguments.recall;
  }
  if (arguments.radius) {
    if (std::isnan(*arguments.radius)) throw std::invalid_argument("radius is not a number");
    options.radius = *arguments.radius;
  }
  options.exact = arguments.exact;
  options.ties = arguments.ties;
  return options;
}

// An array of ids: int64, or objects (strings) that begin as None.
class IdArray {
 public:
  IdArray(std::vector<size_t> shape, bool named)
      : named_(named), array_(named ? py::dtype("O") : py::dtype::of<int64_t>(), std::move(shape)) {}

  void set(size_t at, const Id& id) {
    if (named_) {
      put(at, to_python(id));
    } else {
      static_cast<int64_t*>(array_.mutable_data())[at] = std::get<int64_t>(id);
    }
  }
  void set_empty(size_t at) {
    if (named_) {
      put(at, py::none());
    } else {
      static_cast<int64_t*>(array_.mutable_data())[at] = -1;
    }
  }
  py::array take() { return std::move(array_); }

 private:
  void put(size_t at, py::object value) {
    auto* slot = static_cast<PyObject**>(array_.mutable_data()) + at;
    Py_XDECREF(*slot);
    *slot = value.release().ptr();
  }

  const bool named_;
  py::array array_;
};

const char* name_of(SearchStep::Method method) {
  switch (method) {
    case SearchStep::Method::kScan: return "scan";
    case SearchStep::Method::kScanCodes: return "scan codes";
    case SearchStep::Method::kWalk: return "walk";
    default: return "walk passing";
  }
}

py::list explained(const View& view, std::span<const SearchStep> steps) {
  py::list list;
  for (const SearchStep& step : steps) {
    const bool head = step.part == view.parts.size();
    list.append(py::dict("part"_a = head ? py::object(py::str("head")) : py::object(py::int_(step.part)),
                         "rows"_a = step.rows, "passing"_a = step.passing, "method"_a = name_of(step.method),
                         "breadth"_a = step.breadth, "measured"_a = step.measured,
                         "microseconds"_a = static_cast<double>(step.nanoseconds) / 1000));
  }
  return list;
}

void append_names(const IdNames* names, const Hit* hits, size_t count, std::vector<Id>& out) {
  for (size_t i = 0; i < count && names != nullptr; ++i) out.push_back(names->name_of(hits[i].rid));
}

py::tuple search_one(const View& view, const void* query, SearchOptions options, const IdNames* names, bool explain) {
  thread_local std::vector<Hit> hits;
  std::vector<SearchStep> steps;
  if (explain) options.steps = &steps;
  if (hits.size() < options.k) hits.resize(options.k);
  std::vector<Id> named;
  size_t found = 0;
  if (options.k != 0) {
    const py::gil_scoped_release released;
    found = view.search(query, options, hits.data());
    append_names(names, hits.data(), found, named);
  }
  IdArray ids({found}, names != nullptr);
  py::array_t<float> distances(static_cast<py::ssize_t>(found));
  float* const distance = distances.mutable_data();
  for (size_t i = 0; i < found; ++i) {
    ids.set(i, names != nullptr ? named[i] : Id{hits[i].id});
    distance[i] = hits[i].distance;
  }
  return py::make_tuple(ids.take(), std::move(distances), py::none(),
                        explain ? py::object(explained(view, steps)) : py::none());
}

py::tuple search_many(const View& view, const VectorRows& queries, uint64_t columns, const SearchOptions& options,
                      int threads, const IdNames* names) {
  if (queries.count > static_cast<size_t>(PY_SSIZE_T_MAX) / sizeof(Hit) / columns) throw std::bad_alloc();
  std::vector<Hit> hits(queries.count * options.k);
  std::vector<uint32_t> found(queries.count);
  std::vector<Id> named;
  if (options.k != 0 && queries.count != 0) {
    const py::gil_scoped_release released;
    view.search_batch(queries.data, queries.count, options, threads, hits.data(), found.data());
    for (size_t i = 0; i < queries.count; ++i) append_names(names, hits.data() + i * options.k, found[i], named);
  }
  IdArray ids({queries.count, columns}, names != nullptr);
  py::array_t<float> distances({queries.count, static_cast<size_t>(columns)});
  py::array_t<int64_t> counts(static_cast<py::ssize_t>(queries.count));
  float* distance = distances.mutable_data();
  auto name = named.begin();
  for (size_t i = 0; i < queries.count; ++i) {
    counts.mutable_data()[i] = found[i];
    for (size_t j = 0; j < columns; ++j, ++distance) {
      const size_t at = i * columns + j;
      *distance = j < found[i] ? hits[i * options.k + j].distance : std::numeric_limits<float>::infinity();
      if (j < found[i]) {
        ids.set(at, names != nullptr ? *name++ : Id{hits[i * options.k + j].id});
      } else {
        ids.set_empty(at);
      }
    }
  }
  return py::make_tuple(ids.take(), std::move(distances), std::move(counts), py::none());
}

}  // namespace

std::optional<py::tuple> search(const View& view, const SearchArguments& arguments) {
  const auto rows = rows_of(arguments.query, view.spec.metric);
  if (!rows) return std::nullopt;
  if (arguments.refusal != nullptr) throw ModelMismatchError(arguments.refusal);
  SearchOptions options = options_of(arguments);
  const uint64_t k = parse_k(arguments.k);
  check_query(*rows, view.spec);
  options.k = static_cast<uint32_t>(std::min<uint64_t>({k, view.live, kMost}));
  if (!rows->single) {
    if (arguments.explain) throw std::invalid_argument("explain= tells of a single query: this is a batch");
    const uint64_t columns = std::min(k, std::max(view.live, kWidestEmptyBatch));
    return search_many(view, *rows, columns, options, arguments.threads, arguments.names);
  }
  return search_one(view, rows->data, options, arguments.names, arguments.explain);
}

void warm(const View& view) {
  for (const View::SealedPart& sealed : view.parts) {
    if (sealed.part->guard == nullptr) continue;
    sealed.part->guard->check_index();
    sealed.part->guard->check_vectors(0, sealed.part->rows);
  }
}

}  // namespace lamina
