#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include "base/dtype.h"
#include "base/vector_math.h"
#include "ops/common.h"
#include "ops/op_def.h"

/// Shared parts of the pointwise operators: which types they take, the loop over broadcast rows,
/// and the typed inner loops.
namespace gacer {

/// Element types that an operator takes.
enum class TypeSet : std::uint8_t { kFloat, kNumeric, kInteger, kBool, kAny };
bool contains(TypeSet set, DType dtype);
const char* to_string(TypeSet set);
/// Error{kModel} unless input `i` has a type of the set.
void check_type(const InferContext& context, int i, TypeSet set);
/// Error{kModel} unless all inputs have the first one's type.
void check_same_types(const InferContext& context, int first, int count);

template <typename T>
constexpr bool contains_type(TypeSet set) {
  constexpr DType kType = dtype_of<T>();
  switch (set) {
    case TypeSet::kFloat:
      return is_float(kType);
    case TypeSet::kNumeric:
      return kType != DType::kBool;
    case TypeSet::kInteger:
      return is_integer(kType);
    case TypeSet::kBool:
      return kType == DType::kBool;
    case TypeSet::kAny:
      return true;
  }
  return false;
}

/// Calls `body(T{})` for a type of the set; Error{kUnsupported} for another.
template <TypeSet kSet, typename Body>
void dispatch_in(DType dtype, const Node& node, Body&& body) {
  dispatch_dtype(dtype, [&](auto tag) {
    if constexpr (contains_type<decltype(tag)>(kSet)) {
      body(tag);
    } else {
      fail(ErrorKind::kUnsupported, "{} does not take elements of type {}", node.op,
           to_string(dtype));
    }
  });
}

/// One FLOP per output element and operand pair, and all operands once.
Cost pointwise_cost(const Graph& graph, const Node& node);
/// For imports of opsets below 7: lines operand 1 up with operand 0 from axis `axis` on, by giving
/// it trailing axes of size 1.
void align_operand(ImportContext& context, std::int64_t axis);

/// Neighbours of the output along its innermost (merged) axis. Operand i moves along by one element
/// when moves[i], else its one element holds for the row.
struct Row {
  static constexpr std::size_t kMaxInputs = 3;
  std::array<const std::byte*, kMaxInputs> in{};
  std::array<bool, kMaxInputs> moves{};
  std::byte* out = nullptr;
  std::int64_t count = 0;
};

/// Covers the output with rows, on the team; every operand broadcasts to the output's shape. All
/// views are contiguous. Same-shape operands make one long row a member.
void for_each_row(std::span<const TensorView> inputs, const TensorView& output, Team& team,
                  const std::function<void(const Row&)>& body);

/// f16 and bf16 compute in f32, the others in themselves.
template <typename T>
using ComputeType =
    std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;

template <typename T>
GACER_ALWAYS_INLINE ComputeType<T> load(T value) {
  return static_cast<ComputeType<T>>(value);
}

namespace row_loops {

// One body, compiled twice for float (with and without AVX2). `ivdep` because an output may be its
// own input in place, element by element.
template <typename In, typename Out, typename Op>
GACER_ALWAYS_INLINE void unary_body(const In* in, Out* out, std::int64_t count, const Op& op) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<Out>(op(load(in[i])));
}

template <bool kMoveA, bool kMoveB, typename A, typename B, typename Out, typename Op>
GACER_ALWAYS_INLINE void binary_body(const A* a, const B* b, Out* out, std::int64_t count,
                                     const Op& op) {
  const auto a0 = load(a[0]);
  const auto b0 = load(b[0]);
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<Out>(op(kMoveA ? load(a[i]) : a0, kMoveB ? load(b[i]) : b0));
  }
}

template <typename In, typename Out, typename Op>
GACER_TARGET_AVX2 void unary_avx2(const In* in, Out* out, std::int64_t count, const Op& op) {
  unary_body(in, out, count, op);
}
template <typename In, typename Out, typename Op>
void unary_base(const In* in, Out* out, std::int64_t count, const Op& op) {
  unary_body(in, out, count, op);
}
template <bool kMoveA, bool kMoveB, typename A, typename B, typename Out, typename Op>
GACER_TARGET_AVX2 void binary_avx2(const A* a, const B* b, Out* out, std::int64_t count,
                                   const Op& op) {
  binary_body<kMoveA, kMoveB>(a, b, out, count, op);
}
template <bool kMoveA, bool kMoveB, typename A, typename B, typename Out, typename Op>
void binary_base(const A* a, const B* b, Out* out, std::int64_t count, const Op& op) {
  binary_body<kMoveA, kMoveB>(a, b, out, count, op);
}

template <bool kMoveA, bool kMoveB, typename T, typename Out, typename Op>
void binary(const T* a, const T* b, Out* out, std::int64_t count, const Op& op) {
  if constexpr (std::is_same_v<T, float>) {
    if (has_avx2()) return binary_avx2<kMoveA, kMoveB>(a, b, out, count, op);
  }
  binary_base<kMoveA, kMoveB>(a, b, out, count, op);
}

}  // namespace row_loops

/// out[i] = op(in[i]) along a row.
template <typename In, typename Out, typename Op>
void unary_row(const Row& row, const Op& op) {
  const auto* in = reinterpret_cast<const In*>(row.in[0]);
  auto* out = reinterpret_cast<Out*>(row.out);
  if constexpr (std::is_same_v<In, float>) {
    if (has_avx2()) return row_loops::unary_avx2(in, out, row.count, op);
  }
  row_loops::unary_base(in, out, row.count, op);
}

/// out[i] = op(a[i], b[i]) along a row.
template <typename T, typename Out, typename Op>
void binary_row(const Row& row, const Op& op) {
  const auto* a = reinterpret_cast<const T*>(row.in[0]);
  const auto* b = reinterpret_cast<const T*>(row.in[1]);
  auto* out = reinterpret_cast<Out*>(row.out);
  if (row.moves[0] && row.moves[1])
    row_loops::binary<true, true>(a, b, out, row.count, op);
  else if (row.moves[1])
    row_loops::binary<false, true>(a, b, out, row.count, op);
  else
    row_loops::binary<true, false>(a, b, out, row.count, op);
}

/// Makes an operator's functor: Op::from(node) when it has attributes, Op{} when not.
template <typename Op>
Op make_functor(const Node& node) {
  if constexpr (requires { Op::from(node); })
    return Op::from(node);
  else
    return Op{};
}

/// Evaluates a unary operator whose output has the input's type.
template <typename Op>
void evaluate_unary(const EvalContext& context) {
  const Op op = make_functor<Op>(context.node);
  dispatch_in<Op::kTypes>(context.inputs[0].dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    for_each_row(context.inputs.first(1), context.outputs[0], context.team,
                 [&](const Row& row) { unary_row<T, T>(row, op); });
  });
}

template <typename Op>
std::vector<OutputType> infer_unary(const InferContext& context) {
  check_type(context, 0, Op::kTypes);
  return {{context.dtype(0), context.shape(0)}};
}

/// The OpDef of a unary functor with `static constexpr TypeSet kTypes` and
/// `template <typename T> T operator()(T) const`.
template <typename Op>
const OpDef& unary_op(std::string_view name) {
  static const OpDef kDef{.name = name,
                          .infer = infer_unary<Op>,
                          .evaluate = evaluate_unary<Op>,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace gacer
