#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "backend/cpu/loops/kernels.h"
#include "backend/cpu/loops/loop_kernel.h"
#include "backend/cpu/loops/storage.h"

namespace gacer::cpu {
namespace {

/// Spatial positions with one stride on either side.
struct Axis {
  std::int64_t size = 1;
  std::int64_t in = 0;
  std::int64_t out = 0;
};

/// x * scale + shift, then a bound from below and above. A vector is the
/// channels that are neighbours in the layout; a group is what is left of the channels.
struct Setup {
  std::array<std::int64_t, 2> planes{1, 1};  ///< items, groups
  std::array<std::int64_t, 2> in_strides{0, 0};
  std::array<std::int64_t, 2> out_strides{0, 0};
  std::vector<Axis> outer;  ///< spatial axes that cannot be merged with the innermost
  Axis positions;
  std::int64_t vector = 1;
  std::vector<float> scale;  ///< [groups * vector], zeros beyond the channels
  std::vector<float> shift;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  OperandDesc result;
};

template <std::int64_t kVector>
void run_positions(const Setup& setup, const float* in, float* out, const float* scale,
                   const float* shift) {
  const std::int64_t vector = kVector > 0 ? kVector : setup.vector;
  const float low = setup.low;
  const float high = setup.high;
  for (std::int64_t i = 0; i < setup.positions.size; ++i) {
    const float* x = in + i * setup.positions.in;
    float* y = out + i * setup.positions.out;
    for (std::int64_t v = 0; v < vector; ++v) {
      float value = x[v] * scale[v] + shift[v];
      value = value < low ? low : value;
      y[v] = value > high ? high : value;
    }
  }
}

/// One channel whose positions are neighbours.
void run_channel(const Setup& setup, const float* in, float* out, float scale, float shift) {
  const float low = setup.low;
  const float high = setup.high;
  for (std::int64_t i = 0; i < setup.positions.size; ++i) {
    float value = in[i] * scale + shift;
    value = value < low ? low : value;
    out[i] = value > high ? high : value;
  }
}

void run_row(const Setup& setup, const float* in, float* out, std::int64_t group) {
  const float* scale = setup.scale.data() + group * setup.vector;
  const float* shift = setup.shift.data() + group * setup.vector;
  if (setup.vector == 8) return run_positions<8>(setup, in, out, scale, shift);
  if (setup.vector == 16) return run_positions<16>(setup, in, out, scale, shift);
  if (setup.vector == 1 && setup.positions.in == 1 && setup.positions.out == 1)
    return run_channel(setup, in, out, *scale, *shift);
  run_positions<0>(setup, in, out, scale, shift);
}

void run(const Setup& setup, const Bindings& bindings, StepTeam& team) {
  constexpr std::int64_t kGrain = 16 * 1024;
  const auto* in = static_cast<const float*>(bindings.inputs[0]);
  auto* out = static_cast<float*>(bindings.outputs[0]);
  std::int64_t rows = setup.planes[0] * setup.planes[1];
  for (const Axis& axis : setup.outer) rows *= axis.size;
  const std::int64_t row_elements = std::max<std::int64_t>(setup.positions.size * setup.vector, 1);
  team.parallel_for(rows, std::max<std::int64_t>(kGrain / row_elements, 1),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t row = begin; row < end; ++row) {
                        std::int64_t rest = row;
                        std::int64_t from = 0;
                        std::int64_t to = 0;
                        for (std::size_t i = setup.outer.size(); i-- > 0;) {
                          const std::int64_t step = rest % setup.outer[i].size;
                          rest /= setup.outer[i].size;
                          from += step * setup.outer[i].in;
                          to += step * setup.outer[i].out;
                        }
                        const std::int64_t group = rest % setup.planes[1];
                        const std::int64_t item = rest / setup.planes[1];
                        from += item * setup.in_strides[0] + group * setup.in_strides[1];
                        to += item * setup.out_strides[0] + group * setup.out_strides[1];
                        run_row(setup, in + from, out + to, group);
                      }
                    });
  zero_padding(setup.result, bindings.outputs[0]);
}

