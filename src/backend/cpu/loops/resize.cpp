#include <algorithm>
#include <array>

#include "backend/cpu/loops/kernels.h"
#include "backend/cpu/loops/loop_kernel.h"
#include "backend/cpu/loops/storage.h"
#include "base/error.h"
#include "ops/resize_plan.h"

namespace gacer::cpu {
namespace {

TensorView view_of(const KernelCall& call, int input) {
  const Tensor* tensor = call.constant(input);
  return tensor != nullptr ? TensorView::of(*tensor) : TensorView();
}

/// One spatial axis: which input positions an output position is made of.
struct SpatialAxis {
  std::int64_t size = 1;  ///< of the output
  std::int64_t in_stride = 0;
  std::int64_t out_stride = 0;
  int taps = 1;
  std::vector<std::int64_t> index;
  std::vector<float> weight;
};

/// Everything that a run needs. A vector is the channels that are neighbours in the layout.
struct ResizeSetup {
  std::array<std::int64_t, 2> planes{1, 1};  ///< items, channel groups
  std::array<std::int64_t, 2> in_strides{0, 0};
  std::array<std::int64_t, 2> out_strides{0, 0};
  std::array<SpatialAxis, 3> axes;  ///< depth, height, width
  std::int64_t vector = 1;
  bool copies = true;  ///< one tap everywhere
  OperandDesc out;
};

/// A part of the input that a row of the output is made of.
struct RowTap {
  const float* row;
  float weight;
};

void copy_row(const ResizeSetup& setup, const float* in, float* out) {
  const SpatialAxis& width = setup.axes[2];
  for (std::int64_t x = 0; x < width.size; ++x) {
    const float* from = in + width.index[static_cast<std::size_t>(x)] * width.in_stride;
    std::copy_n(from, setup.vector, out + x * width.out_stride);
  }
}

void interpolate_row(const ResizeSetup& setup, const std::vector<RowTap>& taps, float* out) {
  const SpatialAxis& width = setup.axes[2];
  for (std::int64_t x = 0; x < width.size; ++x) {
    float* to = out + x * width.out_stride;
    std::fill_n(to, setup.vector, 0.0F);
    for (const RowTap& tap : taps)
      for (int t = 0; t < width.taps; ++t) {
        const auto at = static_cast<std::size_t>(x * width.taps + t);
        const float weight = tap.weight * width.weight[at];
        const float* from = tap.row + width.index[at] * width.in_stride;
        for (std::int64_t v = 0; v < setup.vector; ++v) to[v] += weight * from[v];
      }
  }
}

void run(const ResizeSetup& setup, const Bindings& bindings, StepTeam& team) {
  const auto* in = static_cast<const float*>(bindings.inputs[0]);
  auto* out = static_cast<float*>(bindings.outputs[0]);
  const SpatialAxis& depth = setup.axes[0];
  const SpatialAxis& height = setup.axes[1];
  const std::int64_t rows = setup.planes[0] * setup.planes[1] * depth.size * height.size;
  team.parallel_for(rows, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<RowTap> taps;
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t rest = row;
      const std::int64_t y = rest % height.size;
      rest /= height.size;
      const std::int64_t z = rest % depth.size;
      rest /= depth.size;
      const std::int64_t group = rest % setup.planes[1];
      const std::int64_t item = rest / setup.planes[1];
      const float* plane = in + item * setup.in_strides[0] + group * setup.in_strides[1];
      float* to = out + item * setup.out_strides[0] + group * setup.out_strides[1] +
                  z * depth.out_stride + y * height.out_stride;
      taps.clear();
      for (int i = 0; i < depth.taps; ++i)
        for (int j = 0; j < height.taps; ++j) {
          const auto d = static_cast<std::size_t>(z * depth.taps + i);
          const auto h = static_cast<std::size_t>(y * height.taps + j);
          taps.push_back(
              {plane + depth.index[d] * depth.in_stride + height.index[h] * height.in_stride,
               depth.weight[d] * height.weight[h]});
        }
      if (setup.copies)
        copy_row(setup, taps[0].row, to);
      else
        interpolate_row(setup, taps, to);
    }
  });
  zero_padding(setup.out, bindings.outputs[0]);
}

