// Older versions of a collection, as Python asks for them: each at most one of (version, tag, time_us).
#include <pybind11/stl.h>

#include <mutex>

#include "bindings/ids.h"
#include "bindings/snapshot.h"
#include "bindings/store.h"
#include "bindings/write_op.h"

namespace lamina {
namespace {

namespace py = pybind11;
using namespace py::literals;

using Version = std::optional<uint64_t>;
using Tag = std::optional<std::string>;
using Time = std::optional<int64_t>;
using Listed = std::tuple<uint64_t, int64_t, std::vector<std::string>>;

PythonSnapshot snapshot_at(const PythonStore& self, const std::string& name, Version version, Tag tag, Time time_us) {
  return {self.open, self.store().snapshot(name, {version, std::move(tag), time_us})};
}

std::vector<Listed> versions(const PythonStore& self, const std::string& name) {
  std::vector<Listed> listed;
  for (VersionInfo& one : self.store().versions(name)) {
    listed.emplace_back(one.version, one.time_us, std::move(one.tags));
  }
  return listed;
}

uint64_t tag_version(const PythonStore& self, const std::string& name, const std::string& label, Version version,
                     Time time_us) {
  return self.store().tag(name, label, {version, {}, time_us});
}

void untag(const PythonStore& self, const std::string& name, const std::string& label) {
  self.store().untag(name, label);
}

PythonCollection branch(const PythonStore& self, const std::string& name, const std::string& to, Version version,
                        Tag tag, Time time_us, const PythonSnapshot* only) {
  const std::unique_lock lock(self.open->structure);
  const Snapshot* const kept = only == nullptr ? nullptr : only->snapshot.get();
  return {self.open, self.store().branch(name, to, {version, std::move(tag), time_us}, kept)};
}

void rename(const PythonStore& self, const std::string& from, const std::string& to, bool replace) {
  const std::unique_lock lock(self.open->structure);
  self.store().rename_collection(from, to, replace);
}

uint64_t rollback(const PythonStore& self, const std::string& name, Version version, Tag tag, Time time_us,
                  const py::bytes& fingerprint) {
  const Fingerprint model = parse_fingerprint(fingerprint);
  const py::gil_scoped_release released;
  const std::unique_lock lock(self.open->structure);
  return self.store().rollback(name, {version, std::move(tag), time_us}, model);
}

std::tuple<uint64_t, uint64_t, uint64_t> cleanup(const PythonStore& self, int64_t older_than_us) {
  const CleanupReport report = self.store().cleanup(older_than_us);
  return {report.files, report.bytes, report.pinned};
}

std::tuple<uint64_t, uint64_t> purge(const PythonStore& self, const std::string& name, const py::object& ids) {
  const IdSequence sequence(ids);
  const Ids wanted = sequence.view(self.store().collection(name)->snapshot()->spec->id_kind);
  const py::gil_scoped_release released;
  const PurgeReport report = self.store().purge(name, wanted);
  return {report.deleted, report.version};
}

}  // namespace

void bind_versions(py::class_<PythonStore>& store) {
  const auto released = py::call_guard<py::gil_scoped_release>();
  store.def("snapshot", &snapshot_at, "name"_a, "version"_a, "tag"_a, "time_us"_a, released)
      .def("versions", &versions, "name"_a, "(version, time_us, tags) of each that is kept, ascending.", released)
      .def("tag", &tag_version, "name"_a, "tag"_a, "version"_a, "time_us"_a, "Returns the version.", released)
      .def("untag", &untag, "name"_a, "tag"_a, released)
      .def("branch", &branch, "name"_a, "branch"_a, "version"_a, "tag"_a, "time_us"_a, "only"_a = py::none(), released)
      .def("rename_collection", &rename, "from_name"_a, "to_name"_a, "replace"_a, released)
      .def("rollback", &rollback, "name"_a, "version"_a, "tag"_a, "time_us"_a, "fingerprint"_a,
           "Returns the new version.")
      .def("purge", &purge, "name"_a, "ids"_a, "(deleted, version).")
      .def("cleanup", &cleanup, "older_than_us"_a, "(files, bytes, pinned).", released);
}

}  // namespace lamina
