#include "bindings/snapshot.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "base/ascending.h"
#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/block.h"
#include "bindings/ids.h"
#include "bindings/search.h"
#include "bindings/spec.h"
#include "bindings/write_op.h"
#include "segment/record_segment.h"
#include "store/generation.h"

namespace lamina {
namespace {

using namespace py::literals;

uint64_t to_ref(RecordRef where) { return where.found() ? uint64_t{where.part} << 32 | where.row : kNoRef; }

std::vector<RecordRef> from_refs(const RecordView& view, const Refs& refs) {
  std::vector<RecordRef> all;
  all.reserve(static_cast<size_t>(refs.size()));
  for (const uint64_t ref : span_of(refs)) all.push_back(from_ref(view, ref));
  return all;
}

// Names and orders the rows of a collection whose ids are strings.
class StringIds final : public TieOrder, public IdNames {
 public:
  explicit StringIds(const RecordView& records) : records_(records) {}
  bool before(uint64_t rid_a, uint64_t rid_b) const override { return name_of(rid_a) < name_of(rid_b); }
  Id name_of(uint64_t rid) const override {
    const RecordRef where = records_.find_rid(rid);
    if (!where.found()) {
      throw CorruptionError("the collection", 0, "a record for each vector", "none for rid " + std::to_string(rid));
    }
    return records_.id_at(where);
  }

  const RecordView& records_;
};

// Why a query of this model must not be compared with the vectors here; null: it may. No name is the model's name as
// long as there was never another.
const char* refusal_of(const CollectionSpec& spec, const std::optional<py::bytes>& fingerprint) {
  if (!fingerprint) return spec.migration.cut_overs == 0 ? nullptr : "a query needs the name of its model";
  return parse_fingerprint(*fingerprint) == spec.fingerprint ? nullptr : "the query is of another model";
}

// The vectors, which a filter may have left to be looked through now.
const View& view_of(const PythonSnapshot& self) {
  if (!self.snapshot->vectors.is_made()) {
    const py::gil_scoped_release released;
    return *self.snapshot->vectors;
  }
  return *self.snapshot->vectors;
}

std::optional<py::tuple> search_snapshot(const PythonSnapshot& self, py::object query, py::object k,
                                         std::optional<int64_t> ef, std::optional<float> recall, bool exact,
                                         std::optional<int> threads, const std::optional<py::bytes>& fingerprint,
                                         std::optional<float> radius, bool explain) {
  SearchArguments arguments{std::move(query), std::move(k), ef, recall, exact, threads.value_or(0), radius, explain};
  arguments.refusal = refusal_of(*self.snapshot->spec, fingerprint);
  if (self.snapshot->records->id_kind == IdKind::kInt) return search(view_of(self), arguments);
  const StringIds ids(*self.snapshot->records);
  arguments.ties = &ids;
  arguments.names = &ids;
  return search(view_of(self), arguments);
}

py::array_t<uint64_t> find(const PythonSnapshot& self, const py::object& ids) {
  const IdSequence sequence(ids);
  const Ids wanted = sequence.view(self.snapshot->spec->id_kind);
  py::array_t<uint64_t> refs(static_cast<py::ssize_t>(wanted.size()));
  uint64_t* const out = refs.mutable_data();
  const py::gil_scoped_release released;
  std::ranges::transform(self.snapshot->records->find_all(wanted), out, to_ref);
  return refs;
}

bool contains(const PythonSnapshot& self, const std::variant<int64_t, std::string>& id) {
  const bool number = std::holds_alternative<int64_t>(id);
  if (number != (self.snapshot->spec->id_kind == IdKind::kInt)) return false;
  const Id wanted = number ? Id{std::get<int64_t>(id)} : Id{std::string_view(std::get<std::string>(id))};
  const py::gil_scoped_release released;
  return self.snapshot->records->find(wanted).found();
}

py::array_t<uint64_t> scan(const PythonSnapshot& self, std::optional<uint64_t> after, size_t limit) {
  const RecordView& records = *self.snapshot->records;
  std::vector<uint64_t> refs;
  {
    const py::gil_scoped_release released;
    std::optional<RecordRef> start;
    if (after) start = from_ref(records, *after);
    for (const RecordRef where : records.scan(start, limit)) refs.push_back(to_ref(where));
  }
  return to_array(refs);
}

py::array ids_at(const PythonSnapshot& self, const Refs& refs) {
  const RecordView& records = *self.snapshot->records;
  const std::vector<RecordRef> all = from_refs(records, refs);
  std::vector<Id> found;
  found.reserve(all.size());
  {
    const py::gil_scoped_release released;
    for (const RecordRef where : all) found.push_back(records.id_at(where));
  }
  if (records.id_kind == IdKind::kInt) {
    py::array_t<int64_t> ids(static_cast<py::ssize_t>(found.size()));
    std::ranges::transform(found, ids.mutable_data(), [](const Id& id) { return std::get<int64_t>(id); });
    return ids;
  }
  py::array ids(py::dtype("O"), static_cast<py::ssize_t>(found.size()));
  auto* const slots = static_cast<PyObject**>(ids.mutable_data());
  for (size_t i = 0; i < found.size(); ++i) {
    Py_XDECREF(slots[i]);
    slots[i] = nullptr;
    slots[i] = to_python(found[i]).release().ptr();
  }
  return ids;
}

py::dict fields_at(const PythonSnapshot& self, const Refs& refs) {
  const RecordView& records = *self.snapshot->records;
  const std::vector<RecordRef> all = from_refs(records, refs);
  const auto n = static_cast<py::ssize_t>(all.size());
  py::array_t<uint64_t> rid(n), version(n);
  py::array_t<int64_t> created(n), updated(n);
  py::array_t<uint8_t> hash({n, py::ssize_t{16}});
  std::vector<RecordFields> fields;
  uint64_t* const rids = rid.mutable_data();
  uint64_t* const versions = version.mutable_data();
  int64_t* const created_us = created.mutable_data();
  int64_t* const updated_us = updated.mutable_data();
  uint8_t* hashes = hash.mutable_data();
  {
    const py::gil_scoped_release released;
    fields = records.fields_of(all);
    for (size_t i = 0; i < all.size(); ++i) {
      rids[i] = fields[i].rid;
      versions[i] = fields[i].version;
      created_us[i] = fields[i].created_us;
      updated_us[i] = fields[i].updated_us;
      hashes = std::ranges::copy(fields[i].content_hash, hashes).out;
    }
  }
  py::list scope;
  py::object name = py::str("");
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i == 0 || fields[i].scope != fields[i - 1].scope) name = to_python(fields[i].scope);
    scope.append(name);
  }
  return py::dict("rid"_a = rid, "version"_a = version, "created_us"_a = created, "updated_us"_a = updated,
                  "content_hash"_a = hash, "scope"_a = scope);
}

