# Compiler, linker and warning settings of every target of this project.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(GACER_CCACHE ccache)
find_program(GACER_ENV env)
mark_as_advanced(GACER_CCACHE GACER_ENV)
if(GACER_CCACHE AND GACER_ENV AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths relative to the source tree: build directories of one checkout share their objects.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${GACER_ENV}" "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}"
                                  "CCACHE_NOHASHDIR=1"
                                  # What precompiled headers need.
                                  "CCACHE_SLOPPINESS=pch_defines,time_macros" "${GACER_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
endif()

find_program(GACER_MOLD mold)
mark_as_advanced(GACER_MOLD)
if(GACER_MOLD)
  include(CheckLinkerFlag)
  check_linker_flag(CXX "-fuse-ld=mold" GACER_HAS_MOLD)
  if(GACER_HAS_MOLD)
    add_link_options("-fuse-ld=mold")
  endif()
endif()
# An undefined symbol in a shared library is an error when it is linked, not when it is loaded.
add_link_options("LINKER:-z,defs,--as-needed")

find_package(Threads REQUIRED)

if(GACER_SANITIZE)
  string(REPLACE "," ";" sanitizers "${GACER_SANITIZE}")
  foreach(sanitizer IN LISTS sanitizers)
    if(NOT sanitizer MATCHES "^(address|undefined|leak|thread)$")
      message(FATAL_ERROR "GACER_SANITIZE names '${sanitizer}'; known are address, undefined, leak, thread")
    endif()
  endforeach()
  add_compile_options("-fsanitize=${GACER_SANITIZE}" -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options("-fsanitize=${GACER_SANITIZE}")
endif()

# Warnings go to our own targets only (gacer_warnings), never to generated code.
add_library(gacer_warnings INTERFACE)
target_compile_options(
  gacer_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wextra-semi
            -Wcast-align
            -Wredundant-decls
            # Aggregates leave the rest to their default initialisers.
            -Wno-missing-field-initializers>
            $<$<AND:$<BOOL:${GACER_WERROR}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>)
# At -O3, and in instrumented code, these warnings speak of library code that GCC 12 and 13 misread. The dev
# preset keeps them.
if(GACER_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(
    gacer_warnings
    INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized
              -Wno-array-bounds
              -Wno-restrict
              -Wno-stringop-overflow
              -Wno-stringop-overread>)
endif()
