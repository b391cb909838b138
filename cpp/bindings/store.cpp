#include "bindings/store.h"

#include <pybind11/stl.h>

#include <mutex>
#include <optional>
#include <stdexcept>

#include "base/error.h"
#include "bindings/snapshot.h"
#include "bindings/spec.h"
#include "bindings/write_op.h"

namespace lamina {
namespace {

using namespace py::literals;

Durability parse_durability(const std::string& name) {
  if (name == "fsync") return Durability::kFsync;
  if (name == "interval") return Durability::kInterval;
  if (name == "os") return Durability::kOs;
  throw std::invalid_argument("unknown durability '" + name + "': one of fsync, interval, os");
}

PythonStore open_store(const std::string& path, bool create, bool read_only, bool salvage,
                       const std::string& durability, uint64_t log_limit, int64_t keep_versions_us,
                       std::optional<uint64_t> memory, py::object codec) {
  const StoreOptions options{create,    read_only,        salvage, parse_durability(durability),
                             log_limit, keep_versions_us, memory};
  return {std::make_shared<OpenStore>(path, options, std::move(codec))};
}

PythonCollection create_collection(const PythonStore& self, const std::string& name, uint32_t dim,
                                   const std::string& metric, const std::string& dtype, const std::string& codes,
                                   uint32_t m, uint32_t ef_construction, uint64_t seed, const py::bytes& fingerprint,
                                   const std::string& model, const std::string& settings) {
  CollectionSpec spec;
  spec.vectors = make_spec(dim, metric, dtype, codes, "auto", m, ef_construction, seed);
  spec.fingerprint = parse_fingerprint(fingerprint);
  spec.model = model;
  spec.settings = settings;
  const py::gil_scoped_release released;
  const std::unique_lock lock(self.open->structure);
  return {self.open, self.store().create_collection(name, spec)};
}

void drop_collection(const PythonStore& self, const std::string& name) {
  const std::unique_lock lock(self.open->structure);
  self.store().drop_collection(name);
}

using Specs = std::vector<std::shared_ptr<const CollectionSpec>>;

// Without the GIL: the store may wait here for somebody who waits for it.
Specs specs_of(const Store& store, const std::vector<const PythonWriteOp*>& operations) {
  Specs specs;
  specs.reserve(operations.size());
  for (const PythonWriteOp* operation : operations) {
    specs.push_back(operation->spec_in(*store.collection(operation->collection())->snapshot()));
  }
  return specs;
}

std::vector<WriteOp> resolve(const std::vector<const PythonWriteOp*>& operations, const Specs& specs) {
  std::vector<WriteOp> resolved;
  resolved.reserve(operations.size());
  for (size_t i = 0; i < operations.size(); ++i) resolved.push_back(operations[i]->resolve(*specs[i]));
  return resolved;
}

using Written = std::tuple<uint64_t, uint64_t, uint64_t, uint64_t>;

std::vector<Written> write(const PythonStore& self, const std::vector<const PythonWriteOp*>& operations) {
  std::shared_lock lock(self.open->structure, std::defer_lock);
  Specs specs;
  {
    const py::gil_scoped_release released;
    lock.lock();
    specs = specs_of(self.store(), operations);
  }
  const std::vector<WriteOp> resolved = resolve(operations, specs);
  std::vector<Written> written;
  const py::gil_scoped_release released;
  for (const WriteResult& result : self.store().write(resolved)) {
    written.emplace_back(result.added, result.updated, result.deleted, result.version);
  }
  return written;
}

py::dict verify(const PythonStore& self, std::optional<double> max_seconds, bool resume) {
  VerifyReport report;
  {
    const py::gil_scoped_release released;
    report = self.store().verify({max_seconds, resume});
  }
  return py::dict("files"_a = report.files, "bytes"_a = report.bytes, "bytes_in_all"_a = report.bytes_in_all,
                  "records"_a = report.records, "vectors"_a = report.vectors, "complete"_a = report.complete);
}

py::list to_python(const std::vector<RepairReport::Segment>& segments) {
  py::list all;
  for (const RepairReport::Segment& one : segments) all.append(py::make_tuple(one.collection, one.damage));
  return all;
}

py::tuple repair(const PythonStore& self, int threads) {
  RepairReport report;
  {
    const py::gil_scoped_release released;
    report = self.store().repair(threads);
  }
  return py::make_tuple(to_python(report.repaired), to_python(report.lost));
}

py::dict stats_of(const PythonStore& self) {
  StoreStats stats;
  {
    const py::gil_scoped_release released;
    stats = self.store().stats();
  }
  py::dict collections;
  for (const StoreStats::OfCollection& one : stats.collections) {
    collections[py::str(one.name)] = py::dict(
        "records"_a = one.records, "vectors"_a = one.vectors, "owed"_a = one.owed, "stale"_a = one.stale,
        "record_segments"_a = one.record_segments, "vector_segments"_a = one.vector_segments,
        "head_records"_a = one.head_records, "head_vectors"_a = one.head_vectors, "dead_records"_a = one.dead_records,
        "dead_vectors"_a = one.dead_vectors, "other_vectors"_a = one.other_vectors, "other_owed"_a = one.other_owed,
        "other_stale"_a = one.other_stale);
  }
  py::object memory = py::none();
  if (stats.memory) memory = py::dict("budget"_a = stats.memory->budget, "in_place"_a = stats.memory->in_place);
  return py::dict("version"_a = stats.version, "log_bytes"_a = stats.log_bytes, "record_bytes"_a = stats.record_bytes,
                  "vector_bytes"_a = stats.vector_bytes, "other_bytes"_a = stats.other_bytes,
                  "history_bytes"_a = stats.history_bytes, "memory"_a = memory, "collections"_a = collections);
}

py::dict recovery(const PythonStore& self) {
  const Recovery& recovery = self.store().recovery();
  py::list missing;
  for (const Missing& one : recovery.missing) {
    missing.append(py::make_tuple(one.collection, one.file, one.what, one.rows, one.why));
  }
  return py::dict("missing"_a = missing, "clean"_a = recovery.clean, "frames_replayed"_a = recovery.frames_replayed,
                  "bytes_cut"_a = recovery.bytes_cut, "files_swept"_a = recovery.files_swept, "note"_a = recovery.note);
}

}  // namespace

OpenStore::OpenStore(const std::string& path, const StoreOptions& options, py::object python_codec)
    : codec(std::move(python_codec)) {
  const py::gil_scoped_release released;
  store = Store::open(file_system(), path, options, hasher, codec);
}

OpenStore::~OpenStore() {
  const py::gil_scoped_release released;
  store.reset();
}

void bind_store(py::module_& m) {
  const auto released = py::call_guard<py::gil_scoped_release>();
  py::class_<PythonStore> store(
      m, "Store", "A store: see cpp/store/store.h for what each call promises. The GIL is released around all work.");
  bind_versions(store);
  bind_migration(store);
  store
      .def_static("open", &open_store, "path"_a, py::kw_only(), "create"_a, "read_only"_a, "salvage"_a, "durability"_a,
                  "log_limit"_a, "keep_versions_us"_a, "memory"_a, "codec"_a)
      .def("create_collection", &create_collection, "name"_a, py::kw_only(), "dim"_a, "metric"_a, "dtype"_a, "codes"_a,
           "m"_a, "ef_construction"_a, "seed"_a, "fingerprint"_a, "model"_a, "settings"_a)
      .def(
          "collection",
          [](const PythonStore& self, const std::string& name) {
            return PythonCollection{self.open, self.store().collection(name)};
          },
          "name"_a, released)
      .def(
          "collections", [](const PythonStore& self) { return self.store().collections(); }, released)
      .def("drop_collection", &drop_collection, "name"_a, released)
      .def("write", &write, "operations"_a,
           "All or nothing, as one version: (added, updated, deleted, version) of each operation.")
      .def(
          "sync", [](const PythonStore& self) { self.store().sync(); }, released)
      .def(
          "reload", [](const PythonStore& self) { return self.store().reload(); }, released)
      .def(
          "seal", [](const PythonStore& self) { self.store().seal(); }, released)
      .def(
          "optimize",
          [](const PythonStore& self, const std::string& name, int threads, bool other_only) {
            self.store().optimize(name, threads, other_only);
          },
          "name"_a, "threads"_a, "other_only"_a = false, released)
      .def(
          "copy_to_huge_pages",
          [](const PythonStore& self, const std::string& name, int threads) {
            self.store().copy_to_huge_pages(name, threads);
          },
          "name"_a, "threads"_a, released)
      .def(
          "maintain", [](const PythonStore& self, int threads) { return self.store().maintain(threads); }, "threads"_a,
          released)
      .def("verify", &verify, "max_seconds"_a, "resume"_a)
      .def("repair", &repair, "threads"_a,
           "What was made anew, and what is lost: lists of (collection, what was found).")
      .def("stats", &stats_of)
      .def("recovery", &recovery)
      .def_property_readonly("version",
                             [](const PythonStore& self) {
                               const py::gil_scoped_release without_gil;
                               return self.store().version();
                             })
      .def(
          "close", [](const PythonStore& self) { self.store().close(); }, released);
}

}  // namespace lamina
