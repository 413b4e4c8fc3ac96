#pragma once

#include <array>
#include <cstdint>

#include "graph/graph.h"

namespace gacer {

/// Attention (domain gacer): softmax(scale * q·kᵀ + mask)·v for each item and head. Inputs q, k, v
/// and an optional additive mask that broadcasts to [B, H, S, S2]. Attributes: `scale` (default 1),
/// `causal` (a query sees the keys up to its own position), `layout`. A query whose keys are all
/// masked gives zeros.
///   "bhsd" (default): q [B, H, S, D], k [B, H, S2, D] ([B, H, D, S2] with k_transposed=1),
///                     v [B, H, S2, D2], output [B, H, S, D2]
///   "bshd":           q [B, S, H*D], k [B, S2, H*D], v [B, S2, H*D2], output [B, S, H*D2], with
///                     `num_heads`
struct AttentionShapes {
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t head_size = 0;
  std::int64_t value_size = 0;
  /// Element strides of [batch, head, position, channel] in each operand.
  std::array<std::int64_t, 4> q{}, k{}, v{}, out{};
  Shape out_shape;
};
/// Error{kModel} when the shapes do not agree.
AttentionShapes attention_shapes(const Node& node, const Shape& q, const Shape& k, const Shape& v);

}  // namespace gacer
