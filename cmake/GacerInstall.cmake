# libgacer: all folders in one shared library with the public headers, for find_package(gacer).

include(CMakePackageConfigHelpers)

get_property(gacer_folder_libraries GLOBAL PROPERTY GACER_LIBRARY_TARGETS)
get_property(gacer_external_libraries GLOBAL PROPERTY GACER_EXTERNAL_TARGETS)
list(REMOVE_DUPLICATES gacer_external_libraries)

if(gacer_folder_libraries)
  add_library(libgacer SHARED)
  add_library(gacer::gacer ALIAS libgacer)
  foreach(library IN LISTS gacer_folder_libraries)
    target_sources(libgacer PRIVATE $<TARGET_OBJECTS:${library}>)
  endforeach()
  target_link_libraries(libgacer PRIVATE ${gacer_external_libraries} Threads::Threads)
  target_include_directories(
    libgacer INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
                       "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_compile_features(libgacer INTERFACE cxx_std_20)
  set_target_properties(
    libgacer
    PROPERTIES OUTPUT_NAME gacer
               EXPORT_NAME gacer
               LINKER_LANGUAGE CXX
               VERSION "${PROJECT_VERSION}"
               SOVERSION "${PROJECT_VERSION_MAJOR}"
               LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib"
               INSTALL_RPATH "$ORIGIN")

  install(TARGETS libgacer EXPORT GacerTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  # oneDNN comes from the project-local environment, which an installed library must not need.
  install(FILES "$<TARGET_FILE:DNNL::dnnl>" DESTINATION "${CMAKE_INSTALL_LIBDIR}"
          RENAME "$<TARGET_SONAME_FILE_NAME:DNNL::dnnl>")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/gacer" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
          FILES_MATCHING PATTERN "*.h")
  set(gacer_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/gacer")
  install(EXPORT GacerTargets NAMESPACE gacer:: DESTINATION "${gacer_config_dir}")
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/gacer-config.cmake.in"
                                "${PROJECT_BINARY_DIR}/gacer-config.cmake"
                                INSTALL_DESTINATION "${gacer_config_dir}")
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/gacer-config-version.cmake"
                                   COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/gacer-config.cmake"
                "${PROJECT_BINARY_DIR}/gacer-config-version.cmake"
          DESTINATION "${gacer_config_dir}")
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
endif()
