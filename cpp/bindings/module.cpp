// The extension lamina._core: a table of contents.
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The C++ core of lamina. Private: `lamina` is the face of it.";
  m.attr("__version__") = LAMINA_VERSION;
  lamina::bind_errors(m);
  lamina::bind_build_info(m);
  lamina::bind_index(m);
  lamina::bind_snapshot(m);
  lamina::bind_write_op(m);
  lamina::bind_store(m);
  lamina::bind_take(m);
#ifdef LAMINA_TESTING
  lamina::bind_testing(m);
#endif
}