py::dict provenance_at(const PythonSnapshot& self, const Refs& refs) {
  const RecordView& records = *self.snapshot->records;
  const View& view = view_of(self);
  const std::vector<RecordRef> all = from_refs(records, refs);
  const auto n = static_cast<py::ssize_t>(all.size());
  py::array_t<bool> present(n);
  py::array_t<uint8_t> made_from({n, py::ssize_t{16}});
  py::array_t<int64_t> embedded(n);
  bool* const has = present.mutable_data();
  uint8_t* hashes = made_from.mutable_data();
  int64_t* const embedded_us = embedded.mutable_data();
  {
    const py::gil_scoped_release released;
    for (size_t i = 0; i < all.size(); ++i) {
      View::RowRef where;
      has[i] = view.find(records.fields_at(all[i]).rid, &where);
      const Provenance provenance = has[i] ? view.provenance_at(where) : Provenance{};
      hashes = std::ranges::copy(provenance.content_hash, hashes).out;
      embedded_us[i] = provenance.embedded_at_us;
    }
  }
  return py::dict("has_vector"_a = present, "made_from"_a = made_from, "embedded_us"_a = embedded);
}

py::array_t<uint8_t> basis_at(const PythonSnapshot& self, const Refs& refs) {
  const RecordView& records = *self.snapshot->records;
  const std::vector<RecordRef> all = from_refs(records, refs);
  py::array_t<uint8_t> basis({static_cast<py::ssize_t>(all.size()), py::ssize_t{16}});
  uint8_t* out = basis.mutable_data();
  const py::gil_scoped_release released;
  for (const RecordRef where : all) {
    out = std::ranges::copy(basis_of(records.fields_at(where), *self.snapshot->served), out).out;
  }
  return basis;
}

