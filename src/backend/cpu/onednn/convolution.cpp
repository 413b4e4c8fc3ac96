#include <algorithm>

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

/// The call without the last spatial axis, of size one everywhere: the same memory, and oneDNN's
/// inner loops run along the last axis. Nothing to do: the call itself.
KernelCall without_last_axis(const KernelCall& call) {
  const Shape& x = call.inputs[0].shape;
  const Shape& w = call.inputs[1].shape;
  const int last = x.rank() - 1;
  if (x.rank() < 4 || w.rank() != x.rank() || x[last] != 1 || w[last] != 1 ||
      call.outputs[0].shape[last] != 1)
    return call;
  KernelCall flat = call;
  const auto drop = [&](OperandDesc& operand) {
    if (operand.shape.rank() != last + 1) return;
    std::vector<std::int64_t> dims = operand.shape.dims();
    dims.pop_back();
    operand.shape = Shape(std::move(dims));
    if (!operand.strides.empty()) operand.strides.pop_back();
  };
  for (OperandDesc& operand : flat.inputs) {
    const bool is_vector = operand.shape.rank() == last + 1 && operand.shape[last] != 1;
    if (is_vector) return call;
    drop(operand);
  }
  drop(flat.outputs[0]);
  return flat;
}

/// The windows of a call that may have lost its last axis.
Windows windows_of(const KernelCall& call) {
  std::vector<std::int64_t> x = call.inputs[0].shape.dims();
  std::vector<std::int64_t> w = call.inputs[1].shape.dims();
  const Value& original = call.graph.value(call.node.inputs[0]);
  const bool is_flat = static_cast<int>(x.size()) < original.shape.rank();
  if (is_flat) {
    x.push_back(1);
    w.push_back(1);
  }
  Windows windows = conv_windows(call.node, Shape(x), Shape(w));
  if (is_flat)
    for (auto* values : {&windows.in, &windows.out, &windows.kernel, &windows.strides,
                         &windows.dilations, &windows.pads_begin, &windows.pads_end})
      values->pop_back();
  return windows;
}

/// Conv and ConvTranspose: x, w, optional bias.
class Convolution final : public OnednnImpl {
 public:
  explicit Convolution(bool is_transposed) : is_transposed_(is_transposed) {}
  std::string_view name() const override {
    return is_transposed_ ? "onednn.deconvolution" : "onednn.convolution";
  }

 protected:
  KernelCall adapt(const KernelCall& call) const override {
    return is_transposed_ || call.node.op != "Conv" ? call : without_last_axis(call);
  }

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
    if (is_transposed_ && needs_epilogue(call) &&
        describe_epilogue(*dst, *attributes).get(/*allow_empty=*/true) == nullptr)
      return refuse("oneDNN cannot add a bias to such an output");
    const memory::desc any(weights->get_dims(), weights->get_data_type(), memory::format_tag::any);
    return is_transposed_ ? describe_deconvolution(call, *src, any, *dst)
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
    if (is_transposed_) {
      builder.add(desc, std::move(arguments));
      if (needs_epilogue(call)) add_epilogue(builder);
      return;
    }
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
    const Windows w = windows_of(call);
    return dnnl::convolution_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        src, weights, bias, dst, w.strides, minus_one(w.dilations), w.pads_begin, w.pads_end,
        attributes, /*allow_empty=*/true);
  }

  // oneDNN adds a deconvolution's bias and post-ops in reference loops: an addition of their own is
  // far quicker.
  static bool needs_epilogue(const KernelCall& call) {
    return has_bias(call) || !call.node.post.empty();
  }

  static memory::desc bias_of_channels(const memory::desc& dst) {
    memory::dims dims(static_cast<std::size_t>(dst.get_ndims()), 1);
    dims[1] = dst.get_dims()[1];
    return dense_desc(dst.get_data_type(), dims);
  }

  static dnnl::primitive_desc_base describe_epilogue(const memory::desc& dst,
                                                     const dnnl::primitive_attr& attributes) {
    return dnnl::binary::primitive_desc(onednn_engine(), dnnl::algorithm::binary_add, dst,
                                        bias_of_channels(dst), dst, attributes,
                                        /*allow_empty=*/true);
  }

  static void add_epilogue(KernelBuilder& builder) {
    const KernelCall& call = builder.call();
    const memory::desc dst = *describe(call.outputs[0]);
    const memory::desc channels = bias_of_channels(dst);
    Place bias;
    if (has_bias(call)) {
      bias = builder.packed(2, channels, channels);
    } else {
      Tensor zeros(DType::kF32, Shape{call.outputs[0].shape[1]});
      std::fill(zeros.mutable_data<float>().begin(), zeros.mutable_data<float>().end(), 0.0F);
      bias = builder.constant(zeros);
    }
    builder.add(describe_epilogue(dst, *make_attributes(call, dst)),
                {{DNNL_ARG_SRC_0, builder.output(0)},
                 {DNNL_ARG_SRC_1, bias},
                 {DNNL_ARG_DST, builder.output(0)}},
                /*has_posts=*/true);
  }

  static dnnl::primitive_desc_base describe_deconvolution(const KernelCall& call,
                                                          const memory::desc& src,
                                                          const memory::desc& weights,
                                                          const memory::desc& dst) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const Windows w = conv_transpose_windows(call.node, call.inputs[0].shape, call.inputs[1].shape);
    // oneDNN's formula has no output_padding: what it adds is missing from the right padding.
    memory::dims pads_end(w.pads_begin.size());
    for (std::size_t i = 0; i < pads_end.size(); ++i)
      pads_end[i] = (w.out[i] - 1) * w.strides[i] + (w.kernel[i] - 1) * w.dilations[i] + 1 -
                    w.pads_begin[i] - w.in[i];
    return dnnl::deconvolution_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
        src, weights, memory::desc(), dst, w.strides, minus_one(w.dilations), w.pads_begin,
        pads_end, attributes, /*allow_empty=*/true);
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
