#include "io/process.h"

#include <unistd.h>

#include <array>

namespace lamina {

int64_t process_id() { return ::getpid(); }

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

}  // namespace lamina
