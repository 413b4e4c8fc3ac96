#include "ops/elementwise.h"

#include <algorithm>

namespace gacer {
namespace {

// Rows shorter than this in total are not worth waking the team for.
constexpr std::int64_t kGrainElements = 16384;

/// Output and operand strides over merged axes, innermost last; a broadcast axis has stride 0.
struct MergedAxes {
  std::vector<std::int64_t> dims;
  std::vector<std::array<std::int64_t, Row::kMaxInputs>> strides;
};

MergedAxes merge_axes(std::span<const TensorView> inputs, const Shape& out) {
  MergedAxes merged;
  for (int axis = 0; axis < out.rank(); ++axis) {
    if (out[axis] == 1) continue;
    std::array<std::int64_t, Row::kMaxInputs> stride{};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Shape& shape = inputs[i].shape;
      const int own = axis - (out.rank() - shape.rank());
      if (own < 0 || shape[own] == 1) continue;
      require(shape[own] == out[axis], "operand {} of shape {} does not broadcast to {}", i,
              shape.to_string(), out.to_string());
      stride[i] = inputs[i].strides[static_cast<std::size_t>(own)];
    }
    bool merges = !merged.dims.empty();
    for (std::size_t i = 0; merges && i < inputs.size(); ++i)
      merges = merged.strides.back()[i] == stride[i] * out[axis];
    if (merges) {
      merged.dims.back() *= out[axis];
      merged.strides.back() = stride;
    } else {
      merged.dims.push_back(out[axis]);
      merged.strides.push_back(stride);
    }
  }
  if (merged.dims.empty()) {
    merged.dims.push_back(1);
    merged.strides.emplace_back();
  }
  return merged;
}

/// Rows that cover the output's elements [begin, end).
void walk_rows(std::span<const TensorView> inputs, const TensorView& output,
               const MergedAxes& merged, std::int64_t begin, std::int64_t end,
               const std::function<void(const Row&)>& body) {
  const std::size_t last = merged.dims.size() - 1;
  const std::int64_t width = merged.dims[last];
  std::vector<std::int64_t> index(merged.dims.size(), 0);
  std::array<std::int64_t, Row::kMaxInputs> offset{};  // of the row's first element
  std::int64_t rest = begin / width;
  for (std::size_t axis = last; axis-- > 0;) {
    index[axis] = rest % merged.dims[axis];
    rest /= merged.dims[axis];
    for (std::size_t i = 0; i < inputs.size(); ++i)
      offset[i] += index[axis] * merged.strides[axis][i];
  }
  Row row;
  for (std::size_t i = 0; i < inputs.size(); ++i) row.moves[i] = merged.strides[last][i] != 0;
  std::int64_t column = begin % width;
  while (begin < end) {
    row.count = std::min(width - column, end - begin);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::int64_t element = offset[i] + (row.moves[i] ? column : 0);
      row.in[i] = inputs[i].data + element * static_cast<std::int64_t>(size_of(inputs[i].dtype));
    }
    row.out = output.data + begin * static_cast<std::int64_t>(size_of(output.dtype));
    body(row);
    begin += row.count;
    column = 0;
    for (std::size_t axis = last; axis-- > 0;) {
      const bool carries = ++index[axis] == merged.dims[axis];
      const std::int64_t step = carries ? 1 - merged.dims[axis] : 1;
      for (std::size_t i = 0; i < inputs.size(); ++i) offset[i] += step * merged.strides[axis][i];
      if (!carries) break;
      index[axis] = 0;
    }
  }
}

}  // namespace

bool contains(TypeSet set, DType dtype) {
  return dispatch_dtype(dtype, [&](auto tag) { return contains_type<decltype(tag)>(set); });
}

const char* to_string(TypeSet set) {
  switch (set) {
    case TypeSet::kFloat:
      return "a float type";
    case TypeSet::kNumeric:
      return "a numeric type";
    case TypeSet::kInteger:
      return "an integer type";
    case TypeSet::kBool:
      return "bool";
    case TypeSet::kAny:
      return "any type";
  }
  return "?";
}

void check_type(const InferContext& context, int i, TypeSet set) {
  if (!contains(set, context.dtype(i))) {
    fail(ErrorKind::kModel, "{}: input {} has type {}, expected {}", context.node().op, i,
         to_string(context.dtype(i)), to_string(set));
  }
}

void check_same_types(const InferContext& context, int first, int count) {
  for (int i = first + 1; i < first + count; ++i) {
    if (context.dtype(i) != context.dtype(first)) {
      fail(ErrorKind::kModel, "{}: input {} has type {}, but input {} has type {}",
           context.node().op, i, to_string(context.dtype(i)), first,
           to_string(context.dtype(first)));
    }
  }
}

Cost pointwise_cost(const Graph& graph, const Node& node) {
  return {.flop = output_elements(graph, node) * std::max(1, node.num_op_inputs - 1),
          .bytes = operand_bytes(graph, node)};
}

void align_operand(ImportContext& context, std::int64_t axis) {
  const Node& node = context.node;
  if (node.inputs.size() < 2 || node.inputs[0] == kNone || node.inputs[1] == kNone) return;
  const int rank = context.graph.value(node.inputs[0]).shape.rank();
  const Shape& operand = context.graph.value(node.inputs[1]).shape;
  const int missing = rank - normalize_axis(axis, rank) - operand.rank();
  if (missing <= 0 || operand.num_elements() == 1) return;
  std::vector<std::int64_t> dims = operand.dims();
  dims.resize(dims.size() + static_cast<std::size_t>(missing), 1);
  set_input(context, 1, add_reshape(context, node.inputs[1], Shape(std::move(dims))));
}

void for_each_row(std::span<const TensorView> inputs, const TensorView& output, Team& team,
                  const std::function<void(const Row&)>& body) {
  require(inputs.size() <= Row::kMaxInputs, "{} operands in one pointwise row", inputs.size());
  const MergedAxes merged = merge_axes(inputs, output.shape);
  team.parallel_for(output.num_elements(), kGrainElements,
                    [&](std::int64_t begin, std::int64_t end) {
                      walk_rows(inputs, output, merged, begin, end, body);
                    });
}

}  // namespace gacer
