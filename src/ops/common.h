#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "ops/op_def.h"

namespace gacer {

// ---- axes and shapes -----------------------------------------------------------------------

/// `axis` in [-rank, rank) as one in [0, rank); Error{kModel} otherwise.
int normalize_axis(std::int64_t axis, int rank);
/// The same for several, ascending; Error{kModel} when one is named twice.
std::vector<int> normalize_axes(std::span<const std::int64_t> axes, int rank);

/// Numpy broadcasting; Error{kModel} when the shapes do not agree.
Shape broadcast_shapes(const Shape& a, const Shape& b);
/// Of all inputs of the operator that are present.
Shape broadcast_inputs(const InferContext& context);
/// Element strides of a row-major `from`, aligned to the axes of `to` from the right, 0 where it
/// is repeated. Precondition: `from` broadcasts to `to`.
std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to);

/// Product of the sizes of axes [begin, end).
std::int64_t product(const Shape& shape, int begin, int end);

/// Walks row-major positions [begin, end) of `shape` and calls body(position, offsets), where
/// offsets[i] is the position's element offset by strides[i].
template <std::size_t N, typename Body>
void for_each_broadcast(const Shape& shape, const std::array<std::vector<std::int64_t>, N>& strides,
                        std::int64_t begin, std::int64_t end, Body&& body) {
  if (begin >= end) return;
  const int rank = shape.rank();
  std::vector<std::int64_t> index(static_cast<std::size_t>(rank), 0);
  std::array<std::int64_t, N> offsets{};
  std::int64_t rest = begin;
  for (int axis = rank; axis-- > 0;) {
    const auto a = static_cast<std::size_t>(axis);
    index[a] = rest % shape[axis];
    rest /= shape[axis];
    for (std::size_t i = 0; i < N; ++i) offsets[i] += index[a] * strides[i][a];
  }
  for (std::int64_t position = begin; position < end; ++position) {
    body(position, std::as_const(offsets));
    for (int axis = rank; axis-- > 0;) {
      const auto a = static_cast<std::size_t>(axis);
      for (std::size_t i = 0; i < N; ++i) offsets[i] += strides[i][a];
      if (++index[a] < shape[axis]) break;
      for (std::size_t i = 0; i < N; ++i) offsets[i] -= shape[axis] * strides[i][a];
      index[a] = 0;
    }
  }
}

// ---- inference -----------------------------------------------------------------------------

/// One output with the type and shape of input 0.
std::vector<OutputType> infer_like_input(const InferContext& context);
/// Error{kUnsupported} unless an input's type is f32, f16, bf16 or f64.
void require_float(const InferContext& context, int input);
/// Error{kModel} unless an input has that rank (or at least that rank).
void require_rank(const InferContext& context, int input, int rank);
void require_rank_at_least(const InferContext& context, int input, int rank);
/// Integers of any width as i64; Error{kModel} for other types.
std::vector<std::int64_t> ints_of(const Tensor& tensor);
std::vector<std::int64_t> ints_of(const TensorView& view);

// ---- import --------------------------------------------------------------------------------

/// Makes `value` the node's input at `index`; inputs that this skips are absent.
void set_input(ImportContext& context, int index, ValueId value);
/// Turns the attribute `name`, if the node has it, into a constant input: ints and int become an
/// i64 vector (`as_scalar`: a scalar), floats an f32 vector, a float an f32 scalar.
void attribute_to_input(ImportContext& context, std::string_view name, int index,
                        bool as_scalar = false);
/// Adds a Reshape in front of the node and returns its output.
ValueId add_reshape(ImportContext& context, ValueId input, const Shape& shape);
/// Makes the node itself a Reshape of `input`.
void make_reshape(ImportContext& context, ValueId input, const Shape& shape);

// ---- evaluation ----------------------------------------------------------------------------

/// Element `index` of a contiguous view of any float type.
float load_f32(const TensorView& view, std::int64_t index);
void store_f32(const TensorView& view, std::int64_t index, float value);
/// As many elements as `values` has, from `first` on; for thousands at most.
void load_f32(const TensorView& view, std::int64_t first, std::span<float> values);
void store_f32(const TensorView& view, std::int64_t first, std::span<const float> values);
/// Copies between contiguous views of float types and equal element counts.
void convert_floats(const TensorView& from, const TensorView& to, Team& team);
/// Runs `body` with f32 copies of all operands that are f16, bf16 or f64, and writes the outputs
/// back in their own type.
void evaluate_in_f32(const EvalContext& context, void (*body)(const EvalContext&));
/// Copies the bytes of input 0 to output 0 (operators that only give the data another shape).
void evaluate_copy(const EvalContext& context);

// ---- cost ----------------------------------------------------------------------------------

/// Bytes of all operands, post-ops' included, a value that is read twice counted once.
double operand_bytes(const Graph& graph, const Node& node);
/// Elements of output 0.
double output_elements(const Graph& graph, const Node& node);

// ---- split rules ---------------------------------------------------------------------------
// A split rule is only called when at least one input carries the batch.

/// Elementwise with broadcasting: all inputs that carry the batch agree on the (right-aligned) axis
/// and factor, the others have size 1 there or lack the axis. All outputs get that axis.
SplitResult split_pointwise(const SplitContext& context);
/// Input `data` keeps its axis in every output unless it is one of `mixed_axes` (normalised), whose
/// elements the operator combines. No other input may carry the batch.
SplitResult split_keep_axis(const SplitContext& context, std::span<const int> mixed_axes,
                            int data = 0);
/// For operators on [N, C, …] that treat each N alone: the axis must be 0.
SplitResult split_leading(const SplitContext& context);
/// A refusal when an input besides those in `allowed` carries the batch.
Result<void> only_batched(const SplitContext& context, std::initializer_list<int> allowed);
/// Every output gets the same axis.
SplitResult all_outputs(const SplitContext& context, BatchAxis axis);

}  // namespace gacer
