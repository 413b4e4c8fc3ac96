#include "backend/cpu/kernels.h"

#include <oneapi/dnnl/dnnl.hpp>

#include "backend/cpu/loops/kernels.h"
#include "backend/cpu/onednn/kernels.h"

namespace gacer::cpu {

std::vector<const KernelImpl*> all_kernels() {
  return {&onednn_convolution(),   &onednn_upsample(), &onednn_deconvolution(), &onednn_pooling(),
          &onednn_inner_product(), &onednn_matmul(),   &onednn_recurrent(),     &onednn_softmax(),
          &onednn_layer_norm(),    &onednn_reorder(),  &onednn_eltwise(),       &onednn_binary(),
          &loops_binary(),         &loops_affine(),    &loops_resize(),         &loops_concat(),
          &loops_attention(),      &plain_kernel()};
}

Layout preferred_image_layout() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  const auto has = [&](dnnl::cpu_isa wanted) {
    return (static_cast<unsigned>(isa) & static_cast<unsigned>(wanted)) ==
           static_cast<unsigned>(wanted);
  };
  if (has(dnnl::cpu_isa::avx512_core)) return Layout::kBlocked16;
  if (has(dnnl::cpu_isa::avx2)) return Layout::kBlocked8;
  return Layout::kRowMajor;
}

}  // namespace gacer::cpu
