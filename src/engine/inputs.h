#pragma once

#include <cstdint>

#include <gacer/tensor.h>

#include "base/precision.h"
#include "graph/graph.h"

namespace gacer {

/// What values of a graph input make sense.
struct InputRange {
  /// Integers: uniform in [low, high]. Floats: normal with mean 0 and deviation 1.
  std::int64_t low = 0;
  std::int64_t high = 0;
};

/// The range of an integer input: indices of every table that it reaches through operators that
/// only move or cast numbers; without a table it is a mask or a length, and all ones.
InputRange find_input_range(const Graph& graph, ValueId input);

/// Seeded numbers of any type. Equal arguments give equal tensors in every process.
Tensor make_random_tensor(DType dtype, const Shape& shape, const InputRange& range,
                          std::uint64_t seed);

/// Each number of a float tensor one unit of a precision's significand larger or smaller, at
/// random: what rounds as well to that precision. Tensors of other types stay as they are.
Tensor nudge(const Tensor& tensor, Precision precision, std::uint64_t seed);

/// The random value of a graph input for one seed; differs between the inputs of a graph.
Tensor make_random_input(const Graph& graph, ValueId input, std::uint64_t seed);

}  // namespace gacer
