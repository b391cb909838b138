// What module.cpp calls: each file of this room adds its part to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace lamina {

void bind_errors(pybind11::module_& m);
void bind_build_info(pybind11::module_& m);
void bind_index(pybind11::module_& m);
void bind_write_op(pybind11::module_& m);
void bind_snapshot(pybind11::module_& m);
void bind_store(pybind11::module_& m);
void bind_take(pybind11::module_& m);
#ifdef LAMINA_TESTING
void bind_testing(pybind11::module_& m);
#endif

}  // namespace lamina
