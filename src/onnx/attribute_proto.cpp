#include "onnx/attribute_proto.h"

#include <type_traits>

#include <onnx/onnx.pb.h>

#include "base/error.h"
#include "onnx/tensor_proto.h"

namespace gacer {
namespace {

// Files older than IR 2 do not state the type: it follows from the field that is there.
onnx::AttributeProto::AttributeType type_of(const onnx::AttributeProto& proto) {
  if (proto.type() != onnx::AttributeProto::UNDEFINED) return proto.type();
  if (proto.has_f()) return onnx::AttributeProto::FLOAT;
  if (proto.has_i()) return onnx::AttributeProto::INT;
  if (proto.has_s()) return onnx::AttributeProto::STRING;
  if (proto.has_t()) return onnx::AttributeProto::TENSOR;
  if (proto.floats_size() > 0) return onnx::AttributeProto::FLOATS;
  if (proto.ints_size() > 0) return onnx::AttributeProto::INTS;
  if (proto.strings_size() > 0) return onnx::AttributeProto::STRINGS;
  fail(ErrorKind::kModel, "attribute '{}' has no type", proto.name());
}

}  // namespace

Attribute read_attribute(ModelFile& model, const onnx::AttributeProto& proto) {
  switch (type_of(proto)) {
    case onnx::AttributeProto::FLOAT:
      return proto.f();
    case onnx::AttributeProto::INT:
      return std::int64_t{proto.i()};
    case onnx::AttributeProto::STRING:
      return proto.s();
    case onnx::AttributeProto::TENSOR:
      return model.tensor(proto.t());
    case onnx::AttributeProto::FLOATS:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case onnx::AttributeProto::INTS:
      return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
    case onnx::AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    default:
      fail(ErrorKind::kUnsupported, "attribute '{}' is of the type {}", proto.name(),
           onnx::AttributeProto::AttributeType_Name(proto.type()));
  }
}

void write_attribute(const std::string& name, const Attribute& value, onnx::AttributeProto& proto) {
  proto.set_name(name);
  std::visit(
      [&](const auto& element) {
        using T = std::decay_t<decltype(element)>;
        if constexpr (std::is_same_v<T, std::int64_t>) {
          proto.set_type(onnx::AttributeProto::INT);
          proto.set_i(element);
        } else if constexpr (std::is_same_v<T, float>) {
          proto.set_type(onnx::AttributeProto::FLOAT);
          proto.set_f(element);
        } else if constexpr (std::is_same_v<T, std::string>) {
          proto.set_type(onnx::AttributeProto::STRING);
          proto.set_s(element);
        } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
          proto.set_type(onnx::AttributeProto::INTS);
          proto.mutable_ints()->Add(element.begin(), element.end());
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          proto.set_type(onnx::AttributeProto::FLOATS);
          proto.mutable_floats()->Add(element.begin(), element.end());
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          proto.set_type(onnx::AttributeProto::STRINGS);
          for (const std::string& text : element) proto.add_strings(text);
        } else {
          static_assert(std::is_same_v<T, Tensor>);
          proto.set_type(onnx::AttributeProto::TENSOR);
          write_tensor(element, *proto.mutable_t());
        }
      },
      value);
}

}  // namespace gacer
