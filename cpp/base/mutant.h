// A safeguard switched off, to see that the tests notice: one at a time, named by LAMINA_MUTANT, in test builds only.
#pragma once

#include <string_view>

namespace lamina {

#ifdef LAMINA_TESTING
bool is_off(std::string_view safeguard);
#else
constexpr bool is_off(std::string_view) { return false; }
#endif

}  // namespace lamina
