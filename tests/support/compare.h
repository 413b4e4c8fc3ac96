#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <gacer/tensor.h>

#include "base/dtype.h"

namespace gacer::testing {

/// Largest difference relative to the largest magnitude of `expected`, which has the same type and
/// shape. Infinite where only one of the two is a number.
inline double relative_error(const Tensor& actual, const Tensor& expected) {
  double scale = 0;
  double error = 0;
  dispatch_dtype(actual.dtype(), [&]<typename T>(T) {
    const auto a = actual.data<T>();
    const auto e = expected.data<T>();
    for (std::size_t i = 0; i < a.size() && !std::isinf(error); ++i) {
      const auto x = static_cast<double>(static_cast<float>(a[i]));
      const auto y = static_cast<double>(static_cast<float>(e[i]));
      scale = std::max(scale, std::abs(y));
      error = std::isnan(x) != std::isnan(y) ? std::numeric_limits<double>::infinity()
                                             : std::max(error, std::abs(x - y));
    }
  });
  return error / std::max(scale, 1e-30);
}

}  // namespace gacer::testing
