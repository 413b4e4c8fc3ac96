#include "onnx/builder.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include <onnx/onnx.pb.h>

#include "base/error.h"
#include "onnx/attribute_proto.h"
#include "onnx/node_order.h"
#include "onnx/signature.h"
#include "onnx/support.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

// A folded result may be this much larger than its inputs: above, memory is not worth the time.
constexpr std::size_t kMaxFoldGrowth = std::size_t{64} << 20;
constexpr std::size_t kMaxFolded = std::size_t{4} << 30;  // bytes of all results
// Functions that call each other twice grow without bound in few bytes of file.
constexpr int kMaxNodes = 1 << 20;

using AttributeProtos = std::map<std::string, const onnx::AttributeProto*>;

/// Names that a graph, subgraph or function body can see.
struct Scope {
  Scope* outer = nullptr;  ///< of a subgraph; functions see only their own names
  Opsets opsets;
  int depth = 0;
  std::unordered_map<std::string, ValueId> values;
  std::unordered_map<std::string, const onnx::TensorProto*> initializers;
  AttributeProtos attributes;  ///< what a function's body refers to by name
};

class GraphBuilder {
 public:
  GraphBuilder(ModelFile& model, const std::unordered_map<std::string, Tensor>* known)
      : model_(model), index_(model.proto()), known_(known) {}

  BuiltGraph run(const BoundInputs& inputs) {
    const onnx::GraphProto& proto = model_.proto().graph();
    Scope scope;
    scope.opsets = index_.opsets();
    graph_.name = proto.name();
    graph_.batch = inputs.batch;
    add_initializers(proto, scope);
    for (const BoundInput& input : inputs.inputs) add_input(input, scope);
    std::vector<std::string> outputs;
    for (const auto& output : proto.output()) outputs.push_back(output.name());
    if (outputs.empty()) fail(ErrorKind::kModel, "the graph has no outputs");
    // Kept free until add_output: an inlined body may use the same names for other values.
    names_.insert(outputs.begin(), outputs.end());
    add_nodes(proto.node(), outputs, scope);
    for (const std::string& output : outputs) add_output(output, scope);
    BuiltGraph built;
    built.graph = std::move(graph_);
    built.shape_derived = std::move(shape_derived_);
    built.folded = std::move(folded_);
    return built;
  }

 private:
  // ---- names ---------------------------------------------------------------------------------

  std::string unique_name(const std::string& name) {
    if (names_.insert(name).second) return name;
    std::string candidate;
    int& next = next_number_.try_emplace(name, 2).first->second;
    do candidate = fmt::format("{}#{}", name, next++);
    while (!names_.insert(candidate).second);
    return candidate;
  }

  void add_initializers(const onnx::GraphProto& proto, Scope& scope) {
    if (proto.sparse_initializer_size() > 0)
      fail(ErrorKind::kUnsupported, "tensor '{}' is sparse",
           proto.sparse_initializer(0).values().name());
    for (const onnx::TensorProto& initializer : proto.initializer())
      if (!scope.initializers.emplace(initializer.name(), &initializer).second)
        fail(ErrorKind::kModel, "two initializers are named '{}'", initializer.name());
  }

  void add_input(const BoundInput& input, Scope& scope) {
    checked_bytes(input.dtype, input.shape, input.name);
    const ValueId id = graph_.add_input(unique_name(input.name), input.dtype, input.shape);
    if (!scope.values.emplace(input.name, id).second)
      fail(ErrorKind::kModel, "two inputs are named '{}'", input.name);
    // On two axes at once the items of the batch cannot be told apart.
    if (input.batch_axes.size() == 1)
      graph_.value(id).batch = BatchAxis{input.batch_axes.front(), /*factor=*/1};
  }

  std::optional<ValueId> find(const std::string& name, Scope* scope) {
    for (; scope != nullptr; scope = scope->outer) {
      const auto value = scope->values.find(name);
      if (value != scope->values.end()) return value->second;
      const auto initializer = scope->initializers.find(name);
      if (initializer == scope->initializers.end()) continue;
      const ValueId id =
          graph_.add_constant(unique_name(name), model_.tensor(*initializer->second));
      scope->values.emplace(name, id);
      return id;
    }
    return std::nullopt;
  }

