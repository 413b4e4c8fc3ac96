#pragma once

#include <memory>

#include "backend/cuda/services.h"

namespace gacer::cuda {

// One function a file of the same name, but for the products (blas_product.cpp, few_rows.cpp).
std::unique_ptr<KernelImpl> make_dnn_conv(const Services& services);
std::unique_ptr<KernelImpl> make_blas_conv(const Services& services);
std::unique_ptr<KernelImpl> make_blas_matmul(const Services& services);
std::unique_ptr<KernelImpl> make_few_rows_conv(const Services& services);
std::unique_ptr<KernelImpl> make_few_rows_matmul(const Services& services);
std::unique_ptr<KernelImpl> make_thin_conv(const Services& services);
std::unique_ptr<KernelImpl> make_split_conv(const Services& services);
/// `convolutions` do the second half; they live as long as the result.
std::unique_ptr<KernelImpl> make_affine_conv(const Services& services,
                                             std::vector<const KernelImpl*> convolutions);
std::unique_ptr<KernelImpl> make_depthwise_conv(const Services& services);
std::unique_ptr<KernelImpl> make_attention(const Services& services);
std::unique_ptr<KernelImpl> make_conv_transpose(const Services& services);
std::unique_ptr<KernelImpl> make_pool(const Services& services);
std::unique_ptr<KernelImpl> make_resize(const Services& services);
std::unique_ptr<KernelImpl> make_squeeze_excite(const Services& services);
/// The same in three launches, by kernels for pools and for convolutions, the best first; they live
/// as long as the result.
std::unique_ptr<KernelImpl> make_squeeze_excite_parts(std::vector<const KernelImpl*> pools,
                                                      std::vector<const KernelImpl*> convolutions);
std::unique_ptr<KernelImpl> make_lrn(const Services& services);
std::unique_ptr<KernelImpl> make_rows(const Services& services);
std::unique_ptr<KernelImpl> make_elementwise(const Services& services);

}  // namespace gacer::cuda
