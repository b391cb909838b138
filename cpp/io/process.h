// Which process this is, as a lock's note tells it to others.
#pragma once

#include <cstdint>
#include <string>

namespace lamina {

int64_t process_id();     // another one in a forked child
std::string host_name();  // "" if the system does not say

}  // namespace lamina
