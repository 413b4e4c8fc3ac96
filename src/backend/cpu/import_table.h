#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace gacer::cpu {

/// One function that a shared library imports.
struct Import {
  const char* name = nullptr;
  void* replacement = nullptr;
  void** original = nullptr;  ///< receives what the name means to the rest of the process
};

/// Makes a loaded library's own calls of `imports` go to the replacements: writes its relocated
/// addresses anew, which no other library sees. Names that it does not import are left out.
/// Error{kDevice} when the library is not loaded, when it imports none of them, or when it imports
/// a function with one of the prefixes that is not in the list.
void bind_imports(std::string_view library, std::span<const Import> imports,
                  const std::vector<std::string_view>& prefixes);

}  // namespace gacer::cpu
