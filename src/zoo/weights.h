#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <gacer/tensor.h>

namespace gacer {

/// How the elements of a weight are drawn: independent, triangular about `mean`, with the standard
/// deviation `deviation`, so never further from the mean than 2.45 deviations.
struct Distribution {
  double mean = 0;
  double deviation = 1;
};

/// An f32 tensor whose elements depend on `model`, `name`, `seed` and their index only. Large
/// tensors are made by several threads, and shared: while one lives in the process, another call
/// with the same arguments returns the same (read-only) bytes. Thread-safe.
Tensor make_weight(std::string_view model, std::string_view name, std::uint64_t seed, Shape shape,
                   Distribution distribution);

}  // namespace gacer
