#include "onnx/model_file.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <filesystem>
#include <optional>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx.pb.h>

#include "base/dtype.h"
#include "base/error.h"
#include "onnx/wire.h"

namespace gacer {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTensorBytes = std::size_t{1} << 46;

struct DTypeNumber {
  int number;
  DType dtype;
};
constexpr DTypeNumber kDTypeNumbers[] = {
    {onnx::TensorProto::FLOAT, DType::kF32},     {onnx::TensorProto::UINT8, DType::kU8},
    {onnx::TensorProto::INT8, DType::kI8},       {onnx::TensorProto::UINT16, DType::kU16},
    {onnx::TensorProto::INT16, DType::kI16},     {onnx::TensorProto::INT32, DType::kI32},
    {onnx::TensorProto::INT64, DType::kI64},     {onnx::TensorProto::BOOL, DType::kBool},
    {onnx::TensorProto::FLOAT16, DType::kF16},   {onnx::TensorProto::DOUBLE, DType::kF64},
    {onnx::TensorProto::UINT32, DType::kU32},    {onnx::TensorProto::UINT64, DType::kU64},
    {onnx::TensorProto::BFLOAT16, DType::kBF16},
};

// Any byte but 0 means true in a file; in memory a bool is 0 or 1.
void normalize_bools(Tensor& tensor) {
  for (std::byte& b : std::span(tensor.mutable_bytes(), tensor.size_bytes()))
    b = b == std::byte{0} ? std::byte{0} : std::byte{1};
}

// Copies piece by piece, so that a mapped file and its copy are never both in memory as a whole.
Tensor copy_raw(DType dtype, const Shape& shape, std::span<const std::byte> raw,
                const std::string& name, const MappedFile* file = nullptr) {
  constexpr std::size_t kPiece = std::size_t{8} << 20;
  const std::size_t size = checked_bytes(dtype, shape, name);
  if (raw.size() != size)
    fail(ErrorKind::kModel, "tensor '{}' {}{} needs {} bytes, the file holds {}", name,
         to_string(dtype), shape.to_string(), size, raw.size());
  Tensor tensor(dtype, shape);
  for (std::size_t at = 0; at < size; at += kPiece) {
    const std::span<const std::byte> piece = raw.subspan(at, std::min(kPiece, size - at));
    std::memcpy(tensor.mutable_bytes() + at, piece.data(), piece.size());
    if (file != nullptr) file->release(piece);
  }
  if (dtype == DType::kBool) normalize_bools(tensor);
  return tensor;
}

template <typename Field>
void check_count(const onnx::TensorProto& proto, const Tensor& tensor, const Field& field) {
  if (static_cast<std::int64_t>(field.size()) != tensor.num_elements())
    fail(ErrorKind::kModel, "tensor '{}' {}{} needs {} elements, the file holds {}", proto.name(),
         to_string(tensor.dtype()), tensor.shape().to_string(), tensor.num_elements(),
         field.size());
}

template <typename T, typename Field>
void copy_typed(const onnx::TensorProto& proto, Tensor& tensor, const Field& field) {
  check_count(proto, tensor, field);
  std::span<T> out = tensor.mutable_data<T>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto element = field.Get(static_cast<int>(i));
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
      out[i].bits = static_cast<std::uint16_t>(element);
    else if constexpr (std::is_same_v<T, bool>)
      out[i] = element != 0;
    else
      out[i] = static_cast<T>(element);
  }
}

Tensor read_typed(const onnx::TensorProto& proto, DType dtype, const Shape& shape) {
  // The elements must be there before memory of the stated size is asked for.
  const std::size_t needed = checked_bytes(dtype, shape, proto.name()) / size_of(dtype);
  const auto held = static_cast<std::size_t>(proto.float_data_size()) +
                    static_cast<std::size_t>(proto.int32_data_size()) +
                    static_cast<std::size_t>(proto.int64_data_size()) +
                    static_cast<std::size_t>(proto.double_data_size()) +
                    static_cast<std::size_t>(proto.uint64_data_size());
  if (needed > held)
    fail(ErrorKind::kModel, "tensor '{}' {}{} needs {} elements, the file holds {}", proto.name(),
         to_string(dtype), shape.to_string(), needed, held);
  Tensor tensor(dtype, shape);
  dispatch_dtype(dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, float>)
      copy_typed<T>(proto, tensor, proto.float_data());
    else if constexpr (std::is_same_v<T, double>)
      copy_typed<T>(proto, tensor, proto.double_data());
    else if constexpr (std::is_same_v<T, std::int64_t>)
      copy_typed<T>(proto, tensor, proto.int64_data());
    else if constexpr (std::is_same_v<T, std::uint32_t> || std::is_same_v<T, std::uint64_t>)
      copy_typed<T>(proto, tensor, proto.uint64_data());
    else
      copy_typed<T>(proto, tensor, proto.int32_data());
  });
  return tensor;
}

