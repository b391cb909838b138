#include "bindings/write_op.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "bindings/bindings.h"

namespace lamina {
namespace {

using namespace py::literals;

Verb parse_verb(const std::string& name) {
  if (name == "add") return Verb::kAdd;
  if (name == "upsert") return Verb::kUpsert;
  if (name == "update") return Verb::kUpdate;
  if (name == "backfill") return Verb::kBackfill;
  if (name == "delete") return Verb::kDelete;
  if (name == "clear") return Verb::kClear;
  throw std::invalid_argument("unknown verb '" + name + "': one of add, upsert, update, backfill, delete, clear");
}

std::vector<ContentHash> copy_hashes(const std::optional<PythonWriteOp::Uint8Array>& given, size_t rows) {
  std::vector<ContentHash> hashes(rows);
  if (!given) return hashes;
  if (given->size() != static_cast<py::ssize_t>(rows * sizeof(ContentHash))) {
    throw std::invalid_argument("content_hash: 16 bytes a row");
  }
  if (rows != 0) std::memcpy(hashes.data(), given->data(), rows * sizeof(ContentHash));
  return hashes;
}

std::vector<Provenance> copy_provenance(const PythonWriteOp::OriginArrays& origin) {
  const std::span<const int64_t> embedded_us = span_of(std::get<3>(origin));
  const std::vector<ContentHash> made_from = copy_hashes(std::get<2>(origin), embedded_us.size());
  std::vector<Provenance> provenance;
  provenance.reserve(made_from.size());
  for (size_t i = 0; i < made_from.size(); ++i) provenance.push_back({made_from[i], embedded_us[i]});
  return provenance;
}

std::vector<RecordRef> copy_refs(const PythonSnapshot& snapshot, const Refs& refs, size_t rows) {
  if (static_cast<size_t>(refs.size()) != rows) throw std::invalid_argument("found: a ref a row");
  std::vector<RecordRef> found;
  found.reserve(rows);
  for (const uint64_t ref : span_of(refs)) found.push_back(from_ref(*snapshot.snapshot->records, ref));
  return found;
}

std::vector<VectorFate> copy_fates(const std::optional<PythonWriteOp::Uint8Array>& given, size_t rows, bool vectors) {
  if (!given) return std::vector<VectorFate>(rows, vectors ? VectorFate::kGiven : VectorFate::kNone);
  if (static_cast<size_t>(given->size()) != rows) throw std::invalid_argument("fates: one a row");
  std::vector<VectorFate> fates(rows);
  std::ranges::transform(span_of(*given), fates.begin(), [](uint8_t fate) {
    if (fate > static_cast<uint8_t>(VectorFate::kNone))
      throw std::invalid_argument("unknown fate " + std::to_string(fate));
    return VectorFate{fate};
  });
  return fates;
}

}  // namespace

Fingerprint parse_fingerprint(const py::bytes& fingerprint) {
  const std::string_view raw(fingerprint);
  Fingerprint parsed{};
  if (raw.empty()) return parsed;
  if (raw.size() != parsed.size()) throw std::invalid_argument("a fingerprint has 32 bytes");
  std::memcpy(parsed.data(), raw.data(), raw.size());
  return parsed;
}

PythonWriteOp::PythonWriteOp(Arguments arguments)
    : arguments_(std::move(arguments)),
      verb_(parse_verb(arguments_.verb)),
      ids_(arguments_.ids),
      fingerprint_(parse_fingerprint(arguments_.fingerprint)) {
  if (verb_ == Verb::kDelete || verb_ == Verb::kClear) return;
  const bool kept = verb_ == Verb::kUpdate && !arguments_.content_hash;
  content_hash_ = copy_hashes(arguments_.content_hash, kept ? 0 : ids_.size());
  given_ = ids_.size();
  if (verb_ == Verb::kBackfill) return;
  if (arguments_.origin) provenance_ = copy_provenance(*arguments_.origin);
  if (const auto& found = arguments_.found) found_ = copy_refs(found->first, found->second, ids_.size());
  fates_ = copy_fates(arguments_.fates, ids_.size(), !arguments_.vectors.is_none());
  given_ = static_cast<size_t>(std::ranges::count(fates_, VectorFate::kGiven));
}

std::shared_ptr<const CollectionSpec> PythonWriteOp::spec_in(const Snapshot& snapshot) const {
  const bool other = verb_ == Verb::kBackfill && snapshot.other && snapshot.other->spec->fingerprint == fingerprint_;
  return other ? snapshot.other->spec : snapshot.spec;
}

WriteOp PythonWriteOp::resolve(const CollectionSpec& spec) const {
  WriteOp op;
  op.collection = arguments_.collection;
  op.verb = verb_;
  op.ids = ids_.view(spec.id_kind);
  const Bytes columns = as_bytes(std::string_view(arguments_.columns));
  op.columns.assign(columns.begin(), columns.end());
  op.content_hash = content_hash_;
  op.fates = fates_;
  op.fingerprint = fingerprint_;
  op.scope = arguments_.scope;
  op.if_version = arguments_.if_version;
  if (arguments_.settings) op.settings = SettingsChange{arguments_.settings->first, arguments_.settings->second};
  if (const auto& origin = arguments_.origin) {
    op.origin = Origin{span_of(std::get<0>(*origin)), span_of(std::get<1>(*origin)), provenance_};
  }
  if (arguments_.found) op.found = {arguments_.found->first.snapshot->records, found_};
  if (!arguments_.vectors.is_none()) {
    const VectorRows rows = vectors_of(arguments_.vectors, spec.vectors.metric);
    check_vectors(rows, spec.vectors);
    if (rows.count != given_) {
      throw std::invalid_argument(std::to_string(rows.count) + " vectors, where " + std::to_string(given_) +
                                  " are given");
    }
    op.vectors = static_cast<const float*>(rows.data);
  } else if (given_ != 0) {
    throw std::invalid_argument("no vectors, where " + std::to_string(given_) + " are given");
  }
  return op;
}

void bind_write_op(py::module_& m) {
  m.attr("FATE_GIVEN") = static_cast<int>(VectorFate::kGiven);
  m.attr("FATE_KEPT") = static_cast<int>(VectorFate::kKept);
  m.attr("FATE_NONE") = static_cast<int>(VectorFate::kNone);
  py::class_<PythonWriteOp>(
      m, "WriteOp", "One operation of Store.write. Holds its buffers; they must not change before write() returns.")
      .def(py::init([](std::string collection, std::string verb, py::object ids, py::bytes columns,
                       std::optional<PythonWriteOp::Uint8Array> content_hash,
                       std::optional<PythonWriteOp::Uint8Array> fates, py::object vectors, py::bytes fingerprint,
                       std::string scope, std::optional<uint64_t> if_version,
                       std::optional<std::pair<std::string, std::string>> settings,
                       std::optional<PythonWriteOp::OriginArrays> origin,
                       std::optional<std::pair<PythonSnapshot, Refs>> found) {
             return PythonWriteOp({std::move(collection), std::move(verb), std::move(ids), std::move(columns),
                                   std::move(content_hash), std::move(fates), std::move(vectors),
                                   std::move(fingerprint), std::move(scope), if_version, std::move(settings),
                                   std::move(origin), std::move(found)});
           }),
           "collection"_a, "verb"_a, "ids"_a = py::tuple(), py::kw_only(), "columns"_a = py::bytes(),
           "content_hash"_a = py::none(), "fates"_a = py::none(), "vectors"_a = py::none(),
           "fingerprint"_a = py::bytes(), "scope"_a = "", "if_version"_a = py::none(), "settings"_a = py::none(),
           "origin"_a = py::none(), "found"_a = py::none());
}

}  // namespace lamina
