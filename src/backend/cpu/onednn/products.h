#pragma once

#include "backend/cpu/onednn/descriptors.h"

namespace gacer::cpu {

/// The descriptions of a matrix product a · b + bias: [M, K], [K, N] and [M, N], or stacks of them.
struct Product {
  memory::desc a;
  memory::desc b;
  memory::desc bias;  ///< one row; empty when there is none
  memory::desc out;
};

bool has_bias(const KernelCall& call);

/// Linear, Gemm without factors, and MatMul of matrices and stacks of them; or why not. Outer axes
/// of a Linear are merged into rows where operands of its post-ops allow it.
Result<Product> describe_product(const KernelCall& call);

}  // namespace gacer::cpu
