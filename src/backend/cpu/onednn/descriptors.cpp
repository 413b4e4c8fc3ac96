#include "backend/cpu/onednn/descriptors.h"

#include <fmt/core.h>

namespace gacer::cpu {
namespace {

bool is_blocked(Layout layout) {
  return layout == Layout::kBlocked8 || layout == Layout::kBlocked16;
}

memory::format_tag blocked_tag(Layout layout, int rank) {
  using Tag = memory::format_tag;
  if (layout == Layout::kBlocked8)
    return rank == 3 ? Tag::nCw8c : rank == 4 ? Tag::nChw8c : rank == 5 ? Tag::nCdhw8c : Tag::undef;
  return rank == 3   ? Tag::nCw16c
         : rank == 4 ? Tag::nChw16c
         : rank == 5 ? Tag::nCdhw16c
                     : Tag::undef;
}

/// A window on a larger blocked tensor: the sizes of that tensor follow from the strides.
Result<memory::desc> describe_blocked_slice(const OperandDesc& operand, memory::data_type type,
                                            memory::format_tag tag) {
  const std::int64_t block = channel_block(operand.layout);
  const int rank = operand.shape.rank();
  memory::dims parent = operand.shape.dims();
  std::int64_t inner = block;
  for (int axis = rank - 1; axis >= 1; --axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t outer = operand.strides[i - 1];
    if (operand.strides[i] != inner || outer % inner != 0)
      return refuse("strides of {} in layout {} are no window on a whole tensor",
                    operand.shape.to_string(), to_string(operand.layout));
    parent[i] = outer / inner * (axis == 1 ? block : 1);
    inner = outer;
  }
  if (operand.shape[1] % block != 0 && operand.shape[1] != parent[1])
    return refuse("a window of {} channels ends inside a block of {}", operand.shape[1], block);
  const memory::desc whole(parent, type, tag, /*allow_empty=*/true);
  if (!whole) return refuse("oneDNN cannot describe layout {}", to_string(operand.layout));
  memory::desc window =
      whole.submemory_desc(operand.shape.dims(), memory::dims(static_cast<std::size_t>(rank), 0),
                           /*allow_empty=*/true);
  if (!window)
    return refuse("oneDNN cannot describe a window {} on layout {}", operand.shape.to_string(),
                  to_string(operand.layout));
  return window;
}

dnnl::algorithm to_onednn(Activation activation) {
  using dnnl::algorithm;
  switch (activation) {
    case Activation::kRelu:
    case Activation::kLeakyRelu:
      return algorithm::eltwise_relu;
    case Activation::kClip:
      return algorithm::eltwise_clip;
    case Activation::kSigmoid:
      return algorithm::eltwise_logistic;
    case Activation::kHardSigmoid:
      return algorithm::eltwise_hardsigmoid;
    case Activation::kHardSwish:
      return algorithm::eltwise_hardswish;
    case Activation::kSilu:
      return algorithm::eltwise_swish;
    case Activation::kGelu:
      return algorithm::eltwise_gelu_erf;
    case Activation::kGeluTanh:
      return algorithm::eltwise_gelu_tanh;
    case Activation::kTanh:
      return algorithm::eltwise_tanh;
    case Activation::kElu:
      return algorithm::eltwise_elu;
    case Activation::kIdentity:
      return algorithm::eltwise_linear;
  }
  return algorithm::undef;
}

/// Parameters as oneDNN counts them.
std::pair<float, float> parameters(const PostOp& post) {
  switch (post.activation) {
    case Activation::kRelu:
      return {0.0F, 0.0F};
    case Activation::kHardSwish:
      return {1.0F / 6.0F, 0.5F};
    case Activation::kSilu:
    case Activation::kIdentity:
      return {1.0F, 0.0F};
    default:
      return {post.alpha, post.beta};
  }
}

}  // namespace

const dnnl::engine& onednn_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

const dnnl::stream& onednn_stream() {
  static const dnnl::stream stream(onednn_engine());
  return stream;
}

const std::string& onednn_family() {
  static const std::string family =
      fmt::format("onednn/{}.{}", dnnl_version()->major, dnnl_version()->minor);
  return family;
}

std::optional<memory::data_type> to_onednn(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return memory::data_type::f32;
    case DType::kF16:
      return memory::data_type::f16;
    case DType::kBF16:
      return memory::data_type::bf16;
    case DType::kI8:
      return memory::data_type::s8;
    case DType::kU8:
      return memory::data_type::u8;
    case DType::kI32:
      return memory::data_type::s32;
    default:
      return std::nullopt;
  }
}

memory::desc dense_desc(memory::data_type type, const memory::dims& dims) {
  return {dims, type, Shape(dims).row_major_strides()};
}

