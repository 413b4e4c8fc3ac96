#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "ops/common.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

/// Elements [first, first + values.size()) of an operand that is broadcast to `shape`.
void load_broadcast(const TensorView& operand, const Shape& shape, std::int64_t first,
                    std::span<float> values) {
  if (operand.shape == shape) return load_f32(operand, first, values);
  const auto end = first + static_cast<std::int64_t>(values.size());
  for_each_broadcast(shape, std::array{broadcast_strides(operand.shape, shape)}, first, end,
                     [&](std::int64_t i, const std::array<std::int64_t, 1>& offsets) {
                       values[static_cast<std::size_t>(i - first)] = load_f32(operand, offsets[0]);
                     });
}

void apply_post_op(const PostOp& post, std::span<const TensorView> inputs, const TensorView& out,
                   Team& team) {
  constexpr std::int64_t kGrain = 1 << 15;
  constexpr std::int64_t kBlock = 1 << 10;
  const bool is_activation = post.kind == PostOp::Kind::kActivation;
  const bool is_add = post.kind == PostOp::Kind::kAdd;
  const auto run_block = [&](std::int64_t first, std::span<float> own, std::span<float> other) {
    load_f32(out, first, own);
    if (!is_activation)
      load_broadcast(inputs[static_cast<std::size_t>(post.input)], out.shape, first, other);
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (is_activation)
        own[i] = apply(post.activation, own[i], post.alpha, post.beta);
      else
        own[i] = is_add ? own[i] + other[i] : own[i] * other[i];
    }
    store_f32(out, first, own);
  };
  team.parallel_for(out.num_elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::array<float, kBlock> own;
    std::array<float, kBlock> other;
    for (std::int64_t i = begin; i < end; i += kBlock) {
      const auto count = static_cast<std::size_t>(std::min(kBlock, end - i));
      run_block(i, std::span(own).first(count), std::span(other).first(count));
    }
  });
}

/// Copies a part of `root` (see SliceOf), one way or the other.
enum class Direction { kPartToRoot, kRootToPart };
void copy_part(const Value& part_value, Tensor& part, Tensor& root, Direction direction) {
  const SliceOf& slice = *part_value.slice_of;
  const auto element = static_cast<std::int64_t>(size_of(part_value.dtype));
  const std::int64_t outer = product(part.shape(), 0, slice.axis);
  const std::int64_t inner = product(part.shape(), slice.axis + 1, part.shape().rank()) * element;
  const std::int64_t part_run = part.shape()[slice.axis] * inner;
  const std::int64_t root_run = root.shape()[slice.axis] * inner;
  if (part_run == 0) return;
  for (std::int64_t i = 0; i < outer; ++i) {
    const std::int64_t root_offset = i * root_run + slice.offset * inner;
    const std::int64_t part_offset = i * part_run;
    if (direction == Direction::kPartToRoot)
      std::memcpy(root.mutable_bytes() + root_offset, part.bytes() + part_offset,
                  static_cast<std::size_t>(part_run));
    else
      std::memcpy(part.mutable_bytes() + part_offset, root.bytes() + root_offset,
                  static_cast<std::size_t>(part_run));
  }
}

class GraphEvaluator {
 public:
  GraphEvaluator(const Graph& graph, std::span<const Tensor> inputs)
      : graph_(graph),
        tensors_(static_cast<std::size_t>(graph.num_values())),
        last_use_(static_cast<std::size_t>(graph.num_values()), kNone),
        team_(count_cores()) {
    if (inputs.size() != graph.inputs.size())
      fail(ErrorKind::kUsage, "graph '{}' has {} inputs, {} were given", graph.name,
           graph.inputs.size(), inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Value& value = graph.value(graph.inputs[i]);
      if (inputs[i].dtype() != value.dtype || inputs[i].shape() != value.shape)
        fail(ErrorKind::kUsage, "input '{}' is {}{}, {}{} was given", value.name,
             to_string(value.dtype), value.shape.to_string(), to_string(inputs[i].dtype()),
             inputs[i].shape().to_string());
      tensor(graph.inputs[i]) = inputs[i];
    }
    for (NodeId id = 0; id < graph.num_nodes(); ++id) {
      if (graph.node(id).is_removed) continue;
      for (const ValueId input : graph.node(id).inputs) note_use(input, id);
      for (const ValueId output : graph.node(id).outputs) note_use(output, id);
    }
    for (const ValueId output : graph.outputs) note_use(output, graph.num_nodes());
  }

