#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"

namespace gacer::cpu {
namespace {

/// Reorder (another layout) and Transpose (other axes): one copy from place to place.
class Reorder final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.reorder"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    const std::string& op = call.node.op;
    if (op != "Reorder" && op != "Transpose") return refuse("not a copy to another place");
    if (!call.node.post.empty()) return refuse("post-ops on a copy");
    if (call.inputs[0].dtype != call.outputs[0].dtype) return refuse("another type");
    auto from = describe(call.inputs[0]);
    if (!from) return Refusal{from.reason()};
    const auto to = describe(call.outputs[0]);
    if (!to) return Refusal{to.reason()};
    if (op == "Transpose") {
      if (call.inputs[0].layout != Layout::kRowMajor || call.outputs[0].layout != Layout::kRowMajor)
        return refuse("a Transpose of layouts");
      from = transposed(call, *from);
    }
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return dnnl::primitive_desc_base(dnnl::reorder::primitive_desc(onednn_engine(), *from,
                                                                   onednn_engine(), *to, attributes,
                                                                   /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    builder.add(desc, {{DNNL_ARG_FROM, builder.input(0)}, {DNNL_ARG_TO, builder.output(0)}});
  }

 private:
  /// The input seen with the output's axes.
  static memory::desc transposed(const KernelCall& call, const memory::desc& from) {
    const int rank = from.get_ndims();
    std::vector<std::int64_t> perm(static_cast<std::size_t>(rank));
    for (std::size_t i = 0; i < perm.size(); ++i) perm[i] = rank - 1 - static_cast<std::int64_t>(i);
    perm = call.node.attributes.get_ints("perm", perm);
    memory::dims dims(perm.size());
    memory::dims strides(perm.size());
    for (std::size_t i = 0; i < perm.size(); ++i) {
      const auto axis = static_cast<std::size_t>(perm[i] < 0 ? perm[i] + rank : perm[i]);
      dims[i] = from.get_dims()[axis];
      strides[i] = from.get_strides()[axis];
    }
    return {dims, from.get_data_type(), strides};
  }
};

}  // namespace

const KernelImpl& onednn_reorder() {
  static const Reorder impl;
  return impl;
}

}  // namespace gacer::cpu
