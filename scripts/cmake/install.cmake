# SPDX-License-Identifier: BSD-3-Clause
# What `cmake --install` lays down: headers, the library, find_package(mpnet) with the target mpnet::mpnet, and mpnet.pc.
# A static library hands the libraries that it needs on to whoever links it: the package file looks them up again,
# pkg-config names them to --static.
include(CMakePackageConfigHelpers)

install(TARGETS mpnet EXPORT mpnet-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/mpnet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(MPNET_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/mpnet)
install(EXPORT mpnet-targets NAMESPACE mpnet:: DESTINATION ${MPNET_CMAKE_DIR})
get_target_property(MPNET_LIBRARY_TYPE mpnet TYPE)
configure_package_config_file(${PROJECT_SOURCE_DIR}/scripts/cmake/mpnet-config.cmake.in
  ${PROJECT_BINARY_DIR}/mpnet-config.cmake INSTALL_DESTINATION ${MPNET_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mpnet-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mpnet-config.cmake ${PROJECT_BINARY_DIR}/mpnet-config-version.cmake
  DESTINATION ${MPNET_CMAKE_DIR})

# Directories are written relative to the file, so that an install tree can be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE MPNET_PC_LIBDIR)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
  OUTPUT_VARIABLE MPNET_PC_INCLUDEDIR)
string(REGEX REPLACE "[^/]+" ".." MPNET_PC_PREFIX "${MPNET_PC_LIBDIR}/pkgconfig")
configure_file(${PROJECT_SOURCE_DIR}/scripts/cmake/mpnet.pc.in ${PROJECT_BINARY_DIR}/mpnet.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mpnet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
