// Shared by kernels and the host side.
#pragma once

namespace gacer::cuda {

/// A divisor of numbers below 2^31, as a product and a shift: dividing by what only a launch knows
/// takes a kernel some twenty instructions that wait for each other.
struct Divisor {
  int value = 1;
  unsigned multiplier =
      1;  ///< number / value = (high half of number * multiplier + number) >> shift
  unsigned shift = 0;
};

/// `value` is positive. After Granlund and Montgomery, "Division by invariant integers using
/// multiplication".
constexpr Divisor make_divisor(int value) {
  Divisor divisor;
  divisor.value = value;
  const auto wide = static_cast<unsigned long long>(value);
  while ((1ULL << divisor.shift) < wide) ++divisor.shift;
  divisor.multiplier = static_cast<unsigned>((((1ULL << divisor.shift) - wide) << 32) / wide + 1);
  return divisor;
}

}  // namespace gacer::cuda
