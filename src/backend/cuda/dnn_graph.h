#pragma once

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "backend/cuda/check.h"
#include "backend/cuda/dnn_plan.h"

// cuDNN's backend descriptors, for dnn_plan.cpp alone.
namespace gacer::cuda {

inline bool is_lack_of_memory(cudnnStatus_t status) {
  return status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
         status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

/// Whether cuDNN says that it does not have what it was asked for. Engines that fail inside on a
/// graph (some cannot be compiled for it) are among that; a lack of memory is not.
inline bool is_refusal(cudnnStatus_t status) {
  const int category = CUDNN_STATUS_CATEGORY(static_cast<int>(status));
  return category == CUDNN_STATUS_BAD_PARAM || category == CUDNN_STATUS_NOT_SUPPORTED ||
         (category == CUDNN_STATUS_INTERNAL_ERROR && !is_lack_of_memory(status));
}

/// Error with cuDNN's reason unless the call succeeded: kUnsupported for refusals if those are
/// expected, kOutOfMemory, else kDevice.
inline void check_dnn(cudnnStatus_t status, const char* what, bool may_refuse = false) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const ErrorKind kind =
      may_refuse && is_refusal(status) ? ErrorKind::kUnsupported : ErrorKind::kDevice;
  std::array<char, 512> detail = {};
  cudnnGetLastErrorString(detail.data(), detail.size());
  const std::string text =
      fmt::format("cuDNN: {} failed: {} {}", what, cudnnGetErrorString(status), detail.data());
  if (is_lack_of_memory(status)) fail(ErrorKind::kOutOfMemory, "{}", describe_lack_of_memory(text));
  fail(kind, "{}", text);
}

inline cudnnDataType_t dnn_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return CUDNN_DATA_FLOAT;
    case DType::kF16:
      return CUDNN_DATA_HALF;
    case DType::kBF16:
      return CUDNN_DATA_BFLOAT16;
    default:
      fail(ErrorKind::kUnsupported, "cuDNN convolution of {}", to_string(dtype));
  }
}

