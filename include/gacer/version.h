#pragma once

namespace gacer {

/// "MAJOR.MINOR.PATCH" of the library, and the commit that it was built from ("unknown" outside
/// git).
const char* version();
const char* commit();

}  // namespace gacer
