#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/dtype.h"
#include "ops/common.h"
#include "ops/gemm.h"
#include "ops/matmul_shapes.h"

namespace gacer {

MatMulShapes matmul_shapes(const Shape& a, const Shape& b) {
  if (a.rank() == 0 || b.rank() == 0)
    fail(ErrorKind::kModel, "matrix product of {} and {}", a.to_string(), b.to_string());
  const auto matrix = [](const Shape& shape, bool is_left) {
    if (shape.rank() > 1) return shape;
    return is_left ? Shape{1, shape[0]} : Shape{shape[0], 1};
  };
  const Shape left = matrix(a, true);
  const Shape right = matrix(b, false);
  MatMulShapes result;
  result.m = left[left.rank() - 2];
  result.k = left[left.rank() - 1];
  result.n = right[right.rank() - 1];
  if (result.k != right[right.rank() - 2])
    fail(ErrorKind::kModel, "matrix product of {} and {}", a.to_string(), b.to_string());
  const auto outer = [](const Shape& shape) {
    return Shape(std::vector<std::int64_t>(shape.begin(), shape.end() - 2));
  };
  result.a_outer = outer(left);
  result.b_outer = outer(right);
  result.outer = broadcast_shapes(result.a_outer, result.b_outer);
  std::vector<std::int64_t> dims = result.outer.dims();
  if (a.rank() > 1) dims.push_back(result.m);
  if (b.rank() > 1) dims.push_back(result.n);
  result.out = Shape(std::move(dims));
  return result;
}

SplitResult split_matmul(const SplitContext& context) {
  if (auto only = only_batched(context, {0, 1}); !only) return Refusal{only.reason()};
  const Shape& a = context.shape(0);
  const Shape& b = context.shape(1);
  const int out_rank = context.output_shape().rank();
  // Axes counted from the right of a full matrix: 0 columns, 1 rows, 2 and up outer axes.
  const auto from_right = [](const Shape& shape, int axis, bool is_left) {
    if (shape.rank() == 1) return is_left ? 0 : 1;
    return shape.rank() - 1 - axis;
  };
  const auto outer_size = [](const Shape& shape, int right) {
    return right < shape.rank() ? shape[shape.rank() - 1 - right] : 1;
  };
  const int dropped_rows = a.rank() == 1 ? 1 : 0;
  const int dropped_columns = b.rank() == 1 ? 1 : 0;
  const auto out_axis = [&](int right) {
    return out_rank - 1 - (right - dropped_columns - (right >= 2 ? dropped_rows : 0));
  };
  const auto& a_batch = context.inputs[0];
  const auto& b_batch = context.inputs[1];
  if (a_batch && b_batch) {
    const int a_right = from_right(a, a_batch->axis, true);
    const int b_right = from_right(b, b_batch->axis, false);
    if (a_right < 2 || a_right != b_right || a_batch->factor != b_batch->factor)
      return refuse("both factors carry the batch, on axes {} of {} and {} of {}", a_batch->axis,
                    a.to_string(), b_batch->axis, b.to_string());
    return all_outputs(context, {out_axis(a_right), a_batch->factor});
  }
  const bool is_left = a_batch.has_value();
  const BatchAxis& batch = is_left ? *a_batch : *b_batch;
  const int right = from_right(is_left ? a : b, batch.axis, is_left);
  if (right == (is_left ? 0 : 1)) return refuse("the product sums over the batch's axis");
  if (right >= 2 && outer_size(is_left ? b : a, right) != 1)
    return refuse("the other factor {} does not carry the batch", (is_left ? b : a).to_string());
  return all_outputs(context, {out_axis(right), batch.factor});
}

namespace {

std::vector<OutputType> infer(const InferContext& context) {
  if (context.dtype(0) != context.dtype(1) || context.dtype(0) == DType::kBool)
    fail(ErrorKind::kModel, "matrix product of {} and {}", to_string(context.dtype(0)),
         to_string(context.dtype(1)));
  return {{context.dtype(0), matmul_shapes(context.shape(0), context.shape(1)).out}};
}

void evaluate_f32(const EvalContext& context) {
  const MatMulShapes shapes = matmul_shapes(context.inputs[0].shape, context.inputs[1].shape);
  const float* a = context.inputs[0].flat<float>().data();
  const float* b = context.inputs[1].flat<float>().data();
  float* c = context.outputs[0].flat<float>().data();
  const std::int64_t outer = shapes.outer.num_elements();
  const std::array strides{broadcast_strides(shapes.a_outer, shapes.outer),
                           broadcast_strides(shapes.b_outer, shapes.outer)};
  // One tall product when all rows meet the same right factor.
  if (shapes.b_outer.num_elements() == 1) {
    gemm({outer * shapes.m, shapes.n, shapes.k}, a, shapes.k, b, shapes.n, 1, c, shapes.n,
         context.team);
    return;
  }
  context.team.parallel_for(outer, 1, [&](std::int64_t begin, std::int64_t end) {
    SerialTeam alone;
    for_each_broadcast(shapes.outer, strides, begin, end,
                       [&](std::int64_t i, const std::array<std::int64_t, 2>& offsets) {
                         gemm({shapes.m, shapes.n, shapes.k}, a + offsets[0] * shapes.m * shapes.k,
                              shapes.k, b + offsets[1] * shapes.k * shapes.n, shapes.n, 1,
                              c + i * shapes.m * shapes.n, shapes.n, alone);
                       });
  });
}

template <typename T>
void evaluate_integers(const EvalContext& context) {
  const MatMulShapes shapes = matmul_shapes(context.inputs[0].shape, context.inputs[1].shape);
  const auto a = context.inputs[0].flat<T>();
  const auto b = context.inputs[1].flat<T>();
  const auto c = context.outputs[0].flat<T>();
  multiply_matrices(
      shapes, context.team, [&](std::int64_t out, std::int64_t row, std::int64_t column) {
        // Unsigned arithmetic: overflow wraps.
        std::uint64_t sum = 0;
        for (std::int64_t k = 0; k < shapes.k; ++k)
          sum += static_cast<std::uint64_t>(a[static_cast<std::size_t>(row + k)]) *
                 static_cast<std::uint64_t>(b[static_cast<std::size_t>(column + k * shapes.n)]);
        c[static_cast<std::size_t>(out)] = static_cast<T>(sum);
      });
}

void evaluate(const EvalContext& context) {
  if (is_float(context.inputs[0].dtype)) return evaluate_in_f32(context, evaluate_f32);
  dispatch_dtype(context.inputs[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      evaluate_integers<T>(context);
    else
      fail(ErrorKind::kInternal, "matrix product of {}", to_string(dtype_of<T>()));
  });
}

Cost cost(const Graph& graph, const Node& node) {
  const Shape& a = graph.value(node.inputs[0]).shape;
  return {2.0 * output_elements(graph, node) * static_cast<double>(a[a.rank() - 1]),
          operand_bytes(graph, node)};
}

}  // namespace

const OpDef& op_matmul() {
  static const OpDef def{
      .name = "MatMul", .infer = infer, .evaluate = evaluate, .cost = cost, .split = split_matmul};
  return def;
}

}  // namespace gacer
