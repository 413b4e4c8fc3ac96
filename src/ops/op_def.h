#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "base/tensor_view.h"
#include "graph/graph.h"

namespace gacer {

/// Type and shape of one output.
struct OutputType {
  DType dtype = DType::kF32;
  Shape shape;
};

/// What an operator may look at when it infers its outputs: shapes, types, attributes, and the
/// values of constant inputs (a Reshape's target).
class InferContext {
 public:
  InferContext(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}
  const Graph& graph() const { return graph_; }
  const Node& node() const { return node_; }
  int num_inputs() const { return node_.num_op_inputs; }
  bool has_input(int i) const {
    return i < num_inputs() && node_.inputs[static_cast<std::size_t>(i)] != kNone;
  }
  /// Throws Error{kModel} when a required input is missing.
  const Value& input(int i) const;
  const Shape& shape(int i) const { return input(i).shape; }
  DType dtype(int i) const { return input(i).dtype; }
  /// The constant behind an input, or nullptr.
  const Tensor* constant(int i) const;
  /// Integers of a constant input (i32 or i64). Error{kUnsupported} when it is not constant: shapes
  /// must be known before a round.
  std::vector<std::int64_t> constant_ints(int i) const;

 private:
  const Graph& graph_;
  const Node& node_;
};

/// One evaluation in plain loops. All views are row-major and contiguous. Attributes and inputs
/// that *state a shape* (Reshape's target, Expand's) describe the whole batch: use the views'
/// shapes instead, so that a chunk is evaluated right.
struct EvalContext {
  const Node& node;
  std::span<const TensorView> inputs;   ///< optional inputs that are absent have no data
  std::span<const TensorView> outputs;  ///< absent optional outputs have no data
  Team& team;
  bool has_input(std::size_t i) const { return i < inputs.size() && inputs[i].data != nullptr; }
};

/// Work of one call: FLOP (a multiply-add is two) and compulsory bytes (each operand once).
struct Cost {
  double flop = 0;
  double bytes = 0;
};

/// For the split rule: the operator and the batch axis of each input (empty: the same for every
/// item, e.g. a weight).
struct SplitContext {
  const Graph& graph;
  const Node& node;
  std::span<const std::optional<BatchAxis>> inputs;
  const Shape& shape(int input) const {
    return graph.value(node.inputs[static_cast<std::size_t>(input)]).shape;
  }
  const Shape& output_shape(int output = 0) const {
    return graph.value(node.outputs[static_cast<std::size_t>(output)]).shape;
  }
};
/// The batch axis of each output, or why items cannot be computed apart.
using SplitResult = Result<std::vector<std::optional<BatchAxis>>>;

/// Rewrites a node of an older opset into the newest form (attributes that became inputs, …). May
/// add constants, and nodes that come before this one: `node` is not in the graph yet, the types of
/// its inputs are known. It may become another operator. `opset` is the model's.
struct ImportContext {
  Graph& graph;
  Node& node;
  int opset;
};

/// Everything that the project knows of one operator besides kernels. One file an operator, which
/// defines `const OpDef& op_<name>()`; the table is generated from the list in ops/CMakeLists.txt.
struct OpDef {
  std::string_view name;         ///< ONNX name, or ours
  std::string_view domain = "";  ///< "" is ai.onnx; "gacer" for operators that only passes make
  int min_opset = 1;
  int max_opset = 1 << 20;
  std::vector<OutputType> (*infer)(const InferContext&) = nullptr;
  void (*evaluate)(const EvalContext&) = nullptr;
  /// nullptr: no FLOP, the bytes of all operands.
  Cost (*cost)(const Graph&, const Node&) = nullptr;
  /// nullptr: never splittable.
  SplitResult (*split)(const SplitContext&) = nullptr;
  void (*import)(ImportContext&) = nullptr;
  /// Pointwise with broadcasting (or without): keeps any layout when all operands agree.
  bool is_pointwise = false;
};

std::span<const OpDef* const> all_ops();
/// nullptr when there is none.
const OpDef* find_op(std::string_view name, std::string_view domain = "");
/// The node's OpDef; Error{kUnsupported} names node and operator.
const OpDef& op_of(const Node& node);

/// Infers and sets the outputs' types of a node (after `import`). Adds context to errors.
void infer_node(Graph& graph, NodeId node);
/// Evaluates a node, post-ops included.
void evaluate_node(const Node& node, std::span<const TensorView> inputs,
                   std::span<const TensorView> outputs, Team& team);
/// Runs a whole graph in plain loops, in order, freeing values after their last use: the oracle.
/// `inputs` in the order of graph.inputs; returns the graph's outputs.
std::vector<Tensor> evaluate_graph(const Graph& graph, std::span<const Tensor> inputs);
/// Sets Value::batch of everything that nodes make, from the axes already set on the graph's inputs
/// and constants (a folded constant may hold one item after the other).
void infer_batch_axes(Graph& graph);
/// Why a node cannot be split, or yes (all its batch-carrying outputs have an axis).
Result<void> is_splittable(const Graph& graph, NodeId node);
Cost cost_of(const Graph& graph, NodeId node);

}  // namespace gacer
