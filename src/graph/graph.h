#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gacer/tensor.h>

#include "graph/attributes.h"

namespace gacer {

using ValueId = int;
using NodeId = int;
inline constexpr int kNone = -1;

/// How a value's elements lie in memory. Shapes are always logical (NCHW for images), whatever the
/// layout. The blocked layouts interleave groups of 8 or 16 channels (axis 1), the last group
/// padded with zeros: [N, ceil(C/b), D…, b].
enum class Layout : std::uint8_t { kRowMajor, kChannelsLast, kBlocked8, kBlocked16 };

const char* to_string(Layout layout);
/// Channel block of a blocked layout; 1 for the others.
int channel_block(Layout layout);
/// Bytes of a dense tensor in a layout, channel padding included.
std::size_t bytes_in_layout(DType dtype, const Shape& shape, Layout layout);

/// Which axis of a value holds the batch, and how many neighbours on that axis one batch item owns:
/// shape[axis] == batch * factor. An LSTM's [T, N, C] has axis 1; BERT's [N*S, C] has factor S.
struct BatchAxis {
  int axis = 0;
  std::int64_t factor = 1;
  friend bool operator==(const BatchAxis&, const BatchAxis&) = default;
};

/// "This value is a part of `root`, beginning at `offset` on `axis`": concat and split without
/// copies. The root is never itself a part.
struct SliceOf {
  ValueId root = kNone;
  int axis = 0;
  std::int64_t offset = 0;
};

struct Value {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  Layout layout = Layout::kRowMajor;
  /// Set for weights and folded values; such a value has no producer.
  std::optional<Tensor> constant;
  NodeId producer = kNone;
  /// Empty when the items of the batch cannot be told apart in this value.
  std::optional<BatchAxis> batch;
  std::optional<SliceOf> slice_of;
  /// "These are the bytes of that value under another shape or layout": reshaping without copies.
  /// Such a value has no producer; the other one is neither a part nor such a view.
  ValueId view_of = kNone;
};

enum class Activation : std::uint8_t {
  kIdentity,
  kRelu,
  kLeakyRelu,  ///< alpha: slope below zero
  kClip,       ///< alpha: min, beta: max
  kSigmoid,
  kHardSigmoid,  ///< max(0, min(1, alpha*x + beta))
  kHardSwish,    ///< x * max(0, min(1, x/6 + 1/2))
  kSilu,         ///< x * sigmoid(x)
  kGelu,         ///< exact, by erf
  kGeluTanh,
  kTanh,
  kElu  ///< alpha
};
const char* to_string(Activation activation);
/// Inverse of to_string(Activation); empty when unknown.
std::optional<Activation> parse_activation(std::string_view text);
/// The activation of one number, in f32.
float apply(Activation activation, float x, float alpha, float beta);

/// One pointwise operation that a node applies to its first output after its own work, in order.
struct PostOp {
  enum class Kind : std::uint8_t {
    kActivation,  ///< y = act(y)
    kAdd,         ///< y = y + inputs[input]  (broadcastable to y)
    kMul          ///< y = y * inputs[input]
  };
  Kind kind = Kind::kActivation;
  Activation activation = Activation::kIdentity;
  float alpha = 0;
  float beta = 0;
  /// Index into the node's inputs of the other operand; kNone for an activation.
  int input = kNone;
  friend bool operator==(const PostOp&, const PostOp&) = default;
};

/// Whether the elements of a dense value lie in memory in the order of their logical indices: in
/// row-major order, and in other layouts where there is one position, or one channel at the end.
bool lies_in_order(const Value& value);

/// One operator after fusion. `op` names an OpDef ("Conv"); optional inputs may be kNone.
struct Node {
  std::string op;
  std::string name;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
  std::vector<PostOp> post;
  /// Inputs [0, num_op_inputs) belong to the operator itself, the rest to post-ops.
  int num_op_inputs = 0;
  /// True once a pass removed the node; Graph::compact() drops it.
  bool is_removed = false;
};

/// A model as a directed acyclic graph of nodes over values with static shapes. Nodes are kept in
/// an execution order (every input is produced earlier). A plain value: copying copies it, tensors
/// are shared. Not synchronised.
class Graph {
 public:
  std::string name;
  /// Items of the batch that BatchAxis counts; 1 when the model has none.
  std::int64_t batch = 1;

  ValueId add_value(Value value);
  ValueId add_input(std::string name, DType dtype, Shape shape);
  ValueId add_constant(std::string name, Tensor tensor);
  /// Appends a node and makes it the producer of its outputs; sets num_op_inputs when it is 0.
  NodeId add_node(Node node);
  /// Inserts a node at a place of the execution order instead (used by passes); renumbers.
  NodeId insert_node(NodeId before, Node node);

  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
  Value& value(ValueId id) { return values_[static_cast<std::size_t>(id)]; }
  const Node& node(NodeId id) const { return nodes_[static_cast<std::size_t>(id)]; }
  Node& node(NodeId id) { return nodes_[static_cast<std::size_t>(id)]; }
  int num_values() const { return static_cast<int>(values_.size()); }
  int num_nodes() const { return static_cast<int>(nodes_.size()); }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Value>& values() const { return values_; }

  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;

  /// The value of that name, or kNone.
  ValueId find_value(std::string_view value_name) const;
  bool is_constant(ValueId id) const { return id != kNone && value(id).constant.has_value(); }
  bool is_output(ValueId id) const;
  /// The value that owns the bytes of `id`: itself, or what it is a part or a view of.
  ValueId root_of(ValueId id) const;
  /// Nodes that read each value, in order, each once; index is the value.
  std::vector<std::vector<NodeId>> consumers() const;
  /// Nodes whose outputs a node reads, ascending, each once.
  std::vector<NodeId> predecessors(NodeId id) const;

  /// Makes every reader of `from` (and the graph's outputs) read `to`.
  void replace_uses(ValueId from, ValueId to);
  /// Drops removed nodes and values that nothing uses; renumbers both. Order is kept.
  void compact();
  /// Removes nodes none of whose outputs reach a graph output, then compacts.
  void remove_dead();

 private:
  std::vector<Value> values_;
  std::vector<Node> nodes_;
};

/// Throws Error{kInternal} naming the node: order, producers, single definition, slices in range,
/// post-op operands. Cheap; run after each pass.
void verify_graph(const Graph& graph);

/// Readable listing, one node a line: "%y f32[8, 64, 56, 56] = Conv(%x, %w) strides=[1,1] +relu".
std::string print_graph(const Graph& graph);

/// 16 hex digits over topology, shapes, types, attributes and layouts; not over weights' values
/// nor names. Equal graphs have equal fingerprints in every process.
std::string fingerprint(const Graph& graph);

/// 16 hex digits naming what a node computes *per batch item*: op, attributes, post-ops, types,
/// shapes (batch taken out), layouts, which inputs are constant. Nodes with one signature and
/// arithmetic can share profile rows (row_signature()); the chunk size is a separate part of a
/// row's key.
std::string op_signature(const Graph& graph, NodeId node);

/// Operator, layout and shape of its first output, post-operations:
/// "Conv@blocked8[8, 64]+add+relu". An operator that also converts between float types says so:
/// "Conv:f32>f16@channels_last[8, 64]".
std::string form_of(const Graph& graph, const Node& node);

}  // namespace gacer
