# Precompiled standard headers: half of the time that a small source takes. GCC uses one only where the options
# are those that it was made with, so there is one for the libraries and one for the tests.
#
# The dev preset goes without, so that it finds an #include that a source has forgotten, and so do the
# sanitizers' (GCC 12 breaks over them there). Sources with options of their own set
# SKIP_PRECOMPILE_HEADERS.

option(GACER_PRECOMPILED_HEADERS "Precompile the standard headers that most sources need" ON)

set(gacer_standard_headers
    <algorithm> <array> <chrono> <cmath> <cstddef> <cstdint> <cstring> <functional> <limits> <map> <memory>
    <mutex> <numeric> <optional> <set> <span> <string> <string_view> <thread> <unordered_map> <utility>
    <variant> <vector> <fmt/format.h>)

# gacer_use_precompiled_headers(<target> libraries|tests|own)
#
# own: for a target whose options differ from those of the other libraries.
function(gacer_use_precompiled_headers target users)
  if(NOT GACER_PRECOMPILED_HEADERS OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  # A single source with options of its own reads the headers as text.
  set_target_properties(${target} PROPERTIES PCH_WARN_INVALID OFF)
  if(users STREQUAL "own")
    target_precompile_headers(${target} PRIVATE ${gacer_standard_headers})
    return()
  endif()
  set(holder gacer_precompiled_${users})
  if(NOT TARGET ${holder})
    set(source "${PROJECT_BINARY_DIR}/generated/precompiled/${users}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "int main() { return 0; }\n")
    if(users STREQUAL "tests")
      # A program, for the code model of programs.
      add_executable(${holder} EXCLUDE_FROM_ALL "${source}")
      target_compile_options(${holder} PRIVATE ${GACER_TEST_OPTIONS})
      target_link_libraries(${holder} PRIVATE GTest::gmock GTest::gtest)
      target_precompile_headers(${holder} PRIVATE ${gacer_standard_headers} <gmock/gmock.h> <gtest/gtest.h>)
    else()
      add_library(${holder} STATIC EXCLUDE_FROM_ALL "${source}")
      target_precompile_headers(${holder} PRIVATE ${gacer_standard_headers})
    endif()
    target_link_libraries(${holder} PRIVATE gacer_warnings fmt::fmt Threads::Threads)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${holder})
endfunction()
