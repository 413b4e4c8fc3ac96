# Everything the build needs, found once. Nothing is downloaded: tools/setup/setup.sh puts the system
# packages and the project-local .venv in place.

set(GACER_VENV "${PROJECT_SOURCE_DIR}/.venv" CACHE PATH "Python environment made by tools/setup/setup.sh")
list(PREPEND CMAKE_PREFIX_PATH "${GACER_VENV}")

function(gacer_require package hint)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "${package} was not found (${hint}). Run 'make setup', then configure again.")
  endif()
endfunction()

find_package(dnnl 3.2 CONFIG QUIET)
gacer_require(dnnl "PyPI package onednn-devel-cpu-gomp, expected under ${GACER_VENV}")
find_package(Protobuf QUIET)
gacer_require(Protobuf "system packages libprotobuf-dev and protobuf-compiler")
find_package(nlohmann_json CONFIG QUIET)
gacer_require(nlohmann_json "system package nlohmann-json3-dev")
find_package(fmt CONFIG QUIET)
gacer_require(fmt "system package libfmt-dev")
find_package(CLI11 CONFIG QUIET)
gacer_require(CLI11 "system package libcli11-dev")
find_package(SQLite3 QUIET)
gacer_require(SQLite3 "system package libsqlite3-dev")
find_package(OpenMP COMPONENTS CXX QUIET)
gacer_require(OpenMP_CXX "part of the compiler")
if(GACER_BUILD_TESTS)
  find_package(GTest CONFIG QUIET)
  gacer_require(GTest "system package libgtest-dev")
endif()

find_path(GACER_XXHASH_INCLUDE xxhash.h)
find_library(GACER_XXHASH_LIBRARY xxhash)
mark_as_advanced(GACER_XXHASH_INCLUDE GACER_XXHASH_LIBRARY)
set(xxHash_FOUND ${GACER_XXHASH_LIBRARY})
gacer_require(xxHash "system package libxxhash-dev")
if(NOT TARGET xxHash::xxhash)
  add_library(xxHash::xxhash UNKNOWN IMPORTED)
  set_target_properties(
    xxHash::xxhash PROPERTIES IMPORTED_LOCATION "${GACER_XXHASH_LIBRARY}"
                              INTERFACE_INCLUDE_DIRECTORIES "${GACER_XXHASH_INCLUDE}")
endif()

if(GACER_CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()

# The ONNX schema, compiled from the onnx package: #include <onnx/onnx.pb.h>.
file(GLOB gacer_onnx_proto "${GACER_VENV}/lib/python3*/site-packages/onnx/onnx.proto")
set(onnx_FOUND ${gacer_onnx_proto})
gacer_require(onnx "PyPI package onnx, expected under ${GACER_VENV}")
list(GET gacer_onnx_proto 0 gacer_onnx_proto)
cmake_path(GET gacer_onnx_proto PARENT_PATH gacer_onnx_proto_dir)
set(gacer_proto_out "${PROJECT_BINARY_DIR}/generated/proto")
file(MAKE_DIRECTORY "${gacer_proto_out}/onnx")
add_custom_command(
  OUTPUT "${gacer_proto_out}/onnx/onnx.pb.h" "${gacer_proto_out}/onnx/onnx.pb.cc"
  COMMAND protobuf::protoc "--proto_path=${gacer_onnx_proto_dir}" "--cpp_out=${gacer_proto_out}/onnx"
          onnx.proto
  DEPENDS "${gacer_onnx_proto}"
  COMMENT "Compiling the ONNX schema"
  VERBATIM)
add_library(gacer_onnx_proto STATIC "${gacer_proto_out}/onnx/onnx.pb.cc"
                                    "${gacer_proto_out}/onnx/onnx.pb.h")
target_include_directories(gacer_onnx_proto SYSTEM PUBLIC "${gacer_proto_out}")
target_link_libraries(gacer_onnx_proto PUBLIC protobuf::libprotobuf)
