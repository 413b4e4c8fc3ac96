// Arguments of kernels/few_rows.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// y[m, n] = act(alpha * x[m, k] · w[n, k] + c[m, n] + bias[n]); pitches in elements. All operands
/// have one type; y has it too, or is f32.
struct FewRowsArgs {
  int m, n, k;
  int x_pitch, w_pitch, c_pitch, y_pitch;
  int is_result_f32;
  float alpha;
  int activation;
  float activation_alpha, activation_beta;
};

}  // namespace gacer::cuda
