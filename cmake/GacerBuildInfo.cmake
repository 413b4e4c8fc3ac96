# The target gacer_build_info: #include <gacer_build_info.h> for the version and the commit that was built.
# The header is looked at in every build and rewritten only when the commit changed.

set(gacer_build_info_dir "${PROJECT_BINARY_DIR}/generated/build_info")
find_package(Git QUIET)
add_custom_target(
  gacer_build_info_header
  COMMAND
    "${CMAKE_COMMAND}" "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}" "-DGIT=${GIT_EXECUTABLE}"
    "-DVERSION=${PROJECT_VERSION}" "-DOUT=${gacer_build_info_dir}/gacer_build_info.h" -P
    "${PROJECT_SOURCE_DIR}/cmake/WriteBuildInfo.cmake"
  BYPRODUCTS "${gacer_build_info_dir}/gacer_build_info.h"
  VERBATIM)
add_library(gacer_build_info INTERFACE)
target_include_directories(gacer_build_info INTERFACE "${gacer_build_info_dir}")
add_dependencies(gacer_build_info gacer_build_info_header)
