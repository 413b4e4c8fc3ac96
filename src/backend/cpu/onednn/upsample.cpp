#include <algorithm>

#include "backend/cpu/loops/storage.h"
#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "backend/cpu/strided_copy.h"
#include "ops/windows.h"

namespace gacer::cpu {
namespace {

using Dims = memory::dims;

/// ConvTranspose whose windows do not overlap (stride = kernel): a product with the channels, whose
/// results are then put in their places.
class Upsample final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.upsample"; }

 protected:
  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    if (call.node.op != "ConvTranspose") return refuse("not a ConvTranspose");
    if (call.constant(1) == nullptr) return refuse("weights that vary");
    if (has_bias(call) && call.constant(2) == nullptr) return refuse("a bias that varies");
    if (call.inputs[0].dtype != DType::kF32)
      return refuse("type {}", to_string(call.inputs[0].dtype));
    if (call.node.attributes.get_int("group", 1) != 1) return refuse("groups");
    const Windows w = windows_of(call);
    for (std::size_t i = 0; i < w.kernel.size(); ++i)
      if (w.strides[i] != w.kernel[i] || w.dilations[i] != 1 || w.pads_begin[i] != 0 ||
          w.in[i] != w.out[i] * w.kernel[i])
        return refuse("windows that overlap or leave gaps");
    for (const PostOp& post : call.node.post)
      if (post.kind != PostOp::Kind::kActivation) return refuse("post-ops with operands");
    const auto src = describe(call.inputs[0]);
    if (!src) return Refusal{src.reason()};
    const OperandDesc between = intermediate(call);
    const auto dst = describe(between);
    if (!dst) return Refusal{dst.reason()};
    if (auto out = describe(call.outputs[0]); !out) return Refusal{out.reason()};
    const auto attributes = make_attributes(call, *dst);
    if (!attributes) return Refusal{attributes.reason()};
    const std::size_t spatial = w.kernel.size();
    Dims weights = {between.shape[1], call.inputs[1].shape[0]};
    weights.insert(weights.end(), spatial, 1);
    return dnnl::primitive_desc_base(dnnl::convolution_forward::primitive_desc(
        onednn_engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        *src, memory::desc(weights, memory::data_type::f32, memory::format_tag::any),
        dense_desc(memory::data_type::f32, {between.shape[1]}), *dst, Dims(spatial, 1),
        Dims(spatial, 0), Dims(spatial, 0), Dims(spatial, 0), *attributes, /*allow_empty=*/true));
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const OperandDesc between = intermediate(call);
    const Place products = builder.workspace(describe(between)->get_size());
    const Tensor weights = make_weights(call);
    builder.add(
        desc,
        {{DNNL_ARG_SRC, builder.input(0)},
         {DNNL_ARG_WEIGHTS,
          builder.constant(weights, dense_desc(memory::data_type::f32, weights.shape().dims()),
                           desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS))},
         {DNNL_ARG_BIAS, builder.constant(make_bias(call))},
         {DNNL_ARG_DST, products}});
    add_copy(builder, between, products);
  }

 private:
  static bool has_bias(const KernelCall& call) {
    return call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  }
  static Windows windows_of(const KernelCall& call) {
    return conv_transpose_windows(call.node, call.inputs[0].shape, call.inputs[1].shape);
  }
  /// Output channels, filled up to whole blocks of the input's layout.
  static std::int64_t padded_channels(const KernelCall& call) {
    const std::int64_t block = channel_block(call.inputs[0].layout);
    return (call.inputs[1].shape[1] + block - 1) / block * block;
  }

  /// [N, kernel positions x channels, input's spatial axes], as the input lies.
  static OperandDesc intermediate(const KernelCall& call) {
    OperandDesc between = call.inputs[0];
    between.strides.clear();
    between.is_constant = false;
    between.shape[1] = windows_of(call).kernel_volume() * padded_channels(call);
    return between;
  }

  static Tensor make_weights(const KernelCall& call) {
    const Tensor& w = *call.constant(1);  // [in, out, kernel…]
    const std::int64_t in = w.shape()[0];
    const std::int64_t out = w.shape()[1];
    const std::int64_t volume = windows_of(call).kernel_volume();
    const std::int64_t padded = padded_channels(call);
    std::vector<std::int64_t> dims(w.shape().begin(), w.shape().end());
    std::fill(dims.begin(), dims.end(), 1);
    dims[0] = volume * padded;
    dims[1] = in;
    Tensor result(DType::kF32, Shape(dims));
    float* to = result.mutable_data<float>().data();
    const float* from = w.data<float>().data();
    std::fill_n(to, result.num_elements(), 0.0F);
    for (std::int64_t i = 0; i < in; ++i)
      for (std::int64_t o = 0; o < out; ++o)
        for (std::int64_t k = 0; k < volume; ++k)
          to[(k * padded + o) * in + i] = from[(i * out + o) * volume + k];
    return result;
  }

  static Tensor make_bias(const KernelCall& call) {
    const std::int64_t out = call.inputs[1].shape[1];
    const std::int64_t padded = padded_channels(call);
    const std::int64_t volume = windows_of(call).kernel_volume();
    Tensor result(DType::kF32, Shape{volume * padded});
    float* to = result.mutable_data<float>().data();
    std::fill_n(to, result.num_elements(), 0.0F);
    if (has_bias(call))
      for (std::int64_t k = 0; k < volume; ++k)
        std::copy_n(call.constant(2)->data<float>().data(), out, to + k * padded);
    return result;
  }

  /// One copy of the products to their places: a set of axes with strides on both sides.
  struct Move {
    Dims dims, from, to;
    std::size_t from_offset = 0;
    std::size_t to_offset = 0;
  };

  static void add_copy(KernelBuilder& builder, const OperandDesc& between, const Place& products) {
    const KernelCall& call = builder.call();
    const OperandDesc& out = call.outputs[0];
    builder.add(
        "place", {products, builder.output(0)},
        [moves = moves_of(call, between), out](StepTeam& team, const std::vector<void*>& places) {
          for (const Move& move : moves)
            copy_strided(move.dims, sizeof(float),
                         static_cast<const std::byte*>(places[0]) + move.from_offset, move.from,
                         static_cast<std::byte*>(places[1]) + move.to_offset, move.to, team);
          zero_padding(out, places[1]);
        });
  }

  /// Channels move by runs that are neighbours, or at one distance, on both sides.
  static std::vector<Move> moves_of(const KernelCall& call, const OperandDesc& between) {
    const OperandDesc& out = call.outputs[0];
    const Storage from = storage_of(between);
    const Storage to = storage_of(out);
    const Windows w = windows_of(call);
    const std::int64_t channels = out.shape[1];
    const std::int64_t padded = padded_channels(call);
    const std::int64_t from_block = channel_block(between.layout);
    const std::int64_t to_block = channel_block(out.layout);
    const std::int64_t run = std::max(from_block, to_block) == 1
                                 ? channels
                                 : std::min(from_block == 1 ? to_block : from_block,
                                            to_block == 1 ? from_block : to_block);
    const auto place = [](const Storage& storage, std::int64_t block, std::int64_t channel) {
      return channel / block * storage.strides[1] + channel % block;
    };
    std::vector<Move> moves;
    for (std::int64_t first = 0; first < channels; first += run) {
      Move move;
      for (std::size_t i = 0; i < w.kernel.size(); ++i) {
        move.dims.insert(move.dims.end(), {w.out[i], w.kernel[i]});
        move.from.insert(move.from.end(), {from.strides[i + 2], 0});
        move.to.insert(move.to.end(), {to.strides[i + 2] * w.kernel[i], to.strides[i + 2]});
      }
      // A step of the kernel is a step over channels: padded, times the steps inside of it.
      std::int64_t inner = 1;
      for (std::size_t i = w.kernel.size(); i-- > 0;) {
        move.from[2 * i + 1] = padded * inner / from_block * from.strides[1];
        inner *= w.kernel[i];
      }
      move.dims.insert(move.dims.begin(), call.inputs[0].shape[0]);
      move.from.insert(move.from.begin(), from.strides[0]);
      move.to.insert(move.to.begin(), to.strides[0]);
      move.dims.push_back(std::min(run, channels - first));
      move.from.push_back(from_block > 1 ? 1 : from.strides[1]);
      move.to.push_back(to_block > 1 ? 1 : to.strides[1]);
      move.from_offset = static_cast<std::size_t>(place(from, from_block, first)) * sizeof(float);
      move.to_offset = static_cast<std::size_t>(place(to, to_block, first)) * sizeof(float);
      moves.push_back(std::move(move));
    }
    return moves;
  }
};

}  // namespace

const KernelImpl& onednn_upsample() {
  static const Upsample impl;
  return impl;
}

}  // namespace gacer::cpu
