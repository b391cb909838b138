#include <pybind11/pybind11.h>

#include "bindings/bindings.h"
#include "kernels/kernels.h"

namespace py = pybind11;

namespace lamina {
namespace {

py::dict build_info() {
  py::list isas;
  for (const Kernels* table : available_kernels()) isas.append(table->name);
  py::dict info;
  info["version"] = LAMINA_VERSION;
  info["compiler"] = LAMINA_COMPILER;
  info["build_type"] = LAMINA_BUILD_TYPE;
  info["isa"] = kernels().name;
  info["isas"] = isas;
#ifdef LAMINA_TESTING
  info["testing"] = true;
#else
  info["testing"] = false;
#endif
  return info;
}

}  // namespace

void bind_build_info(py::module_& m) {
  m.def("build_info", &build_info, "How this build was made, and what it runs on this machine.");
}

}  // namespace lamina
