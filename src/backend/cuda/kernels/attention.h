// Arguments of kernels/attention.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// Element strides of an operand by batch, head, position and channel.
struct AttentionStrides {
  long long b = 0, h = 0, s = 0, d = 0;
};

/// softmax(scale * q·kᵀ + mask)·v of every head; a query whose keys are all masked gives zeros.
struct AttentionArgs {
  int batch = 1, heads = 1, queries = 1, keys = 1;
  int head_size = 1;   ///< channels of q and k
  int value_size = 1;  ///< channels of v and y
  AttentionStrides q, k, v, y;
  AttentionStrides mask;  ///< d counts keys, 0 where the mask is repeated
  float scale = 1;
  bool is_causal = false;  ///< a query sees the keys up to its own position
};

inline constexpr int kAttentionKeys = 64;     ///< that "tiles" brings to shared memory at once
inline constexpr int kAttentionQueries = 16;  ///< of a warp of "tiles"
inline constexpr int kAttentionPad = 8;       ///< elements after a row in shared memory

}  // namespace gacer::cuda
