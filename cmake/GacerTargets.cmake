# The functions that every folder's CMakeLists.txt is written with.

include(GNUInstallDirs)

set(GACER_TEST_LABELS unit conformance scenario e2e gpu slow tsan)
# The code under test is built as the preset says; the tests themselves need no long optimisation.
set(GACER_TEST_OPTIONS $<$<COMPILE_LANGUAGE:CXX>:-O1>)

# gacer_add_directory(<directory>): add_subdirectory, if the directory has a CMakeLists.txt.
function(gacer_add_directory directory)
  if(EXISTS "${PROJECT_SOURCE_DIR}/${directory}/CMakeLists.txt")
    add_subdirectory("${PROJECT_SOURCE_DIR}/${directory}")
  endif()
endfunction()

# "backend/cpu" -> "gacer_backend_cpu"
function(gacer_folder_target out folder)
  string(REPLACE "/" "_" name "${folder}")
  set(${out} "gacer_${name}" PARENT_SCOPE)
endfunction()

# Links what DEPS names: folders of src/ and third-party targets. A folder that is in GACER_FOLDERS but has
# no sources yet is left out; anything else that is not a target is a mistake.
function(gacer_link_deps target visibility)
  foreach(folder IN LISTS ARGN)
    gacer_folder_target(library "${folder}")
    if(TARGET ${library})
      target_link_libraries(${target} ${visibility} ${library})
    elseif(TARGET ${folder})
      target_link_libraries(${target} ${visibility} ${folder})
      set_property(GLOBAL APPEND PROPERTY GACER_EXTERNAL_TARGETS ${folder})
    elseif(folder MATCHES "^(dl|m|rt)$")  # of the C library
      target_link_libraries(${target} ${visibility} ${folder})
      set_property(GLOBAL APPEND PROPERTY GACER_EXTERNAL_TARGETS ${folder})
    elseif(NOT folder IN_LIST GACER_FOLDERS)
      message(FATAL_ERROR "${target} depends on '${folder}', which is not one of: ${GACER_FOLDERS}")
    elseif(EXISTS "${PROJECT_SOURCE_DIR}/src/${folder}/CMakeLists.txt")
      message(FATAL_ERROR "${target} depends on '${folder}', which comes later in the pipeline order")
    else()
      message(STATUS "${target}: folder src/${folder} has no CMakeLists.txt yet, left out")
    endif()
  endforeach()
endfunction()

# A source file that is missing stops the build of its own target, not the configuration of all others.
function(gacer_defer_missing_sources)
  foreach(source IN LISTS ARGN)
    if(NOT IS_ABSOLUTE "${source}" AND NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${source}"
       AND NOT EXISTS "${CMAKE_CURRENT_BINARY_DIR}/${source}")
      message(WARNING "${CMAKE_CURRENT_SOURCE_DIR}/${source} does not exist")
      set_source_files_properties("${CMAKE_CURRENT_SOURCE_DIR}/${source}" PROPERTIES GENERATED ON)
    endif()
  endforeach()
endfunction()

