#include <algorithm>

#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "ops/windows.h"

namespace gacer::cpu {
namespace {

/// MaxPool (values only), AveragePool, GlobalAveragePool, GlobalMaxPool.
class Pooling final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.pooling"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view /*option*/) const override {
    const std::string& op = call.node.op;
    const bool is_global = op == "GlobalAveragePool" || op == "GlobalMaxPool";
    const bool is_max = op == "MaxPool" || op == "GlobalMaxPool";
    if (!is_global && op != "MaxPool" && op != "AveragePool") return refuse("not a pooling");
    if (call.outputs.size() > 1 && !call.outputs[1].is_absent)
      return refuse("the positions of the maxima are asked for");
    if (call.inputs[0].shape.rank() < 3) return refuse("rank {}", call.inputs[0].shape.rank());
    const auto src = describe(call.inputs[0]);
    if (!src) return Refusal{src.reason()};
    const auto dst = describe(call.outputs[0]);
    if (!dst) return Refusal{dst.reason()};
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};

    Windows w;
    if (is_global) {
      const std::vector<std::int64_t>& dims = call.inputs[0].shape.dims();
      w.kernel.assign(dims.begin() + 2, dims.end());
      w.strides.assign(w.kernel.size(), 1);
      w.dilations = w.strides;
      w.pads_begin.assign(w.kernel.size(), 0);
      w.in = w.kernel;
      w.out = w.strides;
    } else {
      w = pool_windows(call.node, call.inputs[0].shape);
    }
    memory::dims dilations = w.dilations;
    memory::dims pads_end(w.kernel.size());
    const bool counts_padding = call.node.attributes.get_int("count_include_pad", 0) != 0;
    for (std::size_t i = 0; i < w.kernel.size(); ++i) {
      --dilations[i];
      // Rounding up moves the last window beyond the stated padding.
      pads_end[i] = (w.out[i] - 1) * w.strides[i] + (w.kernel[i] - 1) * w.dilations[i] + 1 -
                    w.in[i] - w.pads_begin[i];
      if (counts_padding && pads_end[i] > w.pads_end[i])
        return refuse("windows beyond the padding that counts");
      if (w.pads_begin[i] >= w.kernel[i]) return refuse("a window lies in the padding");
    }
    const dnnl::algorithm algorithm = is_max ? dnnl::algorithm::pooling_max
                                      : counts_padding
                                          ? dnnl::algorithm::pooling_avg_include_padding
                                          : dnnl::algorithm::pooling_avg_exclude_padding;
    return dnnl::primitive_desc_base(dnnl::pooling_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, algorithm, *src, *dst, w.strides,
        w.kernel, dilations, w.pads_begin, pads_end, *attributes, /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    builder.add(desc, {{DNNL_ARG_SRC, builder.input(0)}, {DNNL_ARG_DST, builder.output(0)}},
                /*has_posts=*/true);
  }
};

}  // namespace

const KernelImpl& onednn_pooling() {
  static const Pooling impl;
  return impl;
}

}  // namespace gacer::cpu
