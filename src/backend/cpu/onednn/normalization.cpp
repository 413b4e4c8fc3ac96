#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "ops/common.h"

namespace gacer::cpu {
namespace {

/// Softmax and LogSoftmax along one axis.
class Softmax final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.softmax"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    const bool is_log = call.node.op == "LogSoftmax";
    if (!is_log && call.node.op != "Softmax") return refuse("not a softmax");
    const auto src = describe(call.inputs[0]);
    if (!src) return Refusal{src.reason()};
    const auto dst = describe(call.outputs[0]);
    if (!dst) return Refusal{dst.reason()};
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};
    const int axis =
        normalize_axis(call.node.attributes.get_int("axis", -1), call.inputs[0].shape.rank());
    return dnnl::primitive_desc_base(dnnl::softmax_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference,
        is_log ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate, *src, *dst, axis,
        *attributes, /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    builder.add(desc, {{DNNL_ARG_SRC, builder.input(0)}, {DNNL_ARG_DST, builder.output(0)}},
                /*has_posts=*/true);
  }
};

/// LayerNormalization over the last axes: x, scale, optional shift.
class LayerNorm final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.layer_norm"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    if (call.node.op != "LayerNormalization") return refuse("not a LayerNormalization");
    for (std::size_t i = 1; i < call.outputs.size(); ++i)
      if (!call.outputs[i].is_absent) return refuse("mean or deviation are asked for");
    const OperandDesc& x = call.inputs[0];
    const int axis = normalize_axis(call.node.attributes.get_int("axis", -1), x.shape.rank());
    const std::int64_t inner = product(x.shape, axis, x.shape.rank());
    const memory::dims dims = {x.shape.num_elements() / std::max<std::int64_t>(inner, 1), inner};
    const auto src = describe_as(x, dims);
    if (!src) return Refusal{src.reason()};
    const auto dst = describe_as(call.outputs[0], dims);
    if (!dst) return Refusal{dst.reason()};
    for (std::size_t i = 1; i <= (has_shift(call) ? 2U : 1U); ++i)
      if (const auto vector = describe_as(call.inputs[i], {inner});
          !vector || call.inputs[i].shape.num_elements() != inner)
        return refuse("scale or shift {} for {} values", call.inputs[i].shape.to_string(), inner);
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};
    auto flags = dnnl::normalization_flags::use_scale;
    if (has_shift(call)) flags |= dnnl::normalization_flags::use_shift;
    return dnnl::primitive_desc_base(dnnl::layer_normalization_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, *src, *dst,
        call.node.attributes.get_float("epsilon", 1e-5F), flags, *attributes,
        /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const auto vector = [&](int input) {
      const memory::desc lies =
          *describe_as(call.inputs[static_cast<std::size_t>(input)],
                       {call.inputs[static_cast<std::size_t>(input)].shape.num_elements()});
      return builder.packed(input, lies, lies);
    };
    std::vector<KernelBuilder::Argument> arguments = {{DNNL_ARG_SRC, builder.input(0)},
                                                      {DNNL_ARG_DST, builder.output(0)},
                                                      {DNNL_ARG_SCALE, vector(1)}};
    if (has_shift(call)) arguments.push_back({DNNL_ARG_SHIFT, vector(2)});
    builder.add(desc, std::move(arguments), /*has_posts=*/true);
  }

 private:
  static bool has_shift(const KernelCall& call) {
    return call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  }
};

}  // namespace

const KernelImpl& onednn_softmax() {
  static const Softmax impl;
  return impl;
}

const KernelImpl& onednn_layer_norm() {
  static const LayerNorm impl;
  return impl;
}

}  // namespace gacer::cpu
