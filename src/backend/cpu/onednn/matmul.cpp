#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"

namespace gacer::cpu {
namespace {

constexpr std::string_view kUnpacked = "unpacked";

/// The three descriptions of a product, and the bias (which may be empty).
struct Operands {
  memory::desc a;
  memory::desc b;
  memory::desc bias;
  memory::desc out;
};

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
Result<Operands> merged_linear(const KernelCall& call, bool trans_a, bool trans_b) {
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  const std::int64_t n = y.shape[y.shape.rank() - 1];
  Operands operands;
  if (trans_a) {
    const auto a = describe_matrix(x, true);
    if (!a) return Refusal{a.reason()};
    operands.a = *a;
  } else {
    const std::int64_t k = x.shape[x.shape.rank() - 1];
    const auto a = describe_as(x, {x.shape.num_elements() / k, k});
    if (!a) return Refusal{a.reason()};
    operands.a = *a;
  }
  const auto b = describe_matrix(call.inputs[1], trans_b);
  if (!b) return Refusal{b.reason()};
  const auto out = describe_as(y, {y.shape.num_elements() / n, n});
  if (!out) return Refusal{out.reason()};
  operands.b = *b;
  operands.out = *out;
  return operands;
}

/// The same axis by axis, for windows whose rows do not follow each other.
Result<Operands> separate_linear(const KernelCall& call, bool trans_b) {
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
  return Operands{*a, memory::desc(dims, b->get_data_type(), strides), {}, *out};
}

/// Linear, Gemm without factors, and MatMul of matrices and stacks of them.
class MatMul final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.matmul"; }

 protected:
  std::vector<std::string_view> options(const KernelCall& call) const override {
    if (call.constant(1) != nullptr) return {"", kUnpacked};
    return {""};
  }

  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view option) const override {
    const auto operands = describe_operands(call);
    if (!operands) return Refusal{operands.reason()};
    const auto attributes = make_attributes(call, operands->out);
    if (!attributes) return Refusal{attributes.reason()};
    memory::desc b = operands->b;
    if (call.constant(1) != nullptr && option != kUnpacked)
      b = memory::desc(b.get_dims(), b.get_data_type(), memory::format_tag::any);
    return dnnl::primitive_desc_base(dnnl::matmul::primitive_desc(
        onednn_engine(), operands->a, b, operands->bias, operands->out, *attributes,
        /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const Operands operands = *describe_operands(call);
    std::vector<KernelBuilder::Argument> arguments = {
        {DNNL_ARG_SRC, builder.input(0)},
        {DNNL_ARG_WEIGHTS,
         builder.packed(1, operands.b, desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS))},
        {DNNL_ARG_DST, builder.output(0)}};
    if (has_bias(call))
      arguments.push_back({DNNL_ARG_BIAS, builder.packed(2, operands.bias, operands.bias)});
    builder.add(desc, std::move(arguments), /*has_posts=*/true);
  }

 private:
  static bool has_bias(const KernelCall& call) {
    return call.node.op != "MatMul" && call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  }

  static Result<Operands> describe_operands(const KernelCall& call) {
    const std::string& op = call.node.op;
    if (op == "MatMul") return describe_product(call);
    if (op != "Linear" && op != "Gemm") return refuse("not a matrix product");
    const Attributes& attributes = call.node.attributes;
    const bool trans_a = op == "Gemm" && attributes.get_int("transA", 0) != 0;
    const bool trans_b = attributes.get_int("transB", 0) != 0;
    if (op == "Gemm" && (attributes.get_float("alpha", 1) != 1 ||
                         (has_bias(call) && attributes.get_float("beta", 1) != 1)))
      return refuse("factors alpha {} and beta {}", attributes.get_float("alpha", 1),
                    attributes.get_float("beta", 1));
    auto operands = merged_linear(call, trans_a, trans_b);
    // Operands that are broadcast need the axes, and so do windows.
    if (!trans_a && (!operands || !make_attributes(call, operands->out)))
      operands = separate_linear(call, trans_b);
    if (!operands || !has_bias(call)) return operands;
    const memory::dims out = operands->out.get_dims();
    const auto bias = describe_row(call.inputs[2], static_cast<int>(out.size()), out.back());
    if (!bias) return Refusal{bias.reason()};
    operands->bias = *bias;
    return operands;
  }

  static Result<Operands> describe_product(const KernelCall& call) {
    const int rank = call.outputs[0].shape.rank();
    for (std::size_t i = 0; i < 2; ++i)
      if (call.inputs[i].shape.rank() < 2) return refuse("a vector as a factor");
    const auto a = describe_with_rank(call.inputs[0], rank);
    if (!a) return Refusal{a.reason()};
    const auto b = describe_with_rank(call.inputs[1], rank);
    if (!b) return Refusal{b.reason()};
    const auto out = describe(call.outputs[0]);
    if (!out) return Refusal{out.reason()};
    return Operands{*a, *b, {}, *out};
  }
};

}  // namespace

const KernelImpl& onednn_matmul() {
  static const MatMul impl;
  return impl;
}

}  // namespace gacer::cpu
