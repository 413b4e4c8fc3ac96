#pragma once

#include <cstdint>

#include "ops/common.h"

namespace gacer {

/// Numpy's matrix product: outer axes broadcast, a vector is a row on the left and a column on the
/// right.
struct MatMulShapes {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  Shape a_outer;
  Shape b_outer;
  Shape outer;
  Shape out;
};
/// Error{kModel} when the shapes do not agree.
MatMulShapes matmul_shapes(const Shape& a, const Shape& b);

/// Calls body(index in the output, offset of the row in A, offset of the column in B) for every
/// element of the product.
template <typename Body>
void multiply_matrices(const MatMulShapes& shapes, Team& team, const Body& body) {
  const std::array strides{broadcast_strides(shapes.a_outer, shapes.outer),
                           broadcast_strides(shapes.b_outer, shapes.outer)};
  team.parallel_for(shapes.outer.num_elements(), 1, [&](std::int64_t begin, std::int64_t end) {
    for_each_broadcast(shapes.outer, strides, begin, end,
                       [&](std::int64_t i, const std::array<std::int64_t, 2>& offsets) {
                         for (std::int64_t m = 0; m < shapes.m; ++m)
                           for (std::int64_t n = 0; n < shapes.n; ++n)
                             body((i * shapes.m + m) * shapes.n + n,
                                  (offsets[0] * shapes.m + m) * shapes.k,
                                  offsets[1] * shapes.k * shapes.n + n);
                       });
  });
}

/// The batch may be on the rows of A, the columns of B or an outer axis.
SplitResult split_matmul(const SplitContext& context);

}  // namespace gacer
