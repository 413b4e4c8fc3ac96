#include "backend/cpu/kernels.h"

#include "backend/cpu/onednn/kernels.h"

namespace gacer::cpu {

std::vector<const KernelImpl*> all_kernels() {
  return {&onednn_convolution(), &onednn_deconvolution(), &onednn_pooling(), &onednn_matmul(),
          &onednn_softmax(),     &onednn_layer_norm(),    &onednn_reorder(), &onednn_eltwise(),
          &onednn_binary(),      &plain_kernel()};
}

}  // namespace gacer::cpu
