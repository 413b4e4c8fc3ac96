# Run by the target gacer_build_info_header.
cmake_minimum_required(VERSION 3.24)
set(commit "unknown")
if(GIT)
  execute_process(
    COMMAND "${GIT}" -C "${SOURCE_DIR}" rev-parse --short=12 HEAD
    OUTPUT_VARIABLE output
    RESULT_VARIABLE status
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(status EQUAL 0)
    set(commit "${output}")
  endif()
endif()
file(CONFIGURE OUTPUT "${OUT}" @ONLY CONTENT "// Generated. Do not edit.
#pragma once

namespace gacer {
inline constexpr char kBuildVersion[] = \"@VERSION@\";
inline constexpr char kBuildCommit[] = \"@commit@\";
}  // namespace gacer
")
