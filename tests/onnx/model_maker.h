#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include <onnx/onnx.pb.h>

namespace gacer::onnx_test {

/// A dimension of a model made for a test: a size, a symbol, or (empty symbol) unnamed.
struct Dim {
  Dim(std::int64_t s) : size(s) {}                   // NOLINT: implicit by design
  Dim(int s) : size(s) {}                            // NOLINT
  Dim(const char* name) : size(-1), symbol(name) {}  // NOLINT
  std::int64_t size;
  std::string symbol;
};

/// Makes small ONNX models in memory.
class ModelMaker {
 public:
  explicit ModelMaker(std::int64_t opset = 17) {
    proto.set_ir_version(8);
    proto.set_producer_name("test");
    auto& import = *proto.add_opset_import();
    import.set_version(opset);
    proto.mutable_graph()->set_name("g");
  }

  onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  static void set_port(onnx::ValueInfoProto& port, const std::string& name,
                       const std::vector<Dim>& dims, int type = onnx::TensorProto::FLOAT) {
    port.set_name(name);
    auto& tensor = *port.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    auto& shape = *tensor.mutable_shape();
    for (const Dim& dim : dims) {
      auto& out = *shape.add_dim();
      if (dim.size >= 0)
        out.set_dim_value(dim.size);
      else if (!dim.symbol.empty())
        out.set_dim_param(dim.symbol);
    }
  }

  ModelMaker& input(const std::string& name, const std::vector<Dim>& dims,
                    int type = onnx::TensorProto::FLOAT) {
    set_port(*graph().add_input(), name, dims, type);
    return *this;
  }

  ModelMaker& output(const std::string& name) {
    graph().add_output()->set_name(name);
    auto& type = *graph().mutable_output(graph().output_size() - 1)->mutable_type();
    type.mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    return *this;
  }

  static onnx::NodeProto& add_node(onnx::GraphProto& graph, const std::string& op,
                                   const std::vector<std::string>& inputs,
                                   const std::vector<std::string>& outputs) {
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type(op);
    for (const std::string& name : inputs) node.add_input(name);
    for (const std::string& name : outputs) node.add_output(name);
    return node;
  }

  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs) {
    return add_node(graph(), op, inputs, outputs);
  }

  static void set_int(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(value);
  }
  static void set_ints(onnx::NodeProto& node, const std::string& name,
                       const std::vector<std::int64_t>& values) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INTS);
    attribute.mutable_ints()->Add(values.begin(), values.end());
  }

  static void fill(onnx::TensorProto& tensor, const std::string& name,
                   const std::vector<std::int64_t>& dims, const std::vector<float>& values) {
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t dim : dims) tensor.add_dims(dim);
    tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  }

  ModelMaker& floats(const std::string& name, const std::vector<std::int64_t>& dims,
                     const std::vector<float>& values) {
    fill(*graph().add_initializer(), name, dims, values);
    return *this;
  }

  /// An i64 vector.
  ModelMaker& ints(const std::string& name, const std::vector<std::int64_t>& values) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    tensor.set_raw_data(values.data(), values.size() * sizeof(std::int64_t));
    return *this;
  }

  std::string bytes() const { return proto.SerializeAsString(); }

  onnx::ModelProto proto;
};

}  // namespace gacer::onnx_test
