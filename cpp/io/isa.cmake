if(LAMINA_CPU STREQUAL "arm64")
  lamina_isa(crc32c_arm64.cpp -march=armv8-a+crc -fno-lto)
endif()