/// Bounds of the activations that are bounds; others are refused.
bool set_bounds(const Node& node, Setup& setup) {
  if (node.post.empty()) return true;
  if (node.post.size() > 1 || node.post[0].kind != PostOp::Kind::kActivation) return false;
  const PostOp& post = node.post[0];
  if (post.activation == Activation::kRelu) {
    setup.low = 0;
  } else if (post.activation == Activation::kClip) {
    setup.low = post.alpha;
    setup.high = post.beta;
  } else {
    return post.activation == Activation::kIdentity;
  }
  return true;
}

/// BatchNormalization with stored statistics, in any layout.
class AffineLoops final : public LoopKernel {
 public:
  std::string_view name() const override { return "affine"; }

  Result<void> supports(const KernelCall& call) const override {
    if (call.node.op != "BatchNormalization") return refuse("not a BatchNormalization");
    if (call.node.attributes.get_int("training_mode", 0) != 0) return refuse("training mode");
    for (std::size_t i = 1; i < call.outputs.size(); ++i)
      if (!call.outputs[i].is_absent) return refuse("statistics are asked for");
    const OperandDesc& x = call.inputs[0];
    const OperandDesc& y = call.outputs[0];
    if (x.dtype != DType::kF32 || y.dtype != DType::kF32)
      return refuse("type {}", to_string(x.dtype));
    if (x.layout != y.layout)
      return refuse("from layout {} to {}", to_string(x.layout), to_string(y.layout));
    if (x.shape.rank() < 2) return refuse("rank {}", x.shape.rank());
    for (int i = 1; i <= 4; ++i)
      if (call.constant(i) == nullptr || call.constant(i)->dtype() != DType::kF32)
        return refuse("input {} is no f32 constant", i);
    if (Setup setup; !set_bounds(call.node, setup)) return refuse("post-ops other than bounds");
    return {};
  }

 protected:
  Plan plan(const KernelCall& call, int /*num_threads*/) const override {
    return {[setup = make_setup(call)](const Bindings& bindings, StepTeam& team) {
              run(setup, bindings, team);
            },
            0};
  }

 private:
  static Setup make_setup(const KernelCall& call) {
    Setup setup;
    setup.result = call.outputs[0];
    set_bounds(call.node, setup);
    const Storage in = storage_of(call.inputs[0]);
    const Storage out = storage_of(call.outputs[0]);
    const auto rank = static_cast<std::size_t>(setup.result.shape.rank());
    setup.planes = {out.dims[0], out.dims[1]};
    setup.in_strides = {in.strides[0], in.strides[1]};
    setup.out_strides = {out.strides[0], out.strides[1]};
    setup.vector = channel_block(setup.result.layout);
    if (in.strides[1] == 1 && out.strides[1] == 1 && setup.vector == 1) {
      setup.vector = out.dims[1];  // channels are neighbours
      setup.planes[1] = 1;
    }
    for (std::size_t axis = 2; axis < rank; ++axis) {
      const Axis next{out.dims[axis], in.strides[axis], out.strides[axis]};
      if (!setup.outer.empty() && setup.outer.back().in == next.size * next.in &&
          setup.outer.back().out == next.size * next.out)
        setup.outer.back() = {setup.outer.back().size * next.size, next.in, next.out};
      else
        setup.outer.push_back(next);
    }
    if (!setup.outer.empty()) {
      setup.positions = setup.outer.back();
      setup.outer.pop_back();
    }
    set_factors(call, setup);
    return setup;
  }

  static void set_factors(const KernelCall& call, Setup& setup) {
    const auto scale = call.constant(1)->data<float>();
    const auto bias = call.constant(2)->data<float>();
    const auto mean = call.constant(3)->data<float>();
    const auto variance = call.constant(4)->data<float>();
    const float epsilon = call.node.attributes.get_float("epsilon", 1e-5F);
    setup.scale.assign(static_cast<std::size_t>(setup.planes[1] * setup.vector), 0.0F);
    setup.shift = setup.scale;
    for (std::size_t c = 0; c < scale.size(); ++c) {
      setup.scale[c] = scale[c] / std::sqrt(variance[c] + epsilon);
      setup.shift[c] = bias[c] - mean[c] * setup.scale[c];
    }
  }
};

}  // namespace

const KernelImpl& loops_affine() {
  static const AffineLoops impl;
  return impl;
}

}  // namespace gacer::cpu
