#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "backend/cpu/onednn/products.h"

namespace gacer::cpu {
namespace {

constexpr std::string_view kInnerProduct = "inner_product";
constexpr std::string_view kConvolution = "convolution";

/// Products with constant weights, which are packed as the primitive likes them: oneDNN's inner
/// product, or for few rows its 1x1 convolution of an image of one line, a pixel per row.
class InnerProduct final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.inner_product"; }

 protected:
  std::vector<std::string_view> options(const KernelCall& /*call*/) const override {
    return {kInnerProduct, kConvolution};
  }

  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view option) const override {
    if (call.constant(1) == nullptr) return refuse("weights that are not constant");
    const auto product = describe_product(call);
    if (!product) return Refusal{product.reason()};
    if (product->a.get_ndims() != 2 || product->b.get_ndims() != 2)
      return refuse("a stack of matrices");
    return option == kConvolution ? describe_convolution(call, *product)
                                  : describe_inner_product(call, *product);
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const Product product = *describe_product(call);
    const memory::desc weights = desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS);
    const memory::desc given = product.b.permute_axes({1, 0}).reshape(weights.get_dims());
    std::vector<KernelBuilder::Argument> arguments = {
        {DNNL_ARG_SRC, builder.input(0)},
        {DNNL_ARG_WEIGHTS, builder.packed(1, given, weights)},
        {DNNL_ARG_DST, builder.output(0)}};
    if (has_bias(call)) {
      const memory::desc bias = bias_of(product);
      arguments.push_back({DNNL_ARG_BIAS, builder.packed(2, bias, bias)});
    }
    builder.add(desc, std::move(arguments), /*has_posts=*/true);
  }

 private:
  static memory::desc bias_of(const Product& product) {
    if (product.bias.get_ndims() == 0) return {};
    return product.bias.reshape({product.out.get_dims()[1]});
  }

  static Result<dnnl::primitive_desc_base> describe_inner_product(const KernelCall& call,
                                                                  const Product& product) {
    const auto attributes = make_attributes(call, product.out);
    if (!attributes) return Refusal{attributes.reason()};
    const memory::dims weights{product.b.get_dims()[1], product.b.get_dims()[0]};
    return dnnl::primitive_desc_base(dnnl::inner_product_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, product.a,
        memory::desc(weights, product.b.get_data_type(), memory::format_tag::any), bias_of(product),
        product.out, *attributes, /*allow_empty=*/true));
  }

  static Result<dnnl::primitive_desc_base> describe_convolution(const KernelCall& call,
                                                                const Product& product) {
    constexpr std::int64_t kFewRows = 64;
    const std::int64_t rows = product.out.get_dims()[0];
    if (rows > kFewRows) return refuse("{} rows", rows);
    const memory::desc& a = product.a;
    if (a != dense_desc(a.get_data_type(), a.get_dims())) return refuse("a transposed operand");
    for (const PostOp& post : call.node.post)
      if (post.kind != PostOp::Kind::kActivation) return refuse("a post-op with an operand");
    const auto attributes = make_attributes(call, product.out);
    if (!attributes) return Refusal{attributes.reason()};
    const auto image = [&](const memory::desc& matrix) {
      return memory::desc({1, matrix.get_dims()[1], 1, rows}, matrix.get_data_type(),
                          memory::format_tag::nhwc);
    };
    const memory::dims weights{product.b.get_dims()[1], product.b.get_dims()[0], 1, 1};
    return dnnl::primitive_desc_base(dnnl::convolution_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        image(a), memory::desc(weights, product.b.get_data_type(), memory::format_tag::any),
        bias_of(product), image(product.out), {1, 1}, {0, 0}, {0, 0}, *attributes,
        /*allow_empty=*/true));
  }
};

}  // namespace

const KernelImpl& onednn_inner_product() {
  static const InnerProduct impl;
  return impl;
}

}  // namespace gacer::cpu
