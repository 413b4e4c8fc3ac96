// Arguments of kernels/squeeze_excite.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

inline constexpr int kSqueezeExciteThreads = 512;
/// Most blocks that share an image.
inline constexpr int kSqueezeExciteMaxCluster = 8;

/// Positions that a thread reads before it adds the first.
inline constexpr int kSqueezeExciteAhead = 8;

/// An image's mean over its positions, and two products after it. Strides in elements.
struct SqueezeExciteArgs {
  int positions;
  int channels;          ///< of the image, in whole vectors
  int hidden, outputs;   ///< results of the two products
  int hidden_pitch;      ///< from a row of the second matrix to the next, in whole vectors
  int lanes;             ///< positions that a block reads at once
  int hidden_share;      ///< of a block, a multiple of 4
  int output_share;      ///< the same of the second product
  bool is_copied_ahead;  ///< weights go through shared memory
  long long x_n, x_p;    ///< from an image to the next, from a position to the next
  long long y_n;
  int hidden_activation;
  float hidden_alpha, hidden_beta;
  int activation;
  float alpha, beta;
};

}  // namespace gacer::cuda
