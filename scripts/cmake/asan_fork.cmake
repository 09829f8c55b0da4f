# SPDX-License-Identifier: BSD-3-Clause
# Programs of a build with ASan fork safely, though they have threads; tests/support/asan_fork.cpp says how.
if(MPNET_SANITIZE MATCHES "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_FLAGS -fsanitize=address)
  set(CMAKE_REQUIRED_LINK_OPTIONS -static-libasan)
  check_cxx_source_compiles("#include \"${PROJECT_SOURCE_DIR}/tests/support/asan_fork.cpp\"\nint main() {}" MPNET_ASAN_FORK)
  unset(CMAKE_REQUIRED_FLAGS)
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  if(MPNET_ASAN_FORK)
    add_link_options(-static-libasan)
    add_library(asan_fork OBJECT tests/support/asan_fork.cpp)
    link_libraries(asan_fork)  # of the programs that follow; the library is made already
  endif()
endif()