# gacer_add_library(<folder> SOURCES <file>... [DEPS <folder or target>...]
#                   [PRIVATE_DEPS <folder or target>...] [COMPILE_OPTIONS <option>...])
#
# The static library gacer_<folder> (alias gacer::<folder>) of src/<folder>. DEPS are other folders or
# third-party targets, seen by whoever links this one; what only its .cpp files need goes to PRIVATE_DEPS.
# Without SOURCES it is a folder of headers only. SOURCES may name files generated into the current binary
# directory.
function(gacer_add_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;PRIVATE_DEPS;COMPILE_OPTIONS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gacer_add_library(${folder}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  gacer_folder_target(target "${folder}")
  string(REPLACE "/" "_" alias "${folder}")

  gacer_defer_missing_sources(${arg_SOURCES})
  if(arg_SOURCES)
    add_library(${target} STATIC ${arg_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE gacer_warnings)
    if(arg_COMPILE_OPTIONS)
      target_compile_options(${target} PRIVATE ${arg_COMPILE_OPTIONS})
      gacer_use_precompiled_headers(${target} own)
    else()
      gacer_use_precompiled_headers(${target} libraries)
    endif()
    gacer_link_deps(${target} PRIVATE ${arg_PRIVATE_DEPS})
    set_property(GLOBAL APPEND PROPERTY GACER_LIBRARY_TARGETS ${target})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(gacer::${alias} ALIAS ${target})
  target_include_directories(${target} ${scope} "${PROJECT_SOURCE_DIR}/src"
                                                "${PROJECT_SOURCE_DIR}/include")
  gacer_link_deps(${target} ${scope} ${arg_DEPS})
  target_link_libraries(${target} ${scope} Threads::Threads)
endfunction()

# gacer_add_executable(<name> SOURCES <file>... [DEPS <folder or target>...] [INSTALL])
#
# A program in the root of the build directory. With INSTALL it goes to <prefix>/bin.
function(gacer_add_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "INSTALL" "" "SOURCES;DEPS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gacer_add_executable(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  gacer_defer_missing_sources(${arg_SOURCES})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  gacer_link_deps(${name} PRIVATE ${arg_DEPS})
  target_link_libraries(${name} PRIVATE gacer_warnings)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}"
                                           INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  if(arg_INSTALL)
    install(TARGETS ${name} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endfunction()

# gacer_add_test(<folder> SOURCES <file>... [DEPS <folder or target>...]
#                [LABELS unit|conformance|scenario|e2e|gpu|slow|tsan ...] [TIMEOUT <seconds>] [SERIAL])
#
# The GoogleTest program test_<folder>; every test of it is a ctest. The default label is "unit". A test that
# calls GTEST_SKIP is shown by ctest as skipped. SERIAL: its tests never run beside another test.
function(gacer_add_test folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "TIMEOUT" "SOURCES;DEPS;LABELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gacer_add_test(${folder}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  string(REPLACE "/" "_" name "${folder}")
  set(target "test_${name}")
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  foreach(label IN LISTS arg_LABELS)
    if(NOT label IN_LIST GACER_TEST_LABELS)
      message(FATAL_ERROR "gacer_add_test(${folder}): '${label}' is not one of: ${GACER_TEST_LABELS}")
    endif()
  endforeach()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()

  gacer_defer_missing_sources(${arg_SOURCES})
  add_executable(${target} ${arg_SOURCES})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/src"
                                               "${PROJECT_SOURCE_DIR}/include")
  target_compile_definitions(${target} PRIVATE GACER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_options(${target} PRIVATE ${GACER_TEST_OPTIONS})
  gacer_use_precompiled_headers(${target} tests)
  gacer_link_deps(${target} PRIVATE ${arg_DEPS})
  target_link_libraries(${target} PRIVATE gacer_warnings GTest::gmock GTest::gtest_main)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  foreach(label IN LISTS arg_LABELS)
    add_dependencies(tests_${label} ${target})
  endforeach()
  set(serial "")
  if(arg_SERIAL)
    set(serial RUN_SERIAL ON)
  endif()
  include(GoogleTest)
  gtest_discover_tests(
    ${target}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    PROPERTIES TIMEOUT ${arg_TIMEOUT} ${serial} ENVIRONMENT "GACER_BINARY_DIR=${PROJECT_BINARY_DIR}")
  # A list does not survive gtest_discover_tests(PROPERTIES): the labels are set when ctest reads the tests.
  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/${target}_labels.cmake" @ONLY
       CONTENT "if(${target}_TESTS)
  set_tests_properties(\${${target}_TESTS} PROPERTIES LABELS \"${arg_LABELS}\")
endif()
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
                                         "${CMAKE_CURRENT_BINARY_DIR}/${target}_labels.cmake")
endfunction()
