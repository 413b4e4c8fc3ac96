#include "onnx/tensor_proto.h"

#include <onnx/onnx.pb.h>

#include "onnx/model_file.h"

namespace gacer {

void write_tensor(const Tensor& tensor, onnx::TensorProto& proto) {
  proto.set_data_type(dtype_to_onnx(tensor.dtype()));
  for (std::int64_t dim : tensor.shape()) proto.add_dims(dim);
  proto.set_raw_data(tensor.bytes(), tensor.size_bytes());
}

}  // namespace gacer
