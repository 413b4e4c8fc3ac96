#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "passes/pass.h"

namespace gacer {

/// What rewrites ask of a graph while they change it. Consumers are kept until refresh().
class Rewriter {
 public:
  explicit Rewriter(Graph& graph) : graph_(graph) { refresh(); }

  /// Call after any change of edges.
  void refresh() { consumers_ = graph_.consumers(); }

  /// The node that produces a value, if its operator is `op` and it has no post-ops; else kNone.
  NodeId producer(ValueId value, std::string_view op) const;
  /// The only node that reads a value, once; kNone when there are more or the value leaves the
  /// graph.
  NodeId sole_consumer(ValueId value) const;
  const std::vector<NodeId>& consumers(ValueId value) const {
    return consumers_[static_cast<std::size_t>(value)];
  }

  /// The number that a one-element float constant holds.
  std::optional<float> scalar(ValueId value) const;
  /// For a node of two operands, one a scalar constant: the other operand.
  struct Scaled {
    ValueId operand = kNone;
    float scalar = 0;
    bool is_scalar_first = false;
  };
  std::optional<Scaled> split_scalar(NodeId node) const;

  /// Makes readers of `from` read `to`. A graph output keeps its name: it moves to `to`, unless
  /// that is an input, a constant or an output by itself; then nothing is done and the answer is
  /// false.
  bool forward(ValueId from, ValueId to);

 private:
  Graph& graph_;
  std::vector<std::vector<NodeId>> consumers_;
};

/// A copy of a float constant as f32 numbers.
std::vector<float> floats_of(const Tensor& tensor);
/// An f32 vector as a constant of `dtype` (f32, f16, bf16).
Tensor make_float_tensor(DType dtype, Shape shape, const std::vector<float>& values);

/// What scales and shifts each channel.
struct Affine {
  std::vector<float> scale;
  std::vector<float> shift;
};
/// What a BatchNormalization with stored, constant statistics does; nothing for another one.
std::optional<Affine> affine_of_batch_norm(const Graph& graph, const Node& node);

/// Whether a change of node `id` may stay: the device supports it now, or did not before either.
class SupportCheck {
 public:
  SupportCheck(const Graph& graph, NodeId id, const PassOptions& options)
      : graph_(graph), options_(options), was_supported_(ask(id)) {}
  bool may_stay(NodeId id) const { return !was_supported_ || ask(id); }

 private:
  bool ask(NodeId id) const { return !options_.is_supported || options_.is_supported(graph_, id); }

  const Graph& graph_;
  const PassOptions& options_;
  bool was_supported_;
};

}  // namespace gacer
