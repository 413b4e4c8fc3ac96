#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gacer/tensor.h>

#include "backend/cuda/blas.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/services.h"
#include "device/kernel.h"

namespace gacer::cuda {

/// y[M, N] = act(alpha * a[M, K] · b[K, N] + c[M, N] + bias[N]), row-major, `batch` times. Leading
/// sizes and batch strides in elements.
struct BlasProduct {
  enum class Act { kNone, kRelu, kGeluTanh };
  DType dtype = DType::kF16;   ///< of a and b
  DType result = DType::kF16;  ///< of y, c and the bias: the same, or f32
  std::int64_t m = 1, n = 1, k = 1, batch = 1;
  std::int64_t lda = 1, ldb = 1, ldc = 1, ldy = 1;
  bool trans_a = false;  ///< a is stored [K, M]
  bool trans_b = false;  ///< b is stored [N, K]
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0, stride_y = 0;
  float alpha = 1;
  bool has_c = false;
  bool has_bias = false;
  Act act = Act::kNone;
  bool allow_tf32 = false;
  std::string text() const;
};

/// A node as one product: where its operands come from, and what cuBLASLt leaves over.
struct BlasCall {
  BlasProduct product;
  int a = 0, b = 1, c = kNone;  ///< node inputs
  bool packs_b = false;         ///< b is a constant weight, kept by the kernel
  std::vector<float> bias;      ///< empty: none
  /// Post-ops that no epilogue takes, in place on the result.
  std::optional<PointwiseSpec> rest;
  std::vector<int> rest_inputs;  ///< node inputs behind rest.in[1], …
  std::size_t posts_taken = 0;   ///< post-ops of the node that are not in `rest`
};

/// A node as a product, or why it is none: Linear, Gemm and MatMul; Conv with a 1x1 window.
Result<BlasCall> plan_matmul_product(const KernelCall& call);
Result<BlasCall> plan_conv_product(const KernelCall& call);
using ProductPlanner = Result<BlasCall> (*)(const KernelCall& call);

/// Takes a call's post-ops into the product as far as the epilogue goes, the rest into `rest`.
/// `pitch`: elements between rows of a full-size operand, empty when it does not lie in rows.
Result<void> take_post_ops(const KernelCall& call,
                           std::optional<std::int64_t> (*pitch)(const OperandDesc&),
                           BlasCall& plan);

/// cuBLASLt on one device.
class Blas {
 public:
  explicit Blas(const Services& services);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  /// Keys of at most `count` algorithms, best guess first; `sm_target` 0 is the whole device.
  std::vector<std::string> variants(const BlasProduct& product, int sm_target,
                                    std::size_t count) const;
  /// Whether a key is of this library's version.
  static bool knows(const std::string& key);
  /// Error{kUnsupported} when the key is foreign or its algorithm does not fit.
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const BlasCall& plan,
                                  const std::string& key) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gacer::cuda