  void define(const std::string& name, ValueId id, Scope& scope) {
    if (scope.initializers.contains(name) || !scope.values.emplace(name, id).second)
      fail(ErrorKind::kModel, "tensor '{}' is written by a node but is an input or initializer",
           name);
  }

  // ---- nodes ---------------------------------------------------------------------------------

  template <typename NodeList>
  void add_nodes(const NodeList& nodes, const std::vector<std::string>& outputs, Scope& scope) {
    if (scope.depth > kMaxInlineDepth)
      fail(ErrorKind::kUnsupported, "subgraphs and functions nested more than {} deep",
           kMaxInlineDepth);
    const std::vector<const onnx::NodeProto*> order = order_nodes(nodes, outputs);
    require_supported(order, scope.opsets, index_);
    for (const onnx::NodeProto* node : order) {
      if (++num_visited_ > kMaxNodes)
        fail(ErrorKind::kUnsupported, "more than {} nodes", kMaxNodes);
      add_node(*node, scope);
    }
  }

  void add_node(const onnx::NodeProto& proto, Scope& scope) {
    const std::vector<ValueId> inputs = resolve_inputs(proto, scope);
    const AttributeProtos attributes = resolve_attributes(proto, scope);
    if (const onnx::FunctionProto* function = index_.find_function(proto)) {
      inline_function(proto, *function, inputs, attributes, scope);
      return;
    }
    const bool is_standard = normalized_domain(proto).empty();
    if (is_standard)
      in_node(display_name(proto), proto.op_type(), scope.opsets.at(""),
              [&](std::int64_t opset) { check_signature(proto, opset); });
    if (is_standard && proto.op_type() == "If")
      inline_if(proto, inputs, attributes, scope);
    else if (is_standard && proto.op_type() == "Constant")
      add_constant(proto, attributes, scope);
    else
      add_operator(proto, inputs, attributes, scope);
  }

  std::vector<ValueId> resolve_inputs(const onnx::NodeProto& proto, Scope& scope) {
    std::vector<ValueId> inputs;
    for (const std::string& name : proto.input()) {
      if (name.empty()) {
        inputs.push_back(kNone);
        continue;
      }
      const std::optional<ValueId> id = find(name, &scope);
      if (!id)
        fail(ErrorKind::kModel,
             "node '{}' ({}) reads the tensor '{}', which is neither an input, an initializer nor "
             "written by a node",
             display_name(proto), proto.op_type(), name);
      inputs.push_back(*id);
    }
    while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
    return inputs;
  }

  static AttributeProtos resolve_attributes(const onnx::NodeProto& proto, const Scope& scope) {
    AttributeProtos attributes;
    for (const onnx::AttributeProto& attribute : proto.attribute()) {
      const onnx::AttributeProto* value = &attribute;
      if (!attribute.ref_attr_name().empty()) {
        const auto given = scope.attributes.find(attribute.ref_attr_name());
        if (given == scope.attributes.end()) continue;  // the caller left an optional one out
        value = given->second;
      }
      if (!attributes.emplace(attribute.name(), value).second)
        fail(ErrorKind::kModel, "node '{}' ({}) has two attributes '{}'", display_name(proto),
             proto.op_type(), attribute.name());
    }
    return attributes;
  }

  void add_constant(const onnx::NodeProto& proto, const AttributeProtos& attributes, Scope& scope) {
    if (attributes.size() != 1 || proto.output_size() != 1)
      fail(ErrorKind::kModel, "node '{}' (Constant) has {} attributes and {} outputs",
           display_name(proto), attributes.size(), proto.output_size());
    const auto& [name, attribute] = *attributes.begin();
    Tensor tensor;
    if (name == "value")
      tensor = model_.tensor(attribute->t());
    else if (name == "value_int")
      tensor = Tensor::scalar<std::int64_t>(attribute->i());
    else if (name == "value_float")
      tensor = Tensor::scalar<float>(attribute->f());
    else if (name == "value_ints")
      tensor = Tensor::from<std::int64_t>(
          {attribute->ints_size()},
          std::vector<std::int64_t>(attribute->ints().begin(), attribute->ints().end()));
    else if (name == "value_floats")
      tensor = Tensor::from<float>(
          {attribute->floats_size()},
          std::vector<float>(attribute->floats().begin(), attribute->floats().end()));
    else
      fail(ErrorKind::kUnsupported, "node '{}' (Constant) holds '{}'", display_name(proto), name);
    define(proto.output(0), graph_.add_constant(unique_name(proto.output(0)), std::move(tensor)),
           scope);
  }

