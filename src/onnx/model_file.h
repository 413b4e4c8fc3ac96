#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "graph/graph.h"
#include "onnx/mapped_file.h"

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace gacer {

/// A parsed model and the bytes of its tensors. Large tensors stay in the (mapped) file until
/// `tensor` copies them once, to aligned memory.
class ModelFile {
 public:
  /// Errors: kIo, kModel (empty, cut off, not ONNX), naming the file.
  static ModelFile open(const std::string& path);
  /// `bytes` must outlive the result. External data are refused: there is no folder to look in.
  static ModelFile parse(std::string_view bytes, const std::string& origin);
  ~ModelFile();
  ModelFile(ModelFile&&) noexcept;

  const onnx::ModelProto& proto() const { return *proto_; }
  const std::string& origin() const { return origin_; }

  /// The tensor's value; converted once per TensorProto. Errors: kModel (sizes that do not agree,
  /// external data out of bounds or outside the model's folder), kUnsupported (element type).
  Tensor tensor(const onnx::TensorProto& proto);

 private:
  ModelFile(std::span<const std::byte> bytes, std::string origin);
  Tensor read_tensor(const onnx::TensorProto& proto);
  Tensor read_external(const onnx::TensorProto& proto, DType dtype, const Shape& shape);
  const std::shared_ptr<const MappedFile>& external_file(const std::string& location);

  std::unique_ptr<onnx::ModelProto> proto_;
  std::vector<std::span<const std::byte>> detached_;
  std::shared_ptr<const MappedFile> file_;
  std::string origin_;
  std::string path_;  ///< empty: parsed from bytes
  std::unordered_map<std::string, std::shared_ptr<const MappedFile>> external_files_;
  std::unordered_map<const onnx::TensorProto*, Tensor> tensors_;
};

/// The element type with that number in onnx.proto; Error{kUnsupported} naming `what`.
DType dtype_from_onnx(int data_type, const std::string& what);
int dtype_to_onnx(DType dtype);

/// Bytes of a dense tensor; Error{kModel} naming `what` when a size is negative or the product
/// too large to be meant (2^46 bytes).
std::size_t checked_bytes(DType dtype, const Shape& shape, const std::string& what);

}  // namespace gacer
