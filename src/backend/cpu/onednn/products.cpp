#include "backend/cpu/onednn/products.h"

namespace gacer::cpu {
namespace {

Result<memory::desc> describe_matrix(const OperandDesc& operand, bool is_transposed) {
  auto desc = describe(operand);
  if (!desc || !is_transposed) return desc;
  return desc->permute_axes({1, 0});
}

/// The last axis of a vector (or of a row) as `rank` axes.
Result<memory::desc> describe_row(const OperandDesc& operand, int rank, std::int64_t columns) {
  if (operand.shape.num_elements() != columns)
    return refuse("a bias {} for {} columns", operand.shape.to_string(), columns);
  memory::dims dims(static_cast<std::size_t>(rank), 1);
  dims.back() = columns;
  return describe_as(operand, dims);
}

/// x[…, K] · W + bias with the outer axes merged into rows.
Result<Product> merged_linear(const KernelCall& call, bool trans_a, bool trans_b) {
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  const std::int64_t n = y.shape[y.shape.rank() - 1];
  Product product;
  if (trans_a) {
    const auto a = describe_matrix(x, true);
    if (!a) return Refusal{a.reason()};
    product.a = *a;
  } else {
    const std::int64_t k = x.shape[x.shape.rank() - 1];
    const auto a = describe_as(x, {x.shape.num_elements() / k, k});
    if (!a) return Refusal{a.reason()};
    product.a = *a;
  }
  const auto b = describe_matrix(call.inputs[1], trans_b);
  if (!b) return Refusal{b.reason()};
  const auto out = describe_as(y, {y.shape.num_elements() / n, n});
  if (!out) return Refusal{out.reason()};
  product.b = *b;
  product.out = *out;
  return product;
}

/// The same axis by axis, for windows whose rows do not follow each other.
Result<Product> separate_linear(const KernelCall& call, bool trans_b) {
  const int rank = call.inputs[0].shape.rank();
  if (rank < 2) return refuse("rank {}", rank);
  const auto a = describe(call.inputs[0]);
  if (!a) return Refusal{a.reason()};
  auto b = describe_matrix(call.inputs[1], trans_b);
  if (!b) return Refusal{b.reason()};
  const auto out = describe(call.outputs[0]);
  if (!out) return Refusal{out.reason()};
  memory::dims dims(static_cast<std::size_t>(rank), 1);
  memory::dims strides(static_cast<std::size_t>(rank), call.inputs[1].shape.num_elements());
  for (std::size_t i = 0; i < 2; ++i) {
    dims[static_cast<std::size_t>(rank) - 2 + i] = b->get_dims()[i];
    strides[static_cast<std::size_t>(rank) - 2 + i] = b->get_strides()[i];
  }
  return Product{*a, memory::desc(dims, b->get_data_type(), strides), {}, *out};
}

/// MatMul: stacks of matrices, broadcast.
Result<Product> describe_stack(const KernelCall& call) {
  const int rank = call.outputs[0].shape.rank();
  for (std::size_t i = 0; i < 2; ++i)
    if (call.inputs[i].shape.rank() < 2) return refuse("a vector as a factor");
  const auto a = describe_with_rank(call.inputs[0], rank);
  if (!a) return Refusal{a.reason()};
  const auto b = describe_with_rank(call.inputs[1], rank);
  if (!b) return Refusal{b.reason()};
  const auto out = describe(call.outputs[0]);
  if (!out) return Refusal{out.reason()};
  return Product{*a, *b, {}, *out};
}

}  // namespace

bool has_bias(const KernelCall& call) {
  return call.node.op != "MatMul" && call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
}

Result<Product> describe_product(const KernelCall& call) {
  const std::string& op = call.node.op;
  if (op == "MatMul") return describe_stack(call);
  if (op != "Linear" && op != "Gemm") return refuse("not a matrix product");
  const Attributes& attributes = call.node.attributes;
  const bool trans_a = op == "Gemm" && attributes.get_int("transA", 0) != 0;
  const bool trans_b = attributes.get_int("transB", 0) != 0;
  if (op == "Gemm" && (attributes.get_float("alpha", 1) != 1 ||
                       (has_bias(call) && attributes.get_float("beta", 1) != 1)))
    return refuse("factors alpha {} and beta {}", attributes.get_float("alpha", 1),
                  attributes.get_float("beta", 1));
  auto product = merged_linear(call, trans_a, trans_b);
  // Operands that are broadcast need the axes, and so do windows.
  if (!trans_a && (!product || !make_attributes(call, product->out)))
    product = separate_linear(call, trans_b);
  if (!product || !has_bias(call)) return product;
  const memory::dims out = product->out.get_dims();
  const auto bias = describe_row(call.inputs[2], static_cast<int>(out.size()), out.back());
  if (!bias) return Refusal{bias.reason()};
  product->bias = *bias;
  return product;
}

}  // namespace gacer::cpu
