#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "ops/windows.h"

namespace gacer::cpu {
namespace {

memory::dims minus_one(const std::vector<std::int64_t>& values) {
  memory::dims result = values;
  for (auto& value : result) --value;
  return result;
}

/// Conv and ConvTranspose: x, w, optional bias.
class Convolution final : public OnednnImpl {
 public:
  explicit Convolution(bool is_transposed) : is_transposed_(is_transposed) {}
  std::string_view name() const override {
    return is_transposed_ ? "onednn.deconvolution" : "onednn.convolution";
  }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view /*option*/) const override {
    if (call.node.op != (is_transposed_ ? "ConvTranspose" : "Conv"))
      return refuse("not a {}", is_transposed_ ? "ConvTranspose" : "Conv");
    const auto src = describe(call.inputs[0]);
    if (!src) return Refusal{src.reason()};
    const auto weights = describe_weights(call);
    if (!weights) return Refusal{weights.reason()};
    const auto dst = describe(call.outputs[0]);
    if (!dst) return Refusal{dst.reason()};
    memory::desc bias;
    if (has_bias(call)) {
      const auto described = describe(call.inputs[2]);
      if (!described) return Refusal{described.reason()};
      bias = *described;
    }
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};
    const memory::desc any(weights->get_dims(), weights->get_data_type(), memory::format_tag::any);
    return is_transposed_ ? describe_deconvolution(call, *src, any, bias, *dst, *attributes)
                          : describe_convolution(call, *src, any, bias, *dst, *attributes);
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    std::vector<KernelBuilder::Argument> arguments = {
        {DNNL_ARG_SRC, builder.input(0)},
        {DNNL_ARG_WEIGHTS,
         builder.packed(1, *describe_weights(call),
                        desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS))},
        {DNNL_ARG_DST, builder.output(0)}};
    if (has_bias(call)) {
      const memory::desc bias = desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_BIAS);
      arguments.push_back({DNNL_ARG_BIAS, builder.packed(2, bias, bias)});
    }
    builder.add(desc, std::move(arguments), /*has_posts=*/true);
  }

 private:
  static bool has_bias(const KernelCall& call) {
    return call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  }

  /// ONNX weights in oneDNN's axes: [g,] output channels, input channels, kernel.
  Result<memory::desc> describe_weights(const KernelCall& call) const {
    const OperandDesc& operand = call.inputs[1];
    const auto type = to_onednn(operand.dtype);
    if (!type) return refuse("oneDNN has no type {}", to_string(operand.dtype));
    if (!operand.is_dense() || operand.layout != Layout::kRowMajor)
      return refuse("weights that are not dense and row-major");
    const std::int64_t group = call.node.attributes.get_int("group", 1);
    memory::dims dims = operand.shape.dims();
    if (group > 1) {
      dims[0] /= group;
      dims.insert(dims.begin(), group);
    }
    memory::dims strides = Shape(dims).row_major_strides();
    if (is_transposed_) {
      const std::size_t first = group > 1 ? 1 : 0;
      std::swap(dims[first], dims[first + 1]);
      std::swap(strides[first], strides[first + 1]);
    }
    return memory::desc(dims, *type, strides);
  }

  static dnnl::primitive_desc_base describe_convolution(
      const KernelCall& call, const memory::desc& src, const memory::desc& weights,
      const memory::desc& bias, const memory::desc& dst, const dnnl::primitive_attr& attributes) {
    const Windows w = conv_windows(call.node, call.inputs[0].shape, call.inputs[1].shape);
    return dnnl::convolution_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        src, weights, bias, dst, w.strides, minus_one(w.dilations), w.pads_begin, w.pads_end,
        attributes, /*allow_empty=*/true);
  }

  static dnnl::primitive_desc_base describe_deconvolution(
      const KernelCall& call, const memory::desc& src, const memory::desc& weights,
      const memory::desc& bias, const memory::desc& dst, const dnnl::primitive_attr& attributes) {
    const Windows w = conv_transpose_windows(call.node, call.inputs[0].shape, call.inputs[1].shape);
    // oneDNN's formula has no output_padding: what it adds is missing from the right padding.
    memory::dims pads_end(w.pads_begin.size());
    for (std::size_t i = 0; i < pads_end.size(); ++i)
      pads_end[i] = (w.out[i] - 1) * w.strides[i] + (w.kernel[i] - 1) * w.dilations[i] + 1 -
                    w.pads_begin[i] - w.in[i];
    return dnnl::deconvolution_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
        src, weights, bias, dst, w.strides, minus_one(w.dilations), w.pads_begin, pads_end,
        attributes, /*allow_empty=*/true);
  }

  bool is_transposed_;
};

}  // namespace

const KernelImpl& onednn_convolution() {
  static const Convolution impl(/*is_transposed=*/false);
  return impl;
}

const KernelImpl& onednn_deconvolution() {
  static const Convolution impl(/*is_transposed=*/true);
  return impl;
}

}  // namespace gacer::cpu
