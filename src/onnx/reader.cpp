#include "onnx/reader.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include <onnx/onnx.pb.h>

#include "base/error.h"
#include "onnx/batch_constants.h"
#include "onnx/bind_dims.h"
#include "onnx/builder.h"
#include "onnx/model_file.h"
#include "onnx/node_order.h"
#include "onnx/support.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

// How exporters spell "no name".
bool is_unnamed(const std::string& symbol) {
  return symbol.empty() || symbol == "-1" || symbol == "?" || symbol == "None";
}

FileDim read_dim(const onnx::TensorShapeProto::Dimension& proto) {
  FileDim dim;
  // Old exporters write 0 or -1 for a dimension that they do not know.
  if (proto.has_dim_value() && proto.dim_value() > 0)
    dim.size = proto.dim_value();
  else if (proto.has_dim_param() && !is_unnamed(proto.dim_param()))
    dim.symbol = proto.dim_param();
  return dim;
}

FileInput read_port(const onnx::ValueInfoProto& proto, const char* kind, bool needs_shape) {
  const std::string what = fmt::format("{} '{}'", kind, proto.name());
  if (!proto.type().has_tensor_type())
    fail(ErrorKind::kUnsupported, "{} is not a tensor (sequences, maps and optionals are not read)",
         what);
  const onnx::TypeProto::Tensor& type = proto.type().tensor_type();
  if (needs_shape && !type.has_shape())
    fail(ErrorKind::kModel, "{} has no shape, not even a rank", what);
  FileInput port{proto.name(), dtype_from_onnx(type.elem_type(), what), {}};
  for (const auto& dim : type.shape().dim()) port.dims.push_back(read_dim(dim));
  return port;
}

// Inputs that a caller gives: old files list the initializers among the inputs too.
std::vector<FileInput> read_inputs(const onnx::GraphProto& graph) {
  std::unordered_set<std::string> initialized;
  for (const auto& initializer : graph.initializer()) initialized.insert(initializer.name());
  std::vector<FileInput> inputs;
  for (const onnx::ValueInfoProto& input : graph.input())
    if (!initialized.contains(input.name()))
      inputs.push_back(read_port(input, "input", /*needs_shape=*/true));
  return inputs;
}

bool has_derived_constant(const BuiltGraph& built) {
  const std::vector<Value>& values = built.graph.values();
  return std::any_of(values.begin(), values.end(), [&](const Value& value) {
    return value.constant && value.shape.rank() > 0 && built.shape_derived.contains(value.name);
  });
}

// The shapes of shape-derived constants at twice the batch; empty when the model cannot be read at
// that batch, e.g. because a Reshape of it states the batch.
std::unordered_map<std::string, Shape> shapes_at_twice(ModelFile& model, const BoundInputs& inputs,
                                                       const BuiltGraph& built) {
  try {
    return build_graph(model, inputs.with_batch(2 * inputs.batch), &built.folded).shape_derived;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kModel || error.kind() == ErrorKind::kUnsupported) return {};
    throw;
  }
}

Graph read_model(ModelFile& model, const ReadOptions& options) {
  try {
    const BoundInputs inputs = bind_dims(read_inputs(model.proto().graph()), options);
    BuiltGraph built = build_graph(model, inputs);
    built.graph.remove_dead();
    if (inputs.has_batch && has_derived_constant(built))
      set_constant_batch_axes(built.graph, built.shape_derived,
                              shapes_at_twice(model, inputs, built));
    infer_batch_axes(built.graph);
    verify_graph(built.graph);
    return std::move(built.graph);
  } catch (Error& error) {
    const Opsets opsets = OperatorIndex(model.proto()).opsets();
    const auto opset = opsets.find("");
    error.add_context(opset == opsets.end()
                          ? fmt::format("model '{}'", model.origin())
                          : fmt::format("model '{}' (opset {})", model.origin(), opset->second));
    throw;
  }
}

ModelInfo::Port describe_port(const onnx::ValueInfoProto& proto, const char* kind) {
  const FileInput port = read_port(proto, kind, /*needs_shape=*/false);
  ModelInfo::Port result{port.name, port.dtype, {}};
  for (const FileDim& dim : port.dims)
    result.dims.push_back(!dim.is_dynamic()    ? std::to_string(dim.size)
                          : dim.symbol.empty() ? "?"
                                               : dim.symbol);
  return result;
}

void count_operators(const onnx::GraphProto& graph, std::map<std::string, int>& counts) {
  for (const onnx::NodeProto& node : graph.node()) {
    const std::string domain = normalized_domain(node);
    ++counts[domain.empty() ? node.op_type() : domain + "." + node.op_type()];
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g()) count_operators(attribute.g(), counts);
      for (const onnx::GraphProto& inner : attribute.graphs()) count_operators(inner, counts);
    }
  }
}

void check_graph(const onnx::GraphProto& graph, const OperatorIndex& index,
                 std::vector<OperatorReport>& reports) {
  for (const onnx::NodeProto& node : graph.node()) {
    const std::string domain = normalized_domain(node);
    reports.push_back({display_name(node), (domain.empty() ? "" : domain + ".") + node.op_type(),
                       index.check(node, index.opsets())});
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g()) check_graph(attribute.g(), index, reports);
      for (const onnx::GraphProto& inner : attribute.graphs()) check_graph(inner, index, reports);
    }
  }
}

}  // namespace

Graph read_onnx(const std::string& path, const ReadOptions& options) {
  ModelFile model = ModelFile::open(path);
  return read_model(model, options);
}

Graph parse_onnx(std::string_view bytes, const std::string& origin, const ReadOptions& options) {
  ModelFile model = ModelFile::parse(bytes, origin);
  return read_model(model, options);
}

ModelInfo read_model_info(const std::string& path) {
  const ModelFile model = ModelFile::open(path);
  const onnx::ModelProto& proto = model.proto();
  ModelInfo info;
  info.ir_version = static_cast<int>(proto.ir_version());
  const Opsets opsets = OperatorIndex(proto).opsets();
  const auto opset = opsets.find("");
  info.opset = opset == opsets.end() ? 0 : static_cast<int>(opset->second);
  info.producer = proto.producer_name();
  if (!proto.producer_version().empty()) info.producer += " " + proto.producer_version();
  std::unordered_set<std::string> initialized;
  for (const auto& initializer : proto.graph().initializer())
    initialized.insert(initializer.name());
  try {
    for (const auto& input : proto.graph().input())
      if (!initialized.contains(input.name())) info.inputs.push_back(describe_port(input, "input"));
    for (const auto& output : proto.graph().output())
      info.outputs.push_back(describe_port(output, "output"));
  } catch (Error& error) {
    error.add_context(fmt::format("model '{}'", path));
    throw;
  }
  for (const auto& entry : proto.metadata_props()) info.metadata[entry.key()] = entry.value();
  count_operators(proto.graph(), info.operators);
  return info;
}

std::vector<OperatorReport> check_operators(const std::string& path) {
  const ModelFile model = ModelFile::open(path);
  const OperatorIndex index(model.proto());
  std::vector<OperatorReport> reports;
  check_graph(model.proto().graph(), index, reports);
  return reports;
}

}  // namespace gacer
