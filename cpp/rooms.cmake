# lamina_room(NAME USES ROOM...): one static library of cpp/NAME/*.cpp; links, and so may include, only the rooms it uses.
# Of NOUN_x86.cpp, NOUN_arm64.cpp and NOUN_other.cpp one is taken: three answers to one header.
function(lamina_room name)
  cmake_parse_arguments(room "" "" "USES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cpp/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_(${LAMINA_OTHER_CPUS})\\.cpp$")
  include(${CMAKE_SOURCE_DIR}/cpp/${name}/isa.cmake OPTIONAL)
  if(sources)
    add_library(lamina_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()  # headers alone
    add_library(lamina_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(lamina_${name} ${scope} ${CMAKE_SOURCE_DIR}/cpp)
  target_link_libraries(lamina_${name} ${scope} Threads::Threads)
  foreach(used ${room_USES})
    target_link_libraries(lamina_${name} ${scope} lamina_${used})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY LAMINA_ROOMS ${name})
endfunction()

# lamina_isa(FILE FLAG...): flags of a single file, in the isa.cmake of its room.
function(lamina_isa file)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/cpp/${name}/${file} PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

# lamina_module(NAME USES ROOM...): the Python extension lamina._core of cpp/NAME/*.cpp.
function(lamina_module name)
  if(NOT LAMINA_PYTHON)
    return()
  endif()
  cmake_parse_arguments(room "" "" "USES" ${ARGN})
  find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
  find_package(pybind11 CONFIG REQUIRED)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cpp/${name}/*.cpp)
  pybind11_add_module(_core MODULE NO_EXTRAS ${sources})
  # Seen by Python as _core.__version__ and `lamina info --build`.
  target_compile_definitions(_core PRIVATE
    LAMINA_VERSION="${PROJECT_VERSION}"
    LAMINA_BUILD_TYPE="${CMAKE_BUILD_TYPE}"
    LAMINA_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  foreach(used ${room_USES})
    target_link_libraries(_core PRIVATE lamina_${used})
  endforeach()
  install(TARGETS _core DESTINATION lamina)
endfunction()
