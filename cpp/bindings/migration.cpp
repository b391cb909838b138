// The steps of a migration, as Python takes them. Each returns the version that it made.
#include <pybind11/stl.h>

#include <mutex>
#include <shared_mutex>
#include <stdexcept>

#include "bindings/ids.h"
#include "bindings/snapshot.h"
#include "bindings/spec.h"
#include "bindings/store.h"
#include "bindings/write_op.h"

namespace lamina {
namespace {

using namespace py::literals;

// Other writes wait, though for the shortest time: what can be sealed is sealed before.
std::unique_lock<std::shared_mutex> lock_out_writes(const PythonStore& self) {
  self.store().seal();
  return std::unique_lock(self.open->structure);
}

uint64_t begin(const PythonStore& self, const std::string& name, uint32_t dim, const std::string& metric,
               const std::string& dtype, const std::string& codes, uint32_t m, uint32_t ef_construction, uint64_t seed,
               const py::bytes& fingerprint, const std::string& model, const std::string& note) {
  CollectionSpec to;
  to.vectors = make_spec(dim, metric, dtype, codes, "auto", m, ef_construction, seed);
  to.fingerprint = parse_fingerprint(fingerprint);
  to.model = model;
  to.migration.note = note;
  const py::gil_scoped_release released;
  const auto lock = lock_out_writes(self);
  return self.store().begin_migration(name, to);
}

uint64_t exchange(const PythonStore& self, const std::string& name, const py::bytes& incoming, bool allow_missing,
                  const py::object& exempt, const std::string& note) {
  const IdSequence ids(exempt);
  Exchange how;
  how.incoming = parse_fingerprint(incoming);
  how.allow_missing = allow_missing;
  how.exempt = ids.view(self.store().collection(name)->snapshot()->spec->id_kind);
  how.note = note;
  const py::gil_scoped_release released;
  const auto lock = lock_out_writes(self);
  return self.store().exchange(name, how);
}

uint64_t end(const PythonStore& self, const std::string& name, const std::string& stage) {
  const MigrationStage parsed = parse_stage(stage);
  const py::gil_scoped_release released;
  const auto lock = lock_out_writes(self);
  return self.store().end_migration(name, parsed);
}

uint64_t note(const PythonStore& self, const std::string& name, const std::string& text) {
  return self.store().note_migration(name, text);
}

}  // namespace

std::string name_of(MigrationStage stage) {
  if (stage == MigrationStage::kBackfill) return "backfill";
  return stage == MigrationStage::kCutOver ? "cut_over" : "none";
}

MigrationStage parse_stage(const std::string& name) {
  for (const auto stage : {MigrationStage::kNone, MigrationStage::kBackfill, MigrationStage::kCutOver}) {
    if (name_of(stage) == name) return stage;
  }
  throw std::invalid_argument("unknown stage '" + name + "': one of none, backfill, cut_over");
}

void bind_migration(py::class_<PythonStore>& store) {
  store
      .def("begin_migration", &begin, "name"_a, py::kw_only(), "dim"_a, "metric"_a, "dtype"_a, "codes"_a, "m"_a,
           "ef_construction"_a, "seed"_a, "fingerprint"_a, "model"_a, "note"_a)
      .def("exchange", &exchange, "name"_a, "incoming"_a, "allow_missing"_a, "exempt"_a, "note"_a,
           "Serves the second generation, whose model is `incoming`, from now on.")
      .def("end_migration", &end, "name"_a, "stage"_a, "Drops the second generation, at this stage.")
      .def("note_migration", &note, "name"_a, "note"_a, py::call_guard<py::gil_scoped_release>());
}

}  // namespace lamina
