#include "bindings/hasher.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace py = pybind11;

namespace lamina {

Digest HashlibHasher::digest(Bytes bytes) const {
  const py::gil_scoped_acquire acquired;
  const auto view = py::memoryview::from_memory(bytes.data(), static_cast<py::ssize_t>(bytes.size()));
  const py::bytes hashed = py::module_::import("hashlib").attr("sha256")(view).attr("digest")();
  const Bytes raw = as_bytes(std::string_view(hashed));
  Digest digest{};
  if (raw.size() != digest.size()) throw std::logic_error("hashlib's SHA-256 is not of 32 bytes");
  std::ranges::copy(raw, digest.begin());
  return digest;
}

}  // namespace lamina
