// What is fixed about a set of vectors, as Python says and sees it: the same for Index, collections and snapshots.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "codes/metric.h"
#include "segment/migration.h"

namespace lamina {

// std::invalid_argument for a name or a number that cannot be. The dtype is ignored for hamming: packed bits.
VectorSpec make_spec(uint32_t dim, const std::string& metric, const std::string& dtype, const std::string& codes,
                     const std::string& layout, uint32_t m, uint32_t ef_construction, uint64_t seed);

std::string name_of(CodeKind codes);        // "none", "i8"
std::string name_of(MigrationStage stage);  // "none", "backfill", "cut_over"
MigrationStage parse_stage(const std::string& name);

// The fields of spec(self) as read-only properties of a bound class.
template <class Class, class SpecOf>
void bind_spec(Class& bound, SpecOf spec) {
  using Self = const typename Class::type&;
  bound.def_property_readonly("dim", [spec](Self self) { return spec(self).dim; })
      .def_property_readonly("metric", [spec](Self self) { return std::string(name_of(spec(self).metric)); })
      .def_property_readonly("dtype", [spec](Self self) { return std::string(name_of(spec(self).dtype)); })
      .def_property_readonly("codes", [spec](Self self) { return name_of(spec(self).codes); })
      .def_property_readonly("layout", [spec](Self self) { return std::string(name_of(spec(self).layout)); })
      .def_property_readonly("m", [spec](Self self) { return spec(self).m; })
      .def_property_readonly("ef_construction", [spec](Self self) { return spec(self).ef_construction; })
      .def_property_readonly("seed", [spec](Self self) { return spec(self).seed; });
}

}  // namespace lamina