  std::vector<Tensor> run() {
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      if (graph_.node(id).is_removed) continue;
      run_node(id);
      free_unused(id);
    }
    std::vector<Tensor> outputs;
    for (const ValueId id : graph_.outputs) outputs.push_back(read(id));
    return outputs;
  }

 private:
  Tensor& tensor(ValueId id) { return tensors_[static_cast<std::size_t>(id)]; }

  void note_use(ValueId id, NodeId node) {
    if (id == kNone) return;
    last_use_[static_cast<std::size_t>(id)] = node;
    NodeId& last = last_use_[static_cast<std::size_t>(graph_.root_of(id))];
    last = std::max(last, node);
  }

  Tensor read(ValueId id) {
    const Value& value = graph_.value(id);
    if (value.constant) return *value.constant;
    if (tensor(id).empty() && value.slice_of) {
      tensor(id) = Tensor(value.dtype, value.shape);
      copy_part(value, tensor(id), tensor(value.slice_of->root), Direction::kRootToPart);
    }
    if (tensor(id).empty() && value.view_of != kNone)
      tensor(id) = tensor(value.view_of).reshaped(value.shape);
    require(!tensor(id).empty(), "value '{}' is read before it is produced", value.name);
    return tensor(id);
  }

  void run_node(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<Tensor> operands;
    std::vector<TensorView> inputs;
    std::vector<TensorView> outputs;
    for (const ValueId input : node.inputs) {
      operands.push_back(input == kNone ? Tensor() : read(input));
      inputs.push_back(input == kNone ? TensorView()
                                      : TensorView::of(std::as_const(operands.back())));
    }
    for (const ValueId output : node.outputs) {
      if (output == kNone) {
        outputs.emplace_back();
        continue;
      }
      tensor(output) = Tensor(graph_.value(output).dtype, graph_.value(output).shape);
      outputs.push_back(TensorView::of(tensor(output)));
    }
    evaluate_node(node, inputs, outputs, team_);
    for (const ValueId output : node.outputs) {
      if (output == kNone || !graph_.value(output).slice_of) continue;
      const ValueId root = graph_.value(output).slice_of->root;
      if (graph_.value(root).producer != kNone) continue;
      if (tensor(root).empty())
        tensor(root) = Tensor(graph_.value(root).dtype, graph_.value(root).shape);
      copy_part(graph_.value(output), tensor(output), tensor(root), Direction::kPartToRoot);
    }
  }

  void free_unused(NodeId id) {
    const auto release = [&](ValueId value) {
      if (value == kNone) return;
      if (last_use_[static_cast<std::size_t>(value)] <= id) tensor(value) = Tensor();
      const ValueId root = graph_.root_of(value);
      if (last_use_[static_cast<std::size_t>(root)] <= id) tensor(root) = Tensor();
    };
    std::for_each(graph_.node(id).inputs.begin(), graph_.node(id).inputs.end(), release);
    std::for_each(graph_.node(id).outputs.begin(), graph_.node(id).outputs.end(), release);
  }

  const Graph& graph_;
  std::vector<Tensor> tensors_;
  std::vector<NodeId> last_use_;
  ThreadTeam team_;
};

}  // namespace

void evaluate_node(const Node& node, std::span<const TensorView> inputs,
                   std::span<const TensorView> outputs, Team& team) {
  const OpDef& def = op_of(node);
  try {
    if (def.evaluate == nullptr)
      fail(ErrorKind::kUnsupported, "{} has no reference evaluation", def.name);
    def.evaluate(EvalContext{
        node, inputs.first(std::min(inputs.size(), static_cast<std::size_t>(node.num_op_inputs))),
        outputs, team});
    for (const PostOp& post : node.post) apply_post_op(post, inputs, outputs[0], team);
  } catch (Error& error) {
    error.add_context(fmt::format("node '{}' ({})", node.name, node.op));
    throw;
  }
}

std::vector<Tensor> evaluate_graph(const Graph& graph, std::span<const Tensor> inputs) {
  return GraphEvaluator(graph, inputs).run();
}

}  // namespace gacer