py::tuple missing(const PythonSnapshot& self) {
  std::vector<uint64_t> owed, stale;
  {
    const py::gil_scoped_release released;
    for_each_missing(*self.snapshot,
                     [&](RecordRef where, bool is_stale) { (is_stale ? stale : owed).push_back(to_ref(where)); });
  }
  return py::make_tuple(to_array(owed), to_array(stale));
}

std::optional<PythonSnapshot> other(const PythonSnapshot& self) {
  if (!self.snapshot->other) return {};
  return PythonSnapshot{self.open, std::shared_ptr<const Snapshot>(self.snapshot, self.snapshot->other.get())};
}

py::tuple migration(const PythonSnapshot& self) {
  const Migration& migration = self.snapshot->spec->migration;
  return py::make_tuple(name_of(migration.stage), migration.cut_overs, migration.note);
}

py::tuple vectors_at(const PythonSnapshot& self, const Refs& refs) {
  const RecordView& records = *self.snapshot->records;
  const View& view = view_of(self);
  const std::vector<RecordRef> all = from_refs(records, refs);
  py::array vectors = new_vectors(all.size(), view.spec);
  py::array_t<bool> present(static_cast<py::ssize_t>(all.size()));
  bool* const has = present.mutable_data();
  auto* out = static_cast<std::byte*>(vectors.mutable_data());
  const auto stride = static_cast<size_t>(vectors.strides(0));
  {
    const py::gil_scoped_release released;
    for (size_t i = 0; i < all.size(); ++i, out += stride) {
      View::RowRef where;
      has[i] = view.find(records.fields_at(all[i]).rid, &where);
      if (has[i]) {
        read_vector(view, where, out);
      } else {
        std::fill_n(out, stride, std::byte{0});
      }
    }
  }
  return py::make_tuple(std::move(vectors), std::move(present));
}

py::tuple blocks_at(const PythonSnapshot& self, const Refs& refs) {
  const RecordView& records = *self.snapshot->records;
  const auto n = static_cast<py::ssize_t>(refs.size());
  py::array_t<int64_t> which(n), rows(n);
  int64_t* const which_block = which.mutable_data();
  int64_t* const row_in_block = rows.mutable_data();
  std::vector<BlockRef> needed;
  {
    const py::gil_scoped_release released;
    const Ascending<uint64_t> sorted = ascending(span_of(refs));
    RecordRef first;  // row of the last of `needed`
    for (size_t i = 0; i < sorted.keys.size(); ++i) {
      const RecordRef where = from_ref(records, sorted.keys[i]);
      if (needed.empty() || where.part != first.part || where.row - first.row >= needed.back().block_rows) {
        needed.push_back(records.unchecked_at(where));
        first = {where.part, where.row - needed.back().row};
      }
      which_block[sorted.places[i]] = static_cast<int64_t>(needed.size()) - 1;
      row_in_block[sorted.places[i]] = where.row - first.row;
    }
  }
  py::list blocks;
  for (BlockRef& block : needed) blocks.append(Block{std::move(block)});
  return py::make_tuple(std::move(blocks), std::move(which), std::move(rows));
}

void warm(const PythonSnapshot& self) {
  const py::gil_scoped_release released;
  warm(*self.snapshot->vectors);
}

py::bytes to_bytes(const Fingerprint& fingerprint) {
  return {reinterpret_cast<const char*>(fingerprint.data()), fingerprint.size()};
}

void bind_collection(py::module_& m) {
  py::class_<PythonCollection>(m, "Collection")
      .def_property_readonly("name", [](const PythonCollection& self) { return self.collection->name(); })
      .def_property_readonly("dropped", [](const PythonCollection& self) { return self.collection->dropped(); })
      .def("snapshot", [](const PythonCollection& self) {
        if (auto snapshot = self.collection->opened()) return PythonSnapshot{self.open, std::move(snapshot)};
        const auto open_now = [&] {
          const py::gil_scoped_release released;
          return self.collection->snapshot();
        };
        return PythonSnapshot{self.open, open_now()};
      });
}

}  // namespace

