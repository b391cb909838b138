// A short life of a store.
#pragma once

#include <ostream>
#include <string>

#include "store/life.h"

namespace lamina {

struct Scenario {
  const char* name;
  void (*run)(Life& life);
};

inline std::string scenario_name(const testing::TestParamInfo<Scenario>& scenario) { return scenario.param.name; }

inline void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

namespace scenario {

inline void begin(Life& life, StoreOptions options = {}) {
  life.open(options);
  life.make("docs");
}

}  // namespace scenario

}  // namespace lamina
