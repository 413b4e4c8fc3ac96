#include "onnx/writer.h"

#include <algorithm>
#include <climits>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx.pb.h>

#include "base/error.h"
#include "base/file.h"
#include "onnx/attribute_proto.h"
#include "onnx/model_file.h"
#include "onnx/reader.h"
#include "onnx/wire.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

constexpr std::int64_t kOpset = 21;
constexpr std::int64_t kIrVersion = 10;
constexpr char kBatchSymbol[] = "N";
constexpr std::size_t kMaxSkeletonBytes = 4096;

// Field numbers of onnx.proto.
constexpr std::uint32_t kModelGraph = 7;
constexpr std::uint32_t kGraphInitializer = 5;
constexpr std::uint32_t kTensorRawData = 9;

/// A TensorProto without its raw bytes, which are written straight from the tensor.
struct PendingTensor {
  std::string head;
  ValueId id = kNone;
  const Tensor* tensor = nullptr;
  std::size_t size() const {
    return head.size() + field_head_size(kTensorRawData, tensor->size_bytes()) +
           tensor->size_bytes();
  }
};

class Writer {
 public:
  Writer(const Graph& graph, bool is_dynamic) : graph_(graph), is_dynamic_(is_dynamic) {
    name_values();
    body_.set_name(graph_.name);
    for (const Node& node : graph_.nodes())
      if (!node.is_removed) add_node(node);
    for (const ValueId id : graph_.inputs) add_port(id, *body_.add_input());
    for (const ValueId id : graph_.outputs) add_port(id, *body_.add_output());
  }

  /// The whole model. Tensors' bytes are appended to the serialised rest: protobuf itself would
  /// copy them twice.
  std::string write() const { return assemble(body_, tensors_); }

  /// The model with its large tensors turned into inputs: enough to infer every type.
  std::string write_skeleton() const {
    onnx::GraphProto body = body_;
    std::vector<PendingTensor> small;
    for (const PendingTensor& pending : tensors_) {
      if (pending.tensor->size_bytes() <= kMaxSkeletonBytes)
        small.push_back(pending);
      else
        add_port(pending.id, *body.add_input());
    }
    return assemble(body, small);
  }

 private:
  // Inputs and outputs keep their names; of others that share one, all but the first get a number.
  void name_values() {
    names_.resize(static_cast<std::size_t>(graph_.num_values()));
    std::vector<ValueId> order = graph_.inputs;
    order.insert(order.end(), graph_.outputs.begin(), graph_.outputs.end());
    for (ValueId id = 0; id < graph_.num_values(); ++id) order.push_back(id);
    std::unordered_set<std::string> taken;
    for (const ValueId id : order) {
      std::string& name = names_[static_cast<std::size_t>(id)];
      if (!name.empty()) continue;
      const std::string base = graph_.value(id).name.empty() ? "value" : graph_.value(id).name;
      name = base;
      for (int i = 2; !taken.insert(name).second; ++i) name = fmt::format("{}#{}", base, i);
    }
  }

  const std::string& name_of(ValueId id) const { return names_[static_cast<std::size_t>(id)]; }

  void add_node(const Node& node) {
    const OpDef& def = op_of(node);
    if (def.domain == "gacer" || !node.post.empty())
      fail(ErrorKind::kUnsupported, "node '{}' ({}{}) is no operator of ONNX", node.name, node.op,
           node.post.empty() ? "" : " with post-ops");
    onnx::NodeProto& proto = *body_.add_node();
    proto.set_op_type(node.op);
    proto.set_name(node.name);
    const std::string domain(def.domain);
    if (!domain.empty()) proto.set_domain(domain);
    opsets_.emplace(domain, domain.empty() ? kOpset : std::int64_t{def.min_opset});
    for (const ValueId id : node.inputs) add_operand(node, id, *proto.add_input());
    for (const ValueId id : node.outputs) add_operand(node, id, *proto.add_output());
    for (const auto& [name, value] : node.attributes.entries())
      write_attribute(name, value, *proto.add_attribute());
  }

  void add_operand(const Node& node, ValueId id, std::string& name) {
    if (id == kNone) return;  // an empty name
    const Value& value = graph_.value(id);
    if (value.layout != Layout::kRowMajor || graph_.root_of(id) != id)
      fail(ErrorKind::kUnsupported, "node '{}' ({}): '{}' lies in memory in a way that ONNX lacks",
           node.name, node.op, value.name);
    name = name_of(id);
    if (value.constant && written_.insert(id).second) {
      onnx::TensorProto head;
      head.set_name(name);
      head.set_data_type(dtype_to_onnx(value.dtype));
      for (const std::int64_t dim : value.shape) head.add_dims(dim);
      tensors_.push_back({head.SerializeAsString(), id, &*value.constant});
    }
  }

