#include <gacer_build_info.h>

#include <gacer/version.h>

namespace gacer {

const char* version() { return kBuildVersion; }
const char* commit() { return kBuildCommit; }

}  // namespace gacer
