#include <algorithm>

#include "ops/data_movement.h"

namespace gacer {
namespace {

enum class Mode { kConstant, kReflect, kEdge, kWrap };

Mode mode_of(const Node& node) {
  const std::string name = node.attributes.get_string("mode", "constant");
  if (name == "constant") return Mode::kConstant;
  if (name == "reflect") return Mode::kReflect;
  if (name == "edge") return Mode::kEdge;
  if (name == "wrap") return Mode::kWrap;
  fail(ErrorKind::kModel, "mode '{}', expected constant, reflect, edge or wrap", name);
}

/// Elements added (or, negative, removed) before and after each axis.
struct Pads {
  std::vector<std::int64_t> before;
  std::vector<std::int64_t> after;
};

Pads make_pads(const std::vector<std::int64_t>& pads, const std::vector<std::int64_t>& axes,
               int rank) {
  const std::size_t count = axes.empty() ? static_cast<std::size_t>(rank) : axes.size();
  if (pads.size() != 2 * count)
    fail(ErrorKind::kModel, "Pad: {} pads for {} axes", pads.size(), count);
  normalize_axes(axes, rank);  // no axis twice
  // Sums of three stay numbers.
  constexpr std::int64_t kMost = std::int64_t{1} << 46;
  for (const std::int64_t pad : pads)
    if (pad < -kMost || pad > kMost) fail(ErrorKind::kModel, "Pad: a pad of {}", pad);
  Pads result{std::vector<std::int64_t>(static_cast<std::size_t>(rank), 0),
              std::vector<std::int64_t>(static_cast<std::size_t>(rank), 0)};
  for (std::size_t i = 0; i < count; ++i) {
    const auto axis = axes.empty() ? i : static_cast<std::size_t>(normalize_axis(axes[i], rank));
    result.before[axis] = pads[i];
    result.after[axis] = pads[count + i];
  }
  return result;
}

Pads constant_pads(const InferContext& context) {
  return make_pads(context.constant_ints(1),
                   context.has_input(3) ? context.constant_ints(3) : std::vector<std::int64_t>{},
                   context.shape(0).rank());
}

std::vector<OutputType> infer(const InferContext& context) {
  Shape shape = context.shape(0);
  const Pads pads = constant_pads(context);
  const Mode mode = mode_of(context.node());
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t kept = shape[axis] + std::min<std::int64_t>(pads.before[i], 0) +
                              std::min<std::int64_t>(pads.after[i], 0);
    const bool adds = pads.before[i] > 0 || pads.after[i] > 0;
    if (kept < 0 || (kept == 0 && adds && mode != Mode::kConstant)) {
      fail(ErrorKind::kModel, "Pad: axis {} of {} with pads {} and {}", axis, shape.to_string(),
           pads.before[i], pads.after[i]);
    }
  }
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    shape[axis] += pads.before[i] + pads.after[i];
  }
  if (context.has_input(2) &&
      (context.dtype(2) != context.dtype(0) || context.shape(2).num_elements() != 1)) {
    fail(ErrorKind::kModel, "Pad: the constant is {} {}, expected a scalar of {}",
         to_string(context.dtype(2)), context.shape(2).to_string(), to_string(context.dtype(0)));
  }
  return {{context.dtype(0), std::move(shape)}};
}

/// Index in [0, size) whose element stands at position i, which may lie outside.
std::int64_t source_index(std::int64_t i, std::int64_t size, Mode mode) {
  if (mode == Mode::kEdge || size == 1) return std::clamp<std::int64_t>(i, 0, size - 1);
  const std::int64_t period = mode == Mode::kReflect ? 2 * (size - 1) : size;
  const std::int64_t place = (i % period + period) % period;
  return place < size ? place : period - place;
}

void evaluate(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  const int rank = to.shape.rank();
  const Mode mode = mode_of(context.node);
  const Pads pads = make_pads(
      ints_of(context.inputs[1]),
      context.has_input(3) ? ints_of(context.inputs[3]) : std::vector<std::int64_t>{}, rank);
  if (to.num_elements() == 0) return;
  if (mode == Mode::kConstant)
    fill_elements(to, context.has_input(2) ? context.inputs[2].data : nullptr, context.team);

  // What is kept of the input, and where it begins in the output.
  BoxCopy kept{.from_strides = from.strides, .to_strides = to.strides};
  std::vector<std::int64_t> begin;
  for (int axis = 0; axis < rank; ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t cut_before = std::max<std::int64_t>(-pads.before[i], 0);
    const std::int64_t cut_after = std::max<std::int64_t>(-pads.after[i], 0);
    begin.push_back(std::max<std::int64_t>(pads.before[i], 0));
    kept.dims.push_back(from.shape[axis] - cut_before - cut_after);
    kept.from_offset += cut_before * from.strides[i];
    kept.to_offset += begin.back() * to.strides[i];
  }
  copy_box(from, to, kept, context.team);
  if (mode == Mode::kConstant) return;

  // Axis by axis from the innermost: planes of the output are copied to where they repeat.
  BoxCopy plane{.from_strides = to.strides, .to_strides = to.strides};
  for (int axis = rank; axis-- > 0;) {
    const auto i = static_cast<std::size_t>(axis);
    plane.dims = kept.dims;
    std::int64_t corner = 0;  // offset of the plane with the axis at 0
    for (std::size_t k = 0; k < static_cast<std::size_t>(rank); ++k) {
      if (k > i) plane.dims[k] = to.shape[static_cast<int>(k)];
      if (k < i) corner += begin[k] * to.strides[k];
    }
    plane.dims[i] = 1;
    for (std::int64_t p = 0; p < to.shape[axis]; ++p) {
      const std::int64_t own = p - begin[i];
      if (own >= 0 && own < kept.dims[i]) continue;
      plane.from_offset =
          corner + (begin[i] + source_index(own, kept.dims[i], mode)) * to.strides[i];
      plane.to_offset = corner + p * to.strides[i];
      copy_box(to, to, plane, context.team);
    }
  }
}

SplitResult split(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  const BatchAxis batch = *context.inputs[0];
  const Pads pads = constant_pads(InferContext(context.graph, context.node));
  const auto axis = static_cast<std::size_t>(batch.axis);
  if (pads.before[axis] != 0 || pads.after[axis] != 0)
    return refuse("the batch's axis {} is padded", batch.axis);
  return all_outputs(context, batch);
}

/// Pads and value became inputs in opset 11.
void import_pad(ImportContext& context) {
  if (context.opset >= 11) return;
  attribute_to_input(context, "paddings", 1);
  attribute_to_input(context, "pads", 1);
  if (!context.node.attributes.has("value")) return;
  const DType dtype = context.graph.value(context.node.inputs.at(0)).dtype;
  Tensor value(dtype, Shape{});
  dispatch_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    value.mutable_data<T>()[0] = static_cast<T>(context.node.attributes.get_float("value", 0));
  });
  context.node.attributes.erase("value");
  set_input(context, 2, context.graph.add_constant(context.node.name + ":value", value));
}

}  // namespace

const OpDef& op_pad() {
  static const OpDef kDef{
      .name = "Pad", .infer = infer, .evaluate = evaluate, .split = split, .import = import_pad};
  return kDef;
}

}  // namespace gacer
