// Linear, Gemm and MatMul as products of matrices.

#include "backend/cuda/blas_plan.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"
#include "ops/common.h"

namespace gacer::cuda {
namespace {

bool is_plain(const OperandDesc& desc) {
  return desc.is_dense() && desc.layout == Layout::kRowMajor;
}

/// Elements between rows (all axes but the last are rows).
std::optional<std::int64_t> row_pitch(const OperandDesc& desc) {
  if (!is_plain(desc) || desc.shape.rank() < 1) return std::nullopt;
  return desc.shape[desc.shape.rank() - 1];
}

Result<void> take_bias(const KernelCall& call, int input, float scale, BlasCall& plan) {
  const Tensor* bias = call.constant(input);
  if (bias == nullptr) return refuse("the bias is computed");
  std::vector<float> values = floats(*bias);
  if (values.size() == 1) values.assign(static_cast<std::size_t>(plan.product.n), values[0]);
  const Shape& shape = bias->shape();
  if (static_cast<std::int64_t>(values.size()) != plan.product.n ||
      (shape.rank() > 0 && shape.num_elements() > 1 && shape[shape.rank() - 1] != plan.product.n))
    return refuse("a bias of shape {} for {} columns", shape.to_string(), plan.product.n);
  for (float& value : values) value *= scale;
  plan.bias = std::move(values);
  plan.product.has_bias = true;
  return {};
}

Result<BlasCall> plan_linear(const KernelCall& call) {
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  BlasCall plan;
  BlasProduct& p = plan.product;
  const int rank = x.shape.rank();
  p.trans_b = call.node.attributes.get_int("transB", 0) != 0;
  p.m = product(x.shape, 0, rank - 1);
  p.k = x.shape[rank - 1];
  p.n = w.shape[p.trans_b ? 0 : 1];
  p.lda = p.k;
  p.ldb = w.shape[1];
  p.ldy = p.n;
  plan.packs_b = call.constant(1) != nullptr;
  if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
    if (const auto bias = take_bias(call, 2, 1, plan); !bias) return Refusal{bias.reason()};
  return plan;
}

Result<BlasCall> plan_gemm(const KernelCall& call) {
  const OperandDesc& a = call.inputs[0];
  const OperandDesc& b = call.inputs[1];
  const Attributes& attributes = call.node.attributes;
  BlasCall plan;
  BlasProduct& p = plan.product;
  p.trans_a = attributes.get_int("transA", 0) != 0;
  p.trans_b = attributes.get_int("transB", 0) != 0;
  p.alpha = attributes.get_float("alpha", 1);
  p.m = a.shape[p.trans_a ? 1 : 0];
  p.k = a.shape[p.trans_a ? 0 : 1];
  p.n = b.shape[p.trans_b ? 0 : 1];
  p.lda = a.shape[1];
  p.ldb = b.shape[1];
  p.ldy = p.n;
  plan.packs_b = call.constant(1) != nullptr;
  if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
    if (const auto bias = take_bias(call, 2, attributes.get_float("beta", 1), plan); !bias)
      return Refusal{bias.reason()};
  return plan;
}

Result<BlasCall> plan_matmul(const KernelCall& call) {
  const OperandDesc& a = call.inputs[0];
  const OperandDesc& b = call.inputs[1];
  const int a_rank = a.shape.rank();
  const int b_rank = b.shape.rank();
  if (a_rank < 2 || b_rank < 2) return refuse("a vector operand");
  BlasCall plan;
  BlasProduct& p = plan.product;
  p.k = a.shape[a_rank - 1];
  p.n = b.shape[b_rank - 1];
  p.lda = p.k;
  p.ldb = p.n;
  p.ldy = p.n;
  plan.packs_b = call.constant(1) != nullptr;
  const std::int64_t b_batch = product(b.shape, 0, b_rank - 2);
  if (b_batch == 1) {
    p.m = product(a.shape, 0, a_rank - 1);
    return plan;
  }
  const std::int64_t a_batch = product(a.shape, 0, a_rank - 2);
  p.m = a.shape[a_rank - 2];
  const bool is_same = a_rank == b_rank &&
                       std::equal(a.shape.begin(), a.shape.begin() + a_rank - 2, b.shape.begin());
  if (!is_same && a_batch != 1) return refuse("batches that are broadcast against each other");
  p.batch = b_batch;
  p.stride_a = a_batch == 1 ? 0 : p.m * p.k;
  p.stride_b = p.k * p.n;
  p.stride_y = p.m * p.n;
  return plan;
}

}  // namespace

Result<BlasCall> plan_matmul_product(const KernelCall& call) {
  const std::string& op = call.node.op;
  if (op != "Linear" && op != "Gemm" && op != "MatMul") return refuse("{} is no product", op);
  const DType dtype = call.inputs[0].dtype;
  const DType result = call.outputs[0].dtype;
  if (const auto types = product_types(dtype, result); !types) return Refusal{types.reason()};
  if (call.inputs[1].dtype != dtype) return refuse("operands of two types");
  for (std::size_t i = 0; i < 2; ++i)
    if (!is_plain(call.inputs[i])) return refuse("operand {} is not dense and row-major", i);
  if (!is_plain(call.outputs[0])) return refuse("the result is not dense and row-major");
  Result<BlasCall> plan = op == "Linear" ? plan_linear(call)
                          : op == "Gemm" ? plan_gemm(call)
                                         : plan_matmul(call);
  if (!plan) return plan;
  plan.value().product.dtype = dtype;
  plan.value().product.result = result;
  plan.value().product.allow_tf32 = call.precision == Precision::kTF32;
  if (const auto posts = take_post_ops(call, row_pitch, plan.value()); !posts)
    return Refusal{posts.reason()};
  return plan;
}

}  // namespace gacer::cuda