RecordRef from_ref(const RecordView& view, uint64_t ref) {
  const RecordRef where{static_cast<uint32_t>(ref >> 32), static_cast<uint32_t>(ref)};
  const size_t parts = view.parts.size();
  const uint32_t rows = where.part < parts                 ? (*view.parts[where.part].segment)->rows()
                        : where.part == parts && view.head ? view.head_rows
                                                           : 0;
  if (where.row >= rows) throw std::out_of_range("a ref of another snapshot, or of no record: " + std::to_string(ref));
  return where;
}

void bind_snapshot(py::module_& m) {
  m.attr("NO_REF") = kNoRef;
  bind_block(m);
  py::class_<PythonSnapshot> snapshot(
      m, "Snapshot", R"(One collection at one version: immutable; safe from any thread; keeps its files alive.

A *ref* (uint64) names a record of this snapshot, and of no other; NO_REF stands for one that is not there.)");
  bind_spec(snapshot, [](const PythonSnapshot& self) -> const VectorSpec& { return self.snapshot->spec->vectors; });
  const auto spec = [](const PythonSnapshot& self) -> const CollectionSpec& { return *self.snapshot->spec; };
  snapshot.def_property_readonly("version", [](const PythonSnapshot& self) { return self.snapshot->version; })
      .def_property_readonly("id_kind",
                             [spec](const PythonSnapshot& self) -> std::optional<std::string> {
                               const auto kind = spec(self).id_kind;
                               return kind ? std::optional<std::string>(name_of(*kind)) : std::nullopt;
                             })
      .def_property_readonly("fingerprint",
                             [spec](const PythonSnapshot& self) { return to_bytes(spec(self).fingerprint); })
      .def_property_readonly("model", [spec](const PythonSnapshot& self) { return spec(self).model; })
      .def_property_readonly("settings", [spec](const PythonSnapshot& self) { return spec(self).settings; })
      .def_property_readonly("migration", &migration, "(stage, cut_overs, note).")
      .def_property_readonly("vectors", [](const PythonSnapshot& self) { return view_of(self).live; })
      .def("other", &other, "The same records with the second generation, if there is one.")
      .def("__len__", [](const PythonSnapshot& self) { return self.snapshot->records->live; })
      .def("search", &search_snapshot, "query"_a, "k"_a, "ef"_a, "recall"_a, "exact"_a, "threads"_a,
           "fingerprint"_a = py::none(), "radius"_a = py::none(), "explain"_a = false,
           "As Index.search. Ids of kind \"str\" come as objects; empty slots of a batch are -1 or None.")
      .def("find", &find, "ids"_a, "The ref of each id, or NO_REF.")
      .def("contains", &contains, "id"_a)
      .def("scan", &scan, "after"_a, "limit"_a,
           "Up to `limit` refs of live records that follow the ref `after` (None: from the start). Fewer: the end.")
      .def("ids_at", &ids_at, "refs"_a, "int64, or objects (str).")
      .def("fields_at", &fields_at, "refs"_a,
           "Arrays rid, version, created_us, updated_us, content_hash (n, 16); list scope.")
      .def("provenance_at", &provenance_at, "refs"_a,
           "Arrays has_vector, made_from (n, 16), embedded_us; zero where the record has no vector.")
      .def("basis_at", &basis_at, "refs"_a, "(n, 16): what a vector of each record is to be made from.")
      .def("missing", &missing, "(refs of the records that are owed a vector, of those whose vector is stale).")
      .def("vectors_at", &vectors_at, "refs"_a,
           "(n, dim) float32 or packed uint8, zero where the record has none, and which ones have one.")
      .def("blocks_at", &blocks_at, "refs"_a,
           "(the blocks that are needed, each once; of each ref, which of them, and its row in it). Not checked by the "
           "codec.")
      .def("warm", [](const PythonSnapshot& self) { warm(self); });
  bind_filter(m, snapshot);
  bind_collection(m);
}

}  // namespace lamina