Result<memory::desc> describe(const OperandDesc& operand) {
  const auto type = to_onednn(operand.dtype);
  if (!type) return refuse("oneDNN has no type {}", to_string(operand.dtype));
  if (operand.shape.num_elements() == 0) return refuse("an operand is empty");
  if (operand.shape.rank() == 0) return memory::desc({1}, *type, memory::dims{1});
  if (operand.shape.rank() > 12) return refuse("rank {}", operand.shape.rank());
  if (!is_blocked(operand.layout)) {
    return memory::desc(
        operand.shape.dims(), *type,
        operand.is_dense() ? dense_strides(operand.shape, operand.layout) : operand.strides);
  }
  const memory::format_tag tag = blocked_tag(operand.layout, operand.shape.rank());
  if (tag == memory::format_tag::undef)
    return refuse("layout {} of rank {}", to_string(operand.layout), operand.shape.rank());
  if (!operand.is_dense()) return describe_blocked_slice(operand, *type, tag);
  return memory::desc(operand.shape.dims(), *type, tag);
}

Result<memory::desc> describe_as(const OperandDesc& operand, const memory::dims& dims) {
  const auto type = to_onednn(operand.dtype);
  if (!type) return refuse("oneDNN has no type {}", to_string(operand.dtype));
  if (operand.layout != Layout::kRowMajor || !operand.is_dense())
    return refuse("an operand {} is not dense and row-major", operand.shape.to_string());
  if (operand.shape.num_elements() == 0) return refuse("an operand is empty");
  return dense_desc(*type, dims);
}

Result<memory::desc> describe_with_rank(const OperandDesc& operand, int rank) {
  if (operand.layout != Layout::kRowMajor)
    return refuse("an operand of rank {} in layout {} beside others of rank {}",
                  operand.shape.rank(), to_string(operand.layout), rank);
  OperandDesc wide = operand;
  std::vector<std::int64_t> dims = operand.shape.dims();
  std::vector<std::int64_t> strides =
      operand.is_dense() ? operand.shape.row_major_strides() : operand.strides;
  const auto missing = static_cast<std::ptrdiff_t>(rank - operand.shape.rank());
  if (missing < 0) return refuse("an operand of rank {} for {}", operand.shape.rank(), rank);
  const std::int64_t outer = dims.empty() ? 1 : dims[0] * strides[0];
  dims.insert(dims.begin(), static_cast<std::size_t>(missing), 1);
  strides.insert(strides.begin(), static_cast<std::size_t>(missing), outer);
  wide.shape = Shape(std::move(dims));
  wide.strides = std::move(strides);
  return describe(wide);
}

Result<memory::desc> describe_post_source(const KernelCall& call, const PostOp& post,
                                          const memory::desc& out) {
  const OperandDesc& operand = call.inputs[static_cast<std::size_t>(post.input)];
  const Shape& node_out = call.outputs[0].shape;
  const bool keeps_axes = out.get_dims() == node_out.dims();
  if (operand.shape == node_out)
    return keeps_axes ? describe(operand) : describe_as(operand, out.get_dims());
  if (!keeps_axes)
    return refuse("an operand {} is broadcast to {} whose axes are merged",
                  operand.shape.to_string(), node_out.to_string());
  return describe_with_rank(operand, out.get_ndims());
}

Result<memory::desc> describe_post_operand(const KernelCall& call, const PostOp& post,
                                           const memory::desc& out) {
  const OperandDesc& operand = call.inputs[static_cast<std::size_t>(post.input)];
  // A constant of the output's shape is packed once, as the output lies.
  if (operand.is_constant && operand.shape == call.outputs[0].shape) return out;
  return describe_post_source(call, post, out);
}

Result<dnnl::primitive_attr> make_attributes(const KernelCall& call, const memory::desc& out) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops posts;
  for (const PostOp& post : call.node.post) {
    if (post.kind == PostOp::Kind::kActivation) {
      const dnnl::algorithm algorithm = to_onednn(post.activation);
      if (algorithm == dnnl::algorithm::undef)
        return refuse("oneDNN has no activation {}", to_string(post.activation));
      const auto [alpha, beta] = parameters(post);
      posts.append_eltwise(algorithm, alpha, beta);
      continue;
    }
    const auto operand = describe_post_operand(call, post, out);
    if (!operand) return Refusal{operand.reason()};
    posts.append_binary(
        post.kind == PostOp::Kind::kAdd ? dnnl::algorithm::binary_add : dnnl::algorithm::binary_mul,
        *operand);
  }
  attributes.set_post_ops(posts);
  return attributes;
}

}  // namespace gacer::cpu
