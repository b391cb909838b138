# An unsupported platform stops here, with one sentence.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_QUIET ON)
check_cxx_source_compiles("
  static_assert(sizeof(void*) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  int main() {}" LAMINA_64_BIT_LITTLE_ENDIAN)
if(NOT CMAKE_SYSTEM_NAME MATCHES "^(Linux|Darwin)$" OR NOT LAMINA_64_BIT_LITTLE_ENDIAN)
  message(FATAL_ERROR
    "lamina supports 64-bit little-endian Linux and macOS, and this is ${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}.")
endif()

check_cxx_source_compiles("
  #include <concepts>
  #include <span>
  int main() { int one[1] = {}; return static_cast<int>(std::span<int>(one).size()) - 1; }" LAMINA_CXX20)
if(NOT LAMINA_CXX20)
  message(FATAL_ERROR
    "lamina needs a C++20 compiler (GCC 12, clang 14, or later), and this is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}.")
endif()
unset(CMAKE_REQUIRED_QUIET)

# Which of a room's files for one architecture are taken: lamina_room knows.
set(LAMINA_CPU other)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(LAMINA_CPU x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(LAMINA_CPU arm64)
endif()
set(LAMINA_OTHER_CPUS x86 arm64 other)
list(REMOVE_ITEM LAMINA_OTHER_CPUS ${LAMINA_CPU})
list(JOIN LAMINA_OTHER_CPUS "|" LAMINA_OTHER_CPUS)