/// A backend descriptor that is destroyed with its owner.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check_dnn(cudnnBackendCreateDescriptor(type, &descriptor_), "creating a descriptor");
  }
  ~Descriptor() {
    if (descriptor_ != nullptr) cudnnBackendDestroyDescriptor(descriptor_);
  }
  Descriptor(Descriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
           const void* values) {
    check_dnn(cudnnBackendSetAttribute(descriptor_, name, type, count, values),
              "setting an attribute", /*may_refuse=*/true);
  }
  template <typename T>
  void set_one(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T value) {
    set(name, type, 1, &value);
  }
  void set_ints(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
    set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
  }
  void set_descriptor(cudnnBackendAttributeName_t name, const Descriptor& value) {
    set_one(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  /// Finalising is where cuDNN says that it does not support something.
  void finalize(const char* what) {
    check_dnn(cudnnBackendFinalize(descriptor_), what, /*may_refuse=*/true);
  }
  template <typename T>
  T get_one(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    T value = {};
    std::int64_t count = 0;
    check_dnn(cudnnBackendGetAttribute(descriptor_, name, type, 1, &count, &value),
              "reading an attribute");
    return value;
  }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

class DnnHandle {
 public:
  DnnHandle() { check_dnn(cudnnCreate(&handle_), "cudnnCreate"); }
  ~DnnHandle() { cudnnDestroy(handle_); }
  DnnHandle(const DnnHandle&) = delete;
  DnnHandle& operator=(const DnnHandle&) = delete;
  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// The operation graph of a DnnConv with everything it is made of.
class OperationGraph {
 public:
  OperationGraph(cudnnHandle_t handle, const DnnConv& conv)
      : conv_(conv), graph_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    const bool ends_here = !conv.has_bias && conv.pointwise.empty();
    Descriptor& x = add_tensor(kDnnX, conv.x, conv.x_strides);
    Descriptor& w = add_tensor(kDnnW, conv.w, conv.w_strides);
    Descriptor* value = &add_result(ends_here);
    add_convolution(x, w, *value);
    if (conv.has_bias) {
      std::vector<std::int64_t> dims(conv.y.size(), 1);
      dims[1] = conv.y[1];
      std::vector<std::int64_t> strides(conv.y.size(), 1);
      strides[0] = conv.y[1];
      if (conv.y_strides[1] != 1)
        for (std::size_t i = 2; i < strides.size(); ++i) strides[i] = 1;
      else
        for (std::size_t i = 2; i < strides.size(); ++i) strides[i] = conv.y[1];
      Descriptor& bias = add_tensor(kDnnBias, dims, strides);
      Descriptor& next = add_result(conv.pointwise.empty());
      DnnPointwise add;
      add.mode = CUDNN_POINTWISE_ADD;
      add_pointwise(add, *value, &bias, next);
      value = &next;
    }
    for (std::size_t i = 0; i < conv.pointwise.size(); ++i) {
      const DnnPointwise& op = conv.pointwise[i];
      Descriptor* operand =
          op.is_binary ? &add_tensor(op.operand, conv.y, op.operand_strides) : nullptr;
      if (op.is_hard_swish) {
        value = &add_hard_swish(*value, i + 1 == conv.pointwise.size());
        continue;
      }
      Descriptor& next = add_result(i + 1 == conv.pointwise.size());
      add_pointwise(op, *value, operand, next);
      value = &next;
    }
    std::vector<cudnnBackendDescriptor_t> ops;
    for (const auto& op : operations_) ops.push_back(op->get());
    graph_.set_one(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
    graph_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
               static_cast<std::int64_t>(ops.size()), ops.data());
    graph_.finalize("operation graph");
  }
  const Descriptor& get() const { return graph_; }

 private:
  Descriptor& keep(cudnnBackendDescriptorType_t type) {
    parts_.push_back(std::make_unique<Descriptor>(type));
    return *parts_.back();
  }
  Descriptor& add_tensor(std::int64_t id, const std::vector<std::int64_t>& dims,
                         const std::vector<std::int64_t>& strides, bool is_virtual = false) {
    constexpr std::int64_t kAlignment = 16;
    Descriptor& tensor = keep(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    tensor.set_one(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE,
                   is_virtual ? CUDNN_DATA_FLOAT : dnn_type(conv_.dtype));
    tensor.set_ints(CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
    tensor.set_ints(CUDNN_ATTR_TENSOR_STRIDES, strides);
    tensor.set_one(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
    tensor.set_one(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
    if (is_virtual) tensor.set_one(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true);
    tensor.finalize("tensor");
    return tensor;
  }
  Descriptor& add_result(bool is_last) {
    constexpr std::int64_t kFirstVirtual = 100;
    if (is_last) return add_tensor(kDnnY, conv_.y, conv_.y_strides);
    return add_tensor(kFirstVirtual + static_cast<std::int64_t>(parts_.size()), conv_.y,
                      conv_.y_strides, /*is_virtual=*/true);
  }
  void add_convolution(const Descriptor& x, const Descriptor& w, const Descriptor& y) {
    Descriptor& convolution = keep(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    convolution.set_one(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    convolution.set_one(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                        CUDNN_CROSS_CORRELATION);
    convolution.set_one(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64,
                        static_cast<std::int64_t>(conv_.strides.size()));
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, conv_.pads_begin);
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, conv_.pads_end);
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, conv_.strides);
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_DILATIONS, conv_.dilations);
    convolution.finalize("convolution");
    operations_.push_back(
        std::make_unique<Descriptor>(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR));
    Descriptor& op = *operations_.back();
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution);
    op.set_one(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0F);
    op.set_one(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0F);
    op.finalize("convolution operation");
  }
  /// x * clip(x, -3, 3) / 6 + x / 2, which needs no constants.
  Descriptor& add_hard_swish(const Descriptor& x, bool is_last) {
    DnnPointwise clip;
    clip.mode = CUDNN_POINTWISE_RELU_FWD;
    clip.lower_clip = -3;
    clip.upper_clip = 3;
    Descriptor& clipped = add_result(false);
    add_pointwise(clip, x, nullptr, clipped);
    DnnPointwise multiply;
    multiply.mode = CUDNN_POINTWISE_MUL;
    Descriptor& product = add_result(false);
    add_pointwise(multiply, x, &clipped, product);
    DnnPointwise add;
    add.mode = CUDNN_POINTWISE_ADD;
    Descriptor& sum = add_result(is_last);
    add_pointwise(add, product, &x, sum, 1.0F / 6, 0.5F);
    return sum;
  }
  void add_pointwise(const DnnPointwise& what, const Descriptor& x, const Descriptor* b,
                     const Descriptor& y, float alpha1 = 1, float alpha2 = 1) {
    Descriptor& pointwise = keep(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    pointwise.set_one(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, what.mode);
    pointwise.set_one(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    if (what.mode == CUDNN_POINTWISE_RELU_FWD) {
      if (what.lower_clip != 0)
        pointwise.set_one(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, what.lower_clip);
      if (what.upper_clip != 0)
        pointwise.set_one(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, what.upper_clip);
      if (what.slope != 0)
        pointwise.set_one(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE,
                          what.slope);
    }
    if (what.mode == CUDNN_POINTWISE_ELU_FWD)
      pointwise.set_one(CUDNN_ATTR_POINTWISE_ELU_ALPHA, CUDNN_TYPE_DOUBLE, what.slope);
    pointwise.finalize("pointwise");
    operations_.push_back(
        std::make_unique<Descriptor>(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    Descriptor& op = *operations_.back();
    op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
    op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != nullptr) op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    if (alpha1 != 1) op.set_one(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, alpha1);
    if (alpha2 != 1) op.set_one(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, alpha2);
    op.finalize("pointwise operation");
  }

  DnnConv conv_;
  std::vector<std::unique_ptr<Descriptor>> parts_;
  std::vector<std::unique_ptr<Descriptor>> operations_;
  Descriptor graph_;
};

}  // namespace gacer::cuda