  void add_port(ValueId id, onnx::ValueInfoProto& proto) const {
    const Value& value = graph_.value(id);
    proto.set_name(name_of(id));
    auto& type = *proto.mutable_type()->mutable_tensor_type();
    type.set_elem_type(dtype_to_onnx(value.dtype));
    auto& shape = *type.mutable_shape();
    for (int axis = 0; axis < value.shape.rank(); ++axis) {
      const bool is_batch =
          is_dynamic_ && value.batch && value.batch->axis == axis && value.batch->factor == 1;
      if (is_batch)
        shape.add_dim()->set_dim_param(kBatchSymbol);
      else
        shape.add_dim()->set_dim_value(value.shape[axis]);
    }
  }

  onnx::ModelProto make_model() const {
    onnx::ModelProto model;
    model.set_ir_version(kIrVersion);
    model.set_producer_name("gacer");
    for (const auto& [domain, version] : opsets_) {
      auto& import = *model.add_opset_import();
      import.set_domain(domain);
      import.set_version(version);
    }
    return model;
  }

  std::string assemble(const onnx::GraphProto& body,
                       const std::vector<PendingTensor>& tensors) const {
    const std::string body_bytes = body.SerializeAsString();
    std::string bytes = make_model().SerializeAsString();
    std::size_t graph_size = body_bytes.size();
    for (const PendingTensor& tensor : tensors)
      graph_size += field_head_size(kGraphInitializer, tensor.size()) + tensor.size();
    const std::size_t total = bytes.size() + field_head_size(kModelGraph, graph_size) + graph_size;
    if (total > INT_MAX)
      fail(ErrorKind::kUnsupported, "graph '{}' needs {} bytes as ONNX, a file holds at most {}",
           graph_.name, total, INT_MAX);
    bytes.reserve(total);
    append_field_head(bytes, kModelGraph, graph_size);
    bytes += body_bytes;
    for (const PendingTensor& pending : tensors) {
      append_field_head(bytes, kGraphInitializer, pending.size());
      bytes += pending.head;
      append_field_head(bytes, kTensorRawData, pending.tensor->size_bytes());
      bytes.append(reinterpret_cast<const char*>(pending.tensor->bytes()),
                   pending.tensor->size_bytes());
    }
    require(bytes.size() == total, "wrote {} bytes of ONNX, counted {}", bytes.size(), total);
    return bytes;
  }

  const Graph& graph_;
  const bool is_dynamic_;
  onnx::GraphProto body_;
  std::vector<std::string> names_;
  std::map<std::string, std::int64_t> opsets_{{"", kOpset}};
  std::unordered_set<ValueId> written_;
  std::vector<PendingTensor> tensors_;
};

// Whether `at_twice`, the same graph read at twice the batch, differs by that only.
bool scales_with_batch(const Graph& graph, const Graph& at_twice) {
  std::unordered_map<std::string_view, const Value*> by_name;
  for (const Value& value : graph.values()) by_name.emplace(value.name, &value);
  for (const Value& value : at_twice.values()) {
    if (value.constant) continue;
    const auto original = by_name.find(value.name);
    if (original == by_name.end()) return false;
    Shape expected = original->second->shape;
    if (const auto& batch = original->second->batch) expected[batch->axis] *= 2;
    if (value.shape != expected) return false;
  }
  return true;
}

// Constants may state the batch; that shows when the file is read at another one.
bool may_be_dynamic(const Graph& graph) {
  const auto has_batch = [&](ValueId id) { return graph.value(id).batch.has_value(); };
  if (std::none_of(graph.inputs.begin(), graph.inputs.end(), has_batch)) return false;
  const std::string skeleton = Writer(graph, /*is_dynamic=*/true).write_skeleton();
  try {
    return scales_with_batch(graph, parse_onnx(skeleton, graph.name, {2 * graph.batch, {}}));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kModel || error.kind() == ErrorKind::kUnsupported) return false;
    throw;
  }
}

}  // namespace

void write_onnx(const Graph& graph, const std::string& path, const WriteOptions& options) {
  const bool is_dynamic = options.dynamic_batch && may_be_dynamic(graph);
  write_file_atomically(path, Writer(graph, is_dynamic).write());
}

}  // namespace gacer
