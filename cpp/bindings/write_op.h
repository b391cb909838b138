// One operation of Store.write, as Python builds it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "bindings/ids.h"
#include "bindings/snapshot.h"
#include "store/store.h"

namespace lamina {

// Checked for itself when it is made, and against its collection when it is used. Keeps its buffers alive.
class PythonWriteOp {
 public:
  using Uint8Array = py::array_t<uint8_t, py::array::c_style>;
  using OriginArrays = std::tuple<Int64Array, Int64Array, Uint8Array, Int64Array>;
  struct Arguments {
    std::string collection;
    std::string verb;
    py::object ids;
    py::bytes columns;
    std::optional<Uint8Array> content_hash;
    std::optional<Uint8Array> fates;
    py::object vectors;
    py::bytes fingerprint;
    std::string scope;
    std::optional<uint64_t> if_version;
    std::optional<std::pair<std::string, std::string>> settings;  // from, to
    std::optional<OriginArrays> origin;                           // created_us, updated_us, made_from, embedded_us
    std::optional<std::pair<PythonSnapshot, Refs>> found;
  };

  explicit PythonWriteOp(Arguments arguments);

  const std::string& collection() const { return arguments_.collection; }
  // The spec that it is for: a back-fill's is that of the generation of its model, if there is one.
  std::shared_ptr<const CollectionSpec> spec_in(const Snapshot& snapshot) const;
  // For a collection of this spec; good while this lives. TypeError, DimensionMismatchError, InvalidVectorError,
  // std::invalid_argument.
  WriteOp resolve(const CollectionSpec& spec) const;

 private:
  Arguments arguments_;
  Verb verb_;
  IdSequence ids_;
  Fingerprint fingerprint_{};
  std::vector<ContentHash> content_hash_;
  std::vector<VectorFate> fates_;
  std::vector<Provenance> provenance_;  // of the origin
  std::vector<RecordRef> found_;
  size_t given_ = 0;
};

Fingerprint parse_fingerprint(const py::bytes& fingerprint);  // 32 bytes, or none for all zero

}  // namespace lamina