  void add_operator(const onnx::NodeProto& proto, const std::vector<ValueId>& inputs,
                    const AttributeProtos& attributes, Scope& scope) {
    Node node;
    node.op = proto.op_type();
    node.name = display_name(proto);
    node.inputs = inputs;
    for (const auto& [name, attribute] : attributes) {
      if (attribute->has_g() || attribute->graphs_size() > 0)
        fail(ErrorKind::kUnsupported, "node '{}' ({}) has the subgraph '{}'", node.name, node.op,
             name);
      node.attributes.set(name, read_attribute(model_, *attribute));
    }
    const bool has_outputs = std::any_of(proto.output().begin(), proto.output().end(),
                                         [](const std::string& name) { return !name.empty(); });
    for (const std::string& name : proto.output()) {
      if (name.empty() && (!has_outputs || !node.outputs.empty())) {
        node.outputs.push_back(kNone);
        continue;
      }
      // The first result is made even if only another is wanted.
      Value value;
      value.name = unique_name(name.empty() ? node.name + ":unread" : name);
      node.outputs.push_back(graph_.add_value(std::move(value)));
      if (!name.empty()) define(name, node.outputs.back(), scope);
    }
    while (!node.outputs.empty() && node.outputs.back() == kNone) node.outputs.pop_back();
    const NodeId first = graph_.num_nodes();
    import_node(node, scope.opsets.at(normalized_domain(proto)));
    node.num_op_inputs = static_cast<int>(node.inputs.size());
    for (NodeId added = first; added < graph_.num_nodes(); ++added) fold(added);
    const NodeId id = graph_.add_node(std::move(node));
    infer_node(graph_, id);
    for (ValueId output : graph_.node(id).outputs)
      if (output != kNone)
        checked_bytes(graph_.value(output).dtype, graph_.value(output).shape,
                      graph_.value(output).name);
    fold(id);
  }

  void import_node(Node& node, std::int64_t model_opset) {
    const OpDef& def = op_of(node);
    if (def.import == nullptr) return;
    in_node(node.name, node.op, model_opset, [&](std::int64_t opset) {
      // What is rewritten here looks at its first input; inference checks the others.
      if (node.inputs.empty() || node.inputs[0] == kNone)
        fail(ErrorKind::kModel, "required input 0 is missing");
      ImportContext context{graph_, node, static_cast<int>(opset)};
      def.import(context);
    });
  }

  /// function(opset), whose errors then say in which node they are. `op` may be another afterwards.
  template <typename Function>
  static void in_node(const std::string& name, const std::string& op, std::int64_t opset,
                      const Function& function) {
    try {
      function(opset);
    } catch (Error& error) {
      error.add_context(fmt::format("node '{}' ({}, opset {})", name, op, opset));
      throw;
    }
  }

  // ---- folding -------------------------------------------------------------------------------

  // Operators that only look at their input's shape, which is always known here.
  static bool reads_shape_only(const Node& node) { return node.op == "Shape" || node.op == "Size"; }

  bool can_fold(const Node& node, bool from_shape) const {
    if (op_of(node).evaluate == nullptr || node.inputs.empty()) return false;
    std::size_t bytes = kMaxFoldGrowth;
    std::set<ValueId> counted;
    for (ValueId input : node.inputs) {
      if (input == kNone) continue;
      if (!from_shape && !graph_.is_constant(input)) return false;
      if (graph_.is_constant(input) && counted.insert(input).second)
        bytes += graph_.value(input).constant->size_bytes();
    }
    // All of them together: results are inputs again.
    bytes = std::min(bytes, kMaxFolded - std::min(folded_bytes_, kMaxFolded));
    for (ValueId output : node.outputs) {
      if (output == kNone) continue;
      const std::size_t size = checked_bytes(graph_.value(output).dtype, graph_.value(output).shape,
                                             graph_.value(output).name);
      if (size > bytes) return false;
      bytes -= size;
    }
    return true;
  }

