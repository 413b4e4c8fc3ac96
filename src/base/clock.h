#pragma once

#include <chrono>

namespace gacer {

/// Host time that has passed since `begin`, in seconds.
inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Adds the seconds of its life to a sum.
class AddsSeconds {
 public:
  explicit AddsSeconds(double& sum) : sum_(sum) {}
  ~AddsSeconds() { sum_ += seconds_since(begin_); }
  AddsSeconds(const AddsSeconds&) = delete;
  AddsSeconds& operator=(const AddsSeconds&) = delete;

 private:
  double& sum_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace gacer
