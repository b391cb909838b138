// C++ exceptions become the Python classes of the same name in lamina.errors.
#include "base/error.h"

#include <pybind11/pybind11.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "bindings/bindings.h"

namespace py = pybind11;
using namespace py::literals;

namespace lamina {
namespace {

void raise(const char* name, const std::exception& error, const py::dict& attributes = {}) {
  const py::object type = py::module_::import("lamina.errors").attr(name);
  const py::object value = type(error.what(), **attributes);
  PyErr_SetObject(type.ptr(), value.ptr());
}

void translate(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const DimensionMismatchError& e) {
    raise("DimensionMismatchError", e);
  } catch (const ModelMismatchError& e) {
    raise("ModelMismatchError", e);
  } catch (const InvalidVectorError& e) {
    raise("InvalidVectorError", e);
  } catch (const DuplicateIdError& e) {
    raise("DuplicateIdError", e);
  } catch (const NotFoundError& e) {
    raise("NotFoundError", e);
  } catch (const ConflictError& e) {
    raise("ConflictError", e);
  } catch (const MigrationStateError& e) {
    raise("MigrationStateError", e);
  } catch (const ClosedError& e) {
    raise("ClosedError", e);
  } catch (const ReadOnlyError& e) {
    raise("ReadOnlyError", e);
  } catch (const CorruptionError& e) {
    raise("CorruptionError", e,
          py::dict("file"_a = e.file, "offset"_a = e.offset, "expected"_a = e.expected, "found"_a = e.found));
  } catch (const FormatVersionError& e) {
    const bool old = e.age == FormatVersionError::Age::kTooOld;
    raise("FormatVersionError", e, py::dict("file"_a = e.file, "age"_a = old ? "too old" : "too new"));
  } catch (const StorageError& e) {
    raise("StorageError", e, py::dict("errno"_a = e.error_number, "path"_a = e.path));
  } catch (const LockedError& e) {
    raise("LockedError", e, py::dict("path"_a = e.path, "pid"_a = e.pid, "host"_a = e.host));
  } catch (const Error& e) {
    raise("LaminaError", e);
  } catch (const std::overflow_error& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  }
}

}  // namespace

void bind_errors(py::module_&) { py::register_local_exception_translator(&translate); }

}  // namespace lamina
