#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "backend/cpu/onednn/products.h"

namespace gacer::cpu {
namespace {

constexpr std::string_view kUnpacked = "unpacked";

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
    const auto product = describe_product(call);
    if (!product) return Refusal{product.reason()};
    const auto attributes = make_attributes(call, product->out);
    if (!attributes) return Refusal{attributes.reason()};
    memory::desc b = product->b;
    if (call.constant(1) != nullptr && option != kUnpacked)
      b = memory::desc(b.get_dims(), b.get_data_type(), memory::format_tag::any);
    return dnnl::primitive_desc_base(dnnl::matmul::primitive_desc(
        onednn_engine(), product->a, b, product->bias, product->out, *attributes,
        /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const Product product = *describe_product(call);
    std::vector<KernelBuilder::Argument> arguments = {
        {DNNL_ARG_SRC, builder.input(0)},
        {DNNL_ARG_WEIGHTS,
         builder.packed(1, product.b, desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS))},
        {DNNL_ARG_DST, builder.output(0)}};
    if (has_bias(call))
      arguments.push_back({DNNL_ARG_BIAS, builder.packed(2, product.bias, product.bias)});
    builder.add(desc, std::move(arguments), /*has_posts=*/true);
  }
};

}  // namespace

const KernelImpl& onednn_matmul() {
  static const MatMul impl;
  return impl;
}

}  // namespace gacer::cpu
