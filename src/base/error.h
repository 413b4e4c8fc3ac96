#pragma once

#include <string_view>

#include <fmt/core.h>

#include <gacer/error.h>

namespace gacer {

/// Throws Error{kind} with a formatted message: `fail(ErrorKind::kModel, "node '{}' …", name)`.
template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error{kInternal} when `condition` is false: a broken invariant of ours, never bad input.
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(ErrorKind::kInternal, format, std::forward<Args>(args)...);
}

}  // namespace gacer
