#include "backend/cuda/kernel_list.h"

namespace gacer::cuda {

std::vector<std::unique_ptr<KernelImpl>> make_kernels(const Services& services) {
  std::vector<std::unique_ptr<KernelImpl>> kernels;
  const auto add = [&](std::unique_ptr<KernelImpl> kernel) -> const KernelImpl* {
    kernels.push_back(std::move(kernel));
    return kernels.back().get();
  };
  const KernelImpl* const depthwise = add(make_depthwise_conv(services));
  const KernelImpl* const dnn = add(make_dnn_conv(services));
  const KernelImpl* const blas = add(make_blas_conv(services));
  const KernelImpl* const thin = add(make_thin_conv(services));
  const KernelImpl* const split = add(make_split_conv(services));
  const KernelImpl* const few_rows = add(make_few_rows_conv(services));
  add(make_affine_conv(services, {depthwise, dnn, blas, thin, split, few_rows}));
  add(make_blas_matmul(services));
  add(make_few_rows_matmul(services));
  add(make_attention(services));
  add(make_conv_transpose(services));
  add(make_pool(services));
  add(make_resize(services));
  const KernelImpl* const rows = add(make_rows(services));
  add(make_squeeze_excite(services));
  add(make_squeeze_excite_parts({rows}, {few_rows, blas, dnn}));
  add(make_lrn(services));
  add(make_elementwise(services));
  return kernels;
}

}  // namespace gacer::cuda
