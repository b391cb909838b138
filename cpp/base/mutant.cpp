#include "base/mutant.h"

#ifdef LAMINA_TESTING

#include <cstdlib>

namespace lamina {

bool is_off(std::string_view safeguard) {
  static const char* const name = std::getenv("LAMINA_MUTANT");
  return name != nullptr && safeguard == name;
}

}  // namespace lamina

#endif