/// Resize of an image's spatial axes, in any layout.
class ResizeLoops final : public LoopKernel {
 public:
  std::string_view name() const override { return "resize"; }

  Result<void> supports(const KernelCall& call) const override {
    if (call.node.op != "Resize") return refuse("not a Resize");
    const OperandDesc& in = call.inputs[0];
    const OperandDesc& out = call.outputs[0];
    if (!call.node.post.empty()) return refuse("post-ops");
    if (in.dtype != DType::kF32) return refuse("type {}", to_string(in.dtype));
    if (in.layout != out.layout)
      return refuse("from layout {} to {}", to_string(in.layout), to_string(out.layout));
    if (in.shape.rank() < 3 || in.shape.rank() > 5) return refuse("rank {}", in.shape.rank());
    const std::vector<ResizeAxis> axes = plan_of(call);
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
      if (axis < 2 && !axes[axis].is_identity) return refuse("axis {} is resized", axis);
      const auto& outside = axes[axis].is_outside;
      if (std::find(outside.begin(), outside.end(), true) != outside.end())
        return refuse("positions outside of the input");
    }
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
  static std::vector<ResizeAxis> plan_of(const KernelCall& call) {
    const bool crops = call.node.attributes.get_string("coordinate_transformation_mode",
                                                       "half_pixel") == "tf_crop_and_resize";
    return plan_resize(call.node, call.inputs[0].shape, call.outputs[0].shape,
                       resize_operands(crops ? view_of(call, 1) : TensorView(), view_of(call, 2),
                                       view_of(call, 3)));
  }

  static ResizeSetup make_setup(const KernelCall& call) {
    const Storage in = storage_of(call.inputs[0]);
    const Storage out = storage_of(call.outputs[0]);
    const std::vector<ResizeAxis> axes = plan_of(call);
    ResizeSetup setup;
    setup.out = call.outputs[0];
    setup.planes = {out.dims[0], out.dims[1]};
    setup.in_strides = {in.strides[0], in.strides[1]};
    setup.out_strides = {out.strides[0], out.strides[1]};
    if (setup.out.layout == Layout::kChannelsLast && in.strides[1] == 1 && out.strides[1] == 1) {
      setup.vector = out.dims[1];
      setup.planes[1] = 1;
    } else {
      setup.vector = channel_block(setup.out.layout);
    }
    const auto rank = static_cast<std::size_t>(call.outputs[0].shape.rank());
    for (std::size_t i = 0; i < setup.axes.size(); ++i) {
      SpatialAxis& to = setup.axes[i];
      to.index = {0};
      to.weight = {1};
      if (i + rank < 5) continue;  // an axis that the image does not have
      const std::size_t axis = i + rank - 3;
      to.size = out.dims[axis];
      to.in_stride = in.strides[axis];
      to.out_stride = out.strides[axis];
      fill_taps(axes[axis], to);
      setup.copies = setup.copies && to.taps == 1;
    }
    return setup;
  }

  static void fill_taps(const ResizeAxis& from, SpatialAxis& to) {
    if (!from.is_identity) {
      to.taps = from.taps;
      to.index = from.index;
      to.weight = from.weight;
      return;
    }
    to.index.resize(static_cast<std::size_t>(to.size));
    to.weight.assign(to.index.size(), 1.0F);
    for (std::size_t i = 0; i < to.index.size(); ++i) to.index[i] = static_cast<std::int64_t>(i);
  }
};

}  // namespace

const KernelImpl& loops_resize() {
  static const ResizeLoops impl;
  return impl;
}

}  // namespace gacer::cpu
