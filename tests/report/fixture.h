#pragma once

#include <string>
#include <vector>

#include <gacer/engine.h>

namespace gacer::report_test {

/// A comparison of made-up numbers: 3 tenants on 2 cores, 3 policies with timelines; gacer is used.
Comparison make_comparison();

/// A model that tries to break what prints it: markup, quotes, control characters, broken UTF-8.
inline const std::string kHostileName = "</script><b>\"x\"\n\t\xff\xc3 @GACER_DATA@ <!--";

}  // namespace gacer::report_test
