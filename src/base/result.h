#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/error.h"

namespace gacer {

/// An expected "no", with its reason in words that a user can read.
struct Refusal {
  std::string reason;
};

/// Formats a refusal: `return refuse("kernel {} exceeds …", k)`.
template <typename... Args>
Refusal refuse(fmt::format_string<Args...> format, Args&&... args) {
  return Refusal{fmt::format(format, std::forward<Args>(args)...)};
}

/// A value, or the reason why there is none. `Result<void>` is yes or a reason.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}            // NOLINT: implicit by design
  Result(Refusal refusal) : state_(std::move(refusal)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// Precondition: ok().
  const T& value() const& { return std::get<0>(state_); }
  T& value() & { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

  /// Precondition: !ok().
  const std::string& reason() const { return std::get<1>(state_).reason; }

 private:
  std::variant<T, Refusal> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Refusal refusal) : refusal_(std::move(refusal)), ok_(false) {}  // NOLINT

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const std::string& reason() const { return refusal_.reason; }

 private:
  Refusal refusal_;
  bool ok_ = true;
};

}  // namespace gacer
