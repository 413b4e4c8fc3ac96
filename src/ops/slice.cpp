#include <algorithm>
#include <limits>

#include "ops/data_movement.h"

namespace gacer {
namespace {

/// What is taken along one axis.
struct Range {
  int axis = 0;
  std::int64_t start = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;
};

/// start:end:step on an axis of `size`.
Range clamp_range(int axis, std::int64_t start, std::int64_t end, std::int64_t step,
                  std::int64_t size) {
  if (step == 0) fail(ErrorKind::kModel, "Slice: step 0 on axis {}", axis);
  if (start < 0) start += size;
  if (end < 0) end += size;
  Range range{.axis = axis, .start = start, .step = step};
  if (step > 0) {
    range.start = std::clamp<std::int64_t>(start, 0, size);
    end = std::clamp<std::int64_t>(end, 0, size);
    // Steps may be as large as the type allows.
    range.count = end > range.start ? (end - range.start - 1) / step + 1 : 0;
  } else {
    // A start before the first element is the first, unlike numpy's.
    range.start = std::clamp<std::int64_t>(start, std::min<std::int64_t>(0, size - 1), size - 1);
    end = std::clamp<std::int64_t>(end, -1, size - 1);
    const std::int64_t down = step == std::numeric_limits<std::int64_t>::min()
                                  ? std::numeric_limits<std::int64_t>::max()
                                  : -step;
    range.count = range.start > end ? (range.start - end - 1) / down + 1 : 0;
  }
  return range;
}

std::vector<Range> make_ranges(const Shape& shape, const std::vector<std::int64_t>& starts,
                               const std::vector<std::int64_t>& ends,
                               std::vector<std::int64_t> axes, std::vector<std::int64_t> steps) {
  if (axes.empty())
    for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    fail(ErrorKind::kModel, "Slice: {} starts, {} ends, {} axes, {} steps", starts.size(),
         ends.size(), axes.size(), steps.size());
  }
  normalize_axes(axes, shape.rank());  // no axis twice
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const int axis = normalize_axis(axes[i], shape.rank());
    ranges.push_back(clamp_range(axis, starts[i], ends[i], steps[i], shape[axis]));
  }
  return ranges;
}

std::vector<Range> constant_ranges(const InferContext& context) {
  const auto optional = [&](int i) {
    return context.has_input(i) ? context.constant_ints(i) : std::vector<std::int64_t>{};
  };
  return make_ranges(context.shape(0), context.constant_ints(1), context.constant_ints(2),
                     optional(3), optional(4));
}

std::vector<OutputType> infer(const InferContext& context) {
  Shape shape = context.shape(0);
  for (const Range& range : constant_ranges(context)) shape[range.axis] = range.count;
  return {{context.dtype(0), std::move(shape)}};
}

void evaluate(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  const auto optional = [&](std::size_t i) {
    return context.has_input(i) ? ints_of(context.inputs[i]) : std::vector<std::int64_t>{};
  };
  BoxCopy box{.dims = to.shape.dims(), .from_strides = from.strides, .to_strides = to.strides};
  for (const Range& range : make_ranges(from.shape, ints_of(context.inputs[1]),
                                        ints_of(context.inputs[2]), optional(3), optional(4))) {
    if (range.count == 0) return;
    const auto axis = static_cast<std::size_t>(range.axis);
    box.from_offset += range.start * from.strides[axis];
    // The step of a single element may be huge and is never taken.
    box.from_strides[axis] = range.count > 1 ? from.strides[axis] * range.step : 0;
  }
  copy_box(from, to, std::move(box), context.team);
}

SplitResult split(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  const BatchAxis batch = *context.inputs[0];
  for (const Range& range : constant_ranges(InferContext(context.graph, context.node))) {
    const bool is_whole =
        range.start == 0 && range.step == 1 && range.count == context.shape(0)[range.axis];
    if (range.axis == batch.axis && !is_whole)
      return refuse("a part of the batch's axis {} is taken", range.axis);
  }
  return all_outputs(context, batch);
}

void import_slice(ImportContext& context) {
  if (context.opset >= 10) return;
  attribute_to_input(context, "starts", 1);
  attribute_to_input(context, "ends", 2);
  attribute_to_input(context, "axes", 3);
}

}  // namespace

const OpDef& op_slice() {
  static const OpDef kDef{.name = "Slice",
                          .infer = infer,
                          .evaluate = evaluate,
                          .split = split,
                          .import = import_slice};
  return kDef;
}

}  // namespace gacer