std::optional<std::string> find_entry(const onnx::TensorProto& proto, const char* key) {
  for (const auto& entry : proto.external_data())
    if (entry.key() == key) return entry.value();
  return std::nullopt;
}

std::size_t parse_count(const onnx::TensorProto& proto, const char* key, std::size_t fallback) {
  const std::optional<std::string> text = find_entry(proto, key);
  if (!text) return fallback;
  if (text->empty() || text->size() > 18 ||
      text->find_first_not_of("0123456789") != std::string::npos)
    fail(ErrorKind::kModel, "tensor '{}': external data have the {} '{}'", proto.name(), key,
         *text);
  return static_cast<std::size_t>(std::stoull(*text));
}

bool is_inside(const fs::path& file, const fs::path& folder) {
  const fs::path relative = file.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace

DType dtype_from_onnx(int data_type, const std::string& what) {
  for (const DTypeNumber& entry : kDTypeNumbers)
    if (entry.number == data_type) return entry.dtype;
  const std::string name =
      onnx::TensorProto::DataType_IsValid(data_type)
          ? onnx::TensorProto::DataType_Name(static_cast<onnx::TensorProto::DataType>(data_type))
          : std::to_string(data_type);
  fail(ErrorKind::kUnsupported, "{} has the element type {}, which GACER does not know", what,
       name);
}

int dtype_to_onnx(DType dtype) {
  for (const DTypeNumber& entry : kDTypeNumbers)
    if (entry.dtype == dtype) return entry.number;
  fail(ErrorKind::kInternal, "no ONNX number for {}", to_string(dtype));
}

std::size_t checked_bytes(DType dtype, const Shape& shape, const std::string& what) {
  std::size_t bytes = size_of(dtype);
  bool is_empty = false;
  for (std::int64_t dim : shape) {
    if (dim < 0) fail(ErrorKind::kModel, "'{}' has the shape {}", what, shape.to_string());
    is_empty = is_empty || dim == 0;
  }
  if (is_empty) return 0;
  for (std::int64_t dim : shape) {
    if (static_cast<std::size_t>(dim) > kMaxTensorBytes / bytes)
      fail(ErrorKind::kModel, "'{}' has the shape {}, more than {} bytes", what, shape.to_string(),
           kMaxTensorBytes);
    bytes *= static_cast<std::size_t>(dim);
  }
  return bytes;
}

ModelFile::ModelFile(std::span<const std::byte> bytes, std::string origin)
    : proto_(std::make_unique<onnx::ModelProto>()), origin_(std::move(origin)) {
  if (bytes.empty()) fail(ErrorKind::kModel, "not an ONNX model: the file is empty");
  SlimModel slim = detach_tensors(bytes);
  detached_ = std::move(slim.detached);
  if (slim.bytes.size() > INT_MAX)
    fail(ErrorKind::kUnsupported, "{} bytes besides raw tensors; protobuf reads at most {}",
         slim.bytes.size(), INT_MAX);
  google::protobuf::io::ArrayInputStream array(slim.bytes.data(),
                                               static_cast<int>(slim.bytes.size()));
  google::protobuf::io::CodedInputStream coded(&array);
  coded.SetTotalBytesLimit(INT_MAX);
  if (!proto_->ParseFromCodedStream(&coded) || !coded.ConsumedEntireMessage())
    fail(ErrorKind::kModel, "not an ONNX model: the protobuf message does not fit the schema");
  if (!proto_->has_graph()) fail(ErrorKind::kModel, "not an ONNX model: it has no graph");
  if (proto_->opset_import_size() == 0)
    fail(ErrorKind::kModel, "not an ONNX model: it states no opset (opset_import)");
}

ModelFile::~ModelFile() = default;
ModelFile::ModelFile(ModelFile&&) noexcept = default;

ModelFile ModelFile::open(const std::string& path) {
  std::shared_ptr<const MappedFile> mapped = MappedFile::open(path);
  try {
    ModelFile model(mapped->bytes(), path);
    model.file_ = std::move(mapped);
    model.path_ = path;
    return model;
  } catch (Error& error) {
    error.add_context(fmt::format("model '{}'", path));
    throw;
  }
}

ModelFile ModelFile::parse(std::string_view bytes, const std::string& origin) {
  try {
    return ModelFile(std::as_bytes(std::span(bytes.data(), bytes.size())), origin);
  } catch (Error& error) {
    error.add_context(fmt::format("model '{}'", origin));
    throw;
  }
}

Tensor ModelFile::tensor(const onnx::TensorProto& proto) {
  const auto known = tensors_.find(&proto);
  if (known != tensors_.end()) return known->second;
  return tensors_.emplace(&proto, read_tensor(proto)).first->second;
}

Tensor ModelFile::read_tensor(const onnx::TensorProto& proto) {
  const DType dtype = dtype_from_onnx(proto.data_type(), fmt::format("tensor '{}'", proto.name()));
  const Shape shape(std::vector<std::int64_t>(proto.dims().begin(), proto.dims().end()));
  if (proto.has_segment())
    fail(ErrorKind::kUnsupported, "tensor '{}' is stored in segments", proto.name());
  if (proto.data_location() == onnx::TensorProto::EXTERNAL)
    return read_external(proto, dtype, shape);
  if (proto.has_raw_data())
    return copy_raw(dtype, shape, std::as_bytes(std::span(proto.raw_data())), proto.name());
  if (find_entry(proto, kDetachedKey)) {
    const std::size_t index = parse_count(proto, kDetachedKey, 0);
    if (index >= detached_.size())
      fail(ErrorKind::kModel, "tensor '{}' names bytes {} that do not exist", proto.name(), index);
    return copy_raw(dtype, shape, detached_[index], proto.name(), file_.get());
  }
  return read_typed(proto, dtype, shape);
}

const std::shared_ptr<const MappedFile>& ModelFile::external_file(const std::string& location) {
  const auto known = external_files_.find(location);
  if (known != external_files_.end()) return known->second;
  if (path_.empty())
    fail(ErrorKind::kModel, "external data in '{}': a model read from memory has no folder",
         location);
  const fs::path relative(location);
  if (relative.empty() || relative.is_absolute())
    fail(ErrorKind::kModel, "external data in '{}': must be relative to the model", location);
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(fs::absolute(fs::path(path_)).parent_path(), error);
  const fs::path file = fs::weakly_canonical(folder / relative, error);
  // A download cache links both the model and its data to one folder elsewhere.
  const fs::path linked = fs::weakly_canonical(fs::absolute(path_), error).parent_path();
  if (error || !(is_inside(file, folder) || is_inside(file, linked)))
    fail(ErrorKind::kModel, "external data in '{}': outside the model's folder", location);
  return external_files_.emplace(location, MappedFile::open(file.string())).first->second;
}

Tensor ModelFile::read_external(const onnx::TensorProto& proto, DType dtype, const Shape& shape) {
  const std::optional<std::string> location = find_entry(proto, "location");
  if (!location) fail(ErrorKind::kModel, "tensor '{}': external data name no file", proto.name());
  const std::size_t size = checked_bytes(dtype, shape, proto.name());
  const std::shared_ptr<const MappedFile>& file = external_file(*location);
  const std::size_t offset = parse_count(proto, "offset", 0);
  const std::size_t length = parse_count(proto, "length", size);
  const std::size_t file_size = file->bytes().size();
  if (offset > file_size || length > file_size - offset || length != size)
    fail(ErrorKind::kModel,
         "tensor '{}' {}{} needs {} bytes; offset {}, length {} of '{}' ({} bytes) do not fit",
         proto.name(), to_string(dtype), shape.to_string(), size, offset, length, *location,
         file_size);
  const std::span<const std::byte> raw = file->bytes().subspan(offset, length);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(raw.data()) % alignof(double) == 0;
  if (is_aligned && size > 0 && dtype != DType::kBool)
    return Tensor(dtype, shape, file, raw.data());
  return copy_raw(dtype, shape, raw, proto.name());
}

}  // namespace gacer