  void fold(NodeId id) {
    Node& node = graph_.node(id);
    const bool from_shape = reads_shape_only(node);
    if (!can_fold(node, from_shape)) return;
    bool is_derived = false;
    for (ValueId input : node.inputs)
      is_derived = is_derived || (input != kNone && (derived_values_.contains(input) ||
                                                     (from_shape && !graph_.is_constant(input))));
    std::vector<Tensor> results;
    if (!evaluate(node, is_derived, results)) return;
    node.is_removed = true;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNone) continue;
      Value& output = graph_.value(node.outputs[i]);
      folded_bytes_ += results[i].size_bytes();
      output.producer = kNone;
      output.constant = std::move(results[i]);
      if (is_derived) {
        derived_values_.insert(node.outputs[i]);
        shape_derived_[output.name] = output.shape;
      } else {
        folded_[output.name] = *output.constant;
      }
    }
  }

  // False when the operator has no reference for these types: then the node stays.
  bool evaluate(const Node& node, bool is_derived, std::vector<Tensor>& results) {
    std::vector<TensorView> inputs;
    std::vector<TensorView> outputs;
    bool is_known = known_ != nullptr && !is_derived;
    for (ValueId id : node.outputs) {
      if (id == kNone) {
        results.emplace_back();
        continue;
      }
      const auto known = is_known ? known_->find(graph_.value(id).name) : decltype(known_->end()){};
      is_known = is_known && known != known_->end();
      results.push_back(is_known ? known->second : Tensor());
    }
    if (is_known) return true;
    for (ValueId id : node.inputs) inputs.push_back(input_view(id));
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] != kNone) {
        const Value& output = graph_.value(node.outputs[i]);
        results[i] = Tensor(output.dtype, output.shape);
      }
      outputs.push_back(node.outputs[i] == kNone ? TensorView() : TensorView::of(results[i]));
    }
    SerialTeam team;
    try {
      evaluate_node(node, inputs, outputs, team);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kUnsupported) return false;
      throw;
    }
    return true;
  }

  TensorView input_view(ValueId id) {
    if (id == kNone) return {};
    const Value& value = graph_.value(id);
    if (value.constant) return TensorView::of(std::as_const(*value.constant));
    return TensorView(&no_data_, value.dtype, value.shape);  // only its shape is read
  }

  // ---- functions and subgraphs ---------------------------------------------------------------

  void inline_function(const onnx::NodeProto& proto, const onnx::FunctionProto& function,
                       const std::vector<ValueId>& inputs, const AttributeProtos& attributes,
                       Scope& scope) {
    if (static_cast<int>(inputs.size()) > function.input_size() ||
        proto.output_size() > function.output_size())
      fail(ErrorKind::kModel,
           "node '{}' calls function '{}' with {} inputs and {} outputs of {} "
           "and {}",
           display_name(proto), function.name(), inputs.size(), proto.output_size(),
           function.input_size(), function.output_size());
    Scope inner;
    inner.opsets = index_.opsets_of(function);
    inner.depth = scope.depth + 1;
    for (const onnx::AttributeProto& attribute : function.attribute_proto())
      inner.attributes[attribute.name()] = &attribute;
    for (const auto& [name, attribute] : attributes) inner.attributes[name] = attribute;
    for (int i = 0; i < function.input_size(); ++i)
      inner.values[function.input(i)] =
          i < static_cast<int>(inputs.size()) ? inputs[static_cast<std::size_t>(i)] : kNone;
    const std::vector<std::string> outputs(function.output().begin(), function.output().end());
    add_nodes(function.node(), outputs, inner);
    take_outputs(proto, outputs, inner, scope);
  }

  void inline_if(const onnx::NodeProto& proto, const std::vector<ValueId>& inputs,
                 const AttributeProtos& attributes, Scope& scope) {
    if (inputs.size() != 1 || inputs[0] == kNone)
      fail(ErrorKind::kModel, "node '{}' (If) has {} inputs, not 1", display_name(proto),
           inputs.size());
    const Value& condition = graph_.value(inputs[0]);
    if (!condition.constant)
      fail(ErrorKind::kUnsupported,
           "node '{}' (If): its condition '{}' is known only when the model runs",
           display_name(proto), condition.name);
    if (condition.dtype != DType::kBool || condition.constant->num_elements() != 1)
      fail(ErrorKind::kModel, "node '{}' (If): its condition '{}' is {}{}, not one bool",
           display_name(proto), condition.name, to_string(condition.dtype),
           condition.shape.to_string());
    const bool is_true = condition.constant->data<bool>()[0];
    const auto branch = attributes.find(is_true ? "then_branch" : "else_branch");
    if (branch == attributes.end() || !branch->second->has_g())
      fail(ErrorKind::kModel, "node '{}' (If) has no {}", display_name(proto),
           is_true ? "then_branch" : "else_branch");
    const onnx::GraphProto& body = branch->second->g();
    Scope inner;
    inner.outer = &scope;
    inner.opsets = scope.opsets;
    inner.depth = scope.depth + 1;
    inner.attributes = scope.attributes;
    add_initializers(body, inner);
    std::vector<std::string> outputs;
    for (const auto& output : body.output()) outputs.push_back(output.name());
    add_nodes(body.node(), outputs, inner);
    take_outputs(proto, outputs, inner, scope);
  }

  // Gives what an inlined body made the names that the outer node has for it.
  void take_outputs(const onnx::NodeProto& proto, const std::vector<std::string>& outputs,
                    Scope& inner, Scope& scope) {
    if (proto.output_size() > static_cast<int>(outputs.size()))
      fail(ErrorKind::kModel, "node '{}' ({}) has {} outputs, its body makes {}",
           display_name(proto), proto.op_type(), proto.output_size(), outputs.size());
    for (int i = 0; i < proto.output_size(); ++i) {
      if (proto.output(i).empty()) continue;
      const std::string& name = outputs[static_cast<std::size_t>(i)];
      const std::optional<ValueId> id = find(name, &inner);
      if (!id || *id == kNone)
        fail(ErrorKind::kModel, "node '{}' ({}): its body never makes '{}'", display_name(proto),
             proto.op_type(), name);
      define(proto.output(i), *id, scope);
    }
  }

  // ---- outputs -------------------------------------------------------------------------------

  // Every output is made by a node of its own, so that a round always has somewhere to write it.
  void add_output(const std::string& name, Scope& scope) {
    const std::optional<ValueId> found = find(name, &scope);
    if (!found) fail(ErrorKind::kModel, "the output '{}' is never written", name);
    ValueId id = *found;
    // An input may have the output's name, and an output may be listed twice.
    const bool is_taken = graph_.find_value(name) != kNone;
    const std::string own_name = is_taken ? unique_name(name + ":output") : name;
    if (graph_.value(id).producer == kNone || graph_.is_output(id)) {
      Value copy;
      copy.name = own_name;
      Node node;
      node.op = "Identity";
      node.name = own_name;
      node.inputs = {id};
      id = graph_.add_value(std::move(copy));
      node.outputs = {id};
      infer_node(graph_, graph_.add_node(std::move(node)));
    } else {
      graph_.value(id).name = own_name;
    }
    graph_.outputs.push_back(id);
  }

  ModelFile& model_;
  const OperatorIndex index_;
  const std::unordered_map<std::string, Tensor>* known_;
  Graph graph_;
  std::unordered_set<std::string> names_;
  std::unordered_set<ValueId> derived_values_;
  std::unordered_map<std::string, int> next_number_;  ///< by name: what to try next
  int num_visited_ = 0;
  std::size_t folded_bytes_ = 0;
  std::unordered_map<std::string, Shape> shape_derived_;
  std::unordered_map<std::string, Tensor> folded_;
  std::byte no_data_{};
};

}  // namespace

BuiltGraph build_graph(ModelFile& model, const BoundInputs& inputs,
                       const std::unordered_map<std::string, Tensor>* known) {
  return GraphBuilder(model, known).run(inputs);
}

}  // namespace gacer
