#include "bindings/hasher.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace py = pybind11;

namespace lamina {
namespace {

// Loading OpenSSL, which hashlib does, takes ten times as long as opening an index. So what opening hashes, which is
// little, goes to the small module behind hashlib, as in Python's own random.py; the bulk goes to hashlib, for its
// speed.
py::object sha256(size_t bytes) {
  constexpr size_t kLittle = 65536;
  const bool loaded = py::module_::import("sys").attr("modules").contains("hashlib");
  if (bytes <= kLittle && !loaded) {
    for (const char* name : {"_sha2", "_sha256"}) {  // from 3.12 on, and before
      try {
        return py::module_::import(name).attr("sha256");
      } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_ImportError)) throw;
      }
    }
  }
  return py::module_::import("hashlib").attr("sha256");
}

}  // namespace

Digest PythonHasher::digest(Bytes bytes) const {
  const py::gil_scoped_acquire acquired;
  const auto view = py::memoryview::from_memory(bytes.data(), static_cast<py::ssize_t>(bytes.size()));
  const py::bytes hashed = sha256(bytes.size())(view).attr("digest")();
  const Bytes raw = as_bytes(std::string_view(hashed));
  Digest digest{};
  if (raw.size() != digest.size()) throw std::logic_error("a SHA-256 that is not of 32 bytes");
  std::ranges::copy(raw, digest.begin());
  return digest;
}

}  // namespace lamina
