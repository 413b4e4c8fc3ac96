#include "backend/cuda/kernel_list.h"

namespace gacer::cuda {

std::vector<std::unique_ptr<KernelImpl>> make_kernels(const Services& services) {
  std::vector<std::unique_ptr<KernelImpl>> kernels;
  kernels.push_back(make_depthwise_conv(services));
  kernels.push_back(make_dnn_conv(services));
  kernels.push_back(make_blas_conv(services));
  kernels.push_back(make_thin_conv(services));
  kernels.push_back(make_split_conv(services));
  kernels.push_back(make_few_rows_conv(services));
  std::vector<const KernelImpl*> convolutions;
  for (const auto& kernel : kernels) convolutions.push_back(kernel.get());
  kernels.push_back(make_affine_conv(services, std::move(convolutions)));
  kernels.push_back(make_blas_matmul(services));
  kernels.push_back(make_few_rows_matmul(services));
  kernels.push_back(make_attention(services));
  kernels.push_back(make_conv_transpose(services));
  kernels.push_back(make_pool(services));
  kernels.push_back(make_resize(services));
  kernels.push_back(make_squeeze_excite(services));
  kernels.push_back(make_lrn(services));
  kernels.push_back(make_rows(services));
  kernels.push_back(make_elementwise(services));
  return kernels;
}

}  // namespace gacer::cuda
