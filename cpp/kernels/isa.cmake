# Each instruction set is compiled for itself alone, never with link-time optimization, which could carry its
# instructions into other objects. Read by lamina_room, where `sources` are this room's files.
if(LAMINA_CPU STREQUAL "x86")
  set(avx2 -mavx2 -mfma -mf16c -fno-lto)
  set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl ${avx2})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # its own AVX-512 header warns (GCC bug 105593)
    list(APPEND avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  lamina_isa(avx2.cpp ${avx2})
  lamina_isa(avx2_vnni.cpp ${avx2} -mavxvnni)
  lamina_isa(avx512.cpp ${avx512})
  lamina_isa(avx512_vnni.cpp ${avx512} -mavx512vnni)
  lamina_isa(avx512_vpopcntdq.cpp ${avx512} -mavx512vpopcntdq)
else()
  list(FILTER sources EXCLUDE REGEX "/avx[^/]*\\.cpp$")
endif()

if(LAMINA_CPU STREQUAL "arm64")  # where NEON is in the baseline
  set(neon -fno-lto)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # it would load so far ahead that sums leave their registers
    list(APPEND neon -fno-schedule-insns)
  endif()
  lamina_isa(neon.cpp ${neon})
  lamina_isa(neon_dot.cpp ${neon} -march=armv8.2-a+dotprod)
else()
  list(FILTER sources EXCLUDE REGEX "/neon[^/]*\\.cpp$")
endif()
