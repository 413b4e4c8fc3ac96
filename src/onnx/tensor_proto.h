#pragma once

#include <gacer/tensor.h>

namespace onnx {
class TensorProto;
}

namespace gacer {

/// Type, shape and raw bytes of a tensor (ModelFile::tensor reads them back).
void write_tensor(const Tensor& tensor, onnx::TensorProto& proto);

}  // namespace gacer
