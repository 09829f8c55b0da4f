# SPDX-License-Identifier: BSD-3-Clause
# mpnet_add_crash_test(LAYER O3_SHARE O0_SHARE sources…): a program that kills at every instruction.  Crash order is
# assembly order, so it is built by each compiler that is there, plain and optimised, with the library's sources among its
# own.  In each run every SHAREth operation is cut, others in each run; by hand `--full` cuts all of them everywhere.
function(mpnet_add_crash_test layer o3_share o0_share)
  # Sanitizers would multiply the instructions and prove nothing more; the preset clang would build release's programs again.
  if(MPNET_SANITIZE OR NOT MPNET_BUILD_STEPPERS)
    return()
  endif()
  find_program(MPNET_GXX g++)
  find_program(MPNET_CLANGXX clang++)
  set(sources ${PROJECT_SOURCE_DIR}/tests/support/stepper.cpp ${PROJECT_SOURCE_DIR}/tests/support/crash_run.cpp)
  foreach(source ${ARGN})
    list(APPEND sources ${PROJECT_SOURCE_DIR}/${source})
  endforeach()
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/mpnet/*.hpp
       ${PROJECT_SOURCE_DIR}/include/mpnet/detail/*.hpp ${PROJECT_SOURCE_DIR}/src/${layer}/*.hpp
       ${PROJECT_SOURCE_DIR}/tests/${layer}/*.hpp ${PROJECT_SOURCE_DIR}/tests/support/*.hpp)
  foreach(compiler gcc clang)
    set(program ${MPNET_GXX})
    if(compiler STREQUAL clang)
      set(program ${MPNET_CLANGXX})
    endif()
    if(NOT program)
      message(STATUS "${layer}_crash: no ${compiler}, not built with it")
      continue()
    endif()
    foreach(level O0 O3)
      set(share ${o3_share})
      if(level STREQUAL O0)
        set(share ${o0_share})  # the same operations take ten times the instructions
      endif()
      set(name ${layer}_crash_${compiler}_${level})
      add_custom_command(OUTPUT ${name}
        COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${program} -std=c++20 -${level} -g1 -I${PROJECT_SOURCE_DIR}/include
                -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/tests ${sources} -o ${name} $<TARGET_FILE:mpnet>
                -lfmt -lnuma -lpciaccess -lpcap -lrt
        DEPENDS ${sources} ${headers} mpnet VERBATIM)
      add_custom_target(build_${name} ALL DEPENDS ${name})
      set(test "${layer}: killed at every instruction (${compiler} -${level})")
      add_test(NAME "${test}" COMMAND ${name} --share ${share})
      set_tests_properties("${test}" PROPERTIES LABELS "${layer};crash" TIMEOUT 240 SKIP_RETURN_CODE 77)
    endforeach()
  endforeach()
endfunction()
