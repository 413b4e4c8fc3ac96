#include <map>
#include <optional>

#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"

namespace gacer::cpu {
namespace {

struct Function {
  dnnl::algorithm algorithm = dnnl::algorithm::undef;
  float alpha = 0;
  float beta = 0;
};

/// What oneDNN calls an operator of one operand; empty when it has none with these attributes.
std::optional<Function> function_of(const Node& node) {
  using dnnl::algorithm;
  const Attributes& a = node.attributes;
  const std::string& op = node.op;
  if (op == "Relu") return Function{algorithm::eltwise_relu};
  if (op == "LeakyRelu") return Function{algorithm::eltwise_relu, a.get_float("alpha", 0.01F)};
  if (op == "Sigmoid") return Function{algorithm::eltwise_logistic};
  if (op == "Tanh") return Function{algorithm::eltwise_tanh};
  if (op == "Elu") return Function{algorithm::eltwise_elu, a.get_float("alpha", 1)};
  if (op == "Silu") return Function{algorithm::eltwise_swish, 1};
  if (op == "HardSwish") return Function{algorithm::eltwise_hardswish, 1.0F / 6, 0.5F};
  if (op == "HardSigmoid")
    return Function{algorithm::eltwise_hardsigmoid, a.get_float("alpha", 0.2F),
                    a.get_float("beta", 0.5F)};
  if (op == "Gelu")
    return Function{a.get_string("approximate", "none") == "tanh" ? algorithm::eltwise_gelu_tanh
                                                                  : algorithm::eltwise_gelu_erf};
  if (op == "Exp") return Function{algorithm::eltwise_exp};
  if (op == "Sqrt") return Function{algorithm::eltwise_sqrt};
  if (op == "Abs") return Function{algorithm::eltwise_abs};
  if (op == "Neg") return Function{algorithm::eltwise_linear, -1};
  if (op == "Softplus") return Function{algorithm::eltwise_soft_relu, 1};
  if (op == "Mish") return Function{algorithm::eltwise_mish};
  return std::nullopt;
}

/// Clip with constant bounds.
std::optional<Function> clip_of(const KernelCall& call) {
  Function clip{dnnl::algorithm::eltwise_clip, -std::numeric_limits<float>::max(),
                std::numeric_limits<float>::max()};
  for (int i = 1; i < call.node.num_op_inputs; ++i) {
    if (call.inputs[static_cast<std::size_t>(i)].is_absent) continue;
    const Tensor* bound = call.constant(i);
    if (bound == nullptr || bound->dtype() != DType::kF32 || bound->num_elements() != 1)
      return std::nullopt;
    (i == 1 ? clip.alpha : clip.beta) = bound->data<float>()[0];
  }
  return clip;
}

/// Functions of one operand, in any layout.
class Eltwise final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.eltwise"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    const auto function = call.node.op == "Clip" ? clip_of(call) : function_of(call.node);
    if (!function) return refuse("oneDNN has no {} like this", call.node.op);
    if (call.inputs[0].dtype != DType::kF32)
      return refuse("type {}", to_string(call.inputs[0].dtype));
    const auto src = describe(call.inputs[0]);
    if (!src) return Refusal{src.reason()};
    const auto dst = describe(call.outputs[0]);
    if (!dst) return Refusal{dst.reason()};
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};
    return dnnl::primitive_desc_base(dnnl::eltwise_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, function->algorithm, *src, *dst,
        function->alpha, function->beta, *attributes, /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    builder.add(desc, {{DNNL_ARG_SRC, builder.input(0)}, {DNNL_ARG_DST, builder.output(0)}},
                /*has_posts=*/true);
  }
};

dnnl::algorithm binary_of(const std::string& op) {
  using dnnl::algorithm;
  static const std::map<std::string, algorithm> kAlgorithms = {
      {"Add", algorithm::binary_add}, {"Sub", algorithm::binary_sub},
      {"Mul", algorithm::binary_mul}, {"Div", algorithm::binary_div},
      {"Max", algorithm::binary_max}, {"Min", algorithm::binary_min}};
  const auto found = kAlgorithms.find(op);
  return found == kAlgorithms.end() ? algorithm::undef : found->second;
}

/// Arithmetic of two operands with broadcasting, in any layout.
class Binary final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.binary"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    const dnnl::algorithm algorithm = binary_of(call.node.op);
    if (algorithm == dnnl::algorithm::undef || call.node.num_op_inputs != 2)
      return refuse("not arithmetic of two operands");
    if (call.outputs[0].dtype != DType::kF32)
      return refuse("type {}", to_string(call.outputs[0].dtype));
    const auto dst = describe(call.outputs[0]);
    if (!dst) return Refusal{dst.reason()};
    const auto operands = ordered(call);
    if (!operands) return Refusal{operands.reason()};
    const auto first = describe_operand(call, (*operands)[0], *dst);
    if (!first) return Refusal{first.reason()};
    const auto second = describe_operand(call, (*operands)[1], *dst);
    if (!second) return Refusal{second.reason()};
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};
    return dnnl::primitive_desc_base(dnnl::binary::primitive_desc(
        onednn_engine(), algorithm, *first, *second, *dst, *attributes, /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const std::array<int, 2> operands = *ordered(call);
    const memory::desc dst = *describe(call.outputs[0]);
    const auto place = [&](int input) {
      const memory::desc lies = *describe_operand(call, input, dst);
      return builder.packed(input, lies, lies);
    };
    builder.add(desc,
                {{DNNL_ARG_SRC_0, place(operands[0])},
                 {DNNL_ARG_SRC_1, place(operands[1])},
                 {DNNL_ARG_DST, builder.output(0)}},
                /*has_posts=*/true);
  }

 private:
  /// oneDNN broadcasts the second operand only.
  static Result<std::array<int, 2>> ordered(const KernelCall& call) {
    const Shape& out = call.outputs[0].shape;
    if (call.inputs[0].shape == out) return std::array<int, 2>{0, 1};
    const bool commutes = call.node.op != "Sub" && call.node.op != "Div";
    if (commutes && call.inputs[1].shape == out) return std::array<int, 2>{1, 0};
    return refuse("the first operand is broadcast");
  }

  static Result<memory::desc> describe_operand(const KernelCall& call, int input,
                                               const memory::desc& dst) {
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(input)];
    if (operand.shape.rank() == dst.get_ndims()) return describe(operand);
    return describe_with_rank(operand, dst.get_ndims());
  }
};

}  // namespace

const KernelImpl& onednn_eltwise() {
  static const Eltwise impl;
  return impl;
}

const KernelImpl& onednn_binary() {
  static const Binary impl;
  return impl;
}

}  // namespace gacer::cpu
