// Lets a convolution read an image through the batch norm (and relu) before it: kernels that can
// scale and shift channels while they load them save a pass over the image. Only where nothing else
// reads the scaled image. Runs last: it takes nodes as the other passes leave them.

#include "passes/rewrite.h"

namespace gacer {
namespace {

class PrologueFuser {
 public:
  PrologueFuser(Graph& graph, const PassOptions& options)
      : graph_(graph), options_(options), rewriter_(graph) {}

  int run() {
    // Passes ask what a device likes; without one there is nobody to gain.
    if (!options_.is_supported) return 0;
    int changes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id)
      if (!graph_.node(id).is_removed && graph_.node(id).op == "Conv" && fuse(id)) ++changes;
    graph_.compact();  // what was prepared for convolutions that no kernel takes
    return changes;
  }

 private:
  /// The batch norm that makes a value for one reader, with no post-op but relu; or kNone.
  NodeId batch_norm_of(ValueId image) const {
    const NodeId producer = graph_.value(image).producer;
    if (producer == kNone || rewriter_.sole_consumer(image) == kNone) return kNone;
    const Node& node = graph_.node(producer);
    if (node.op != "BatchNormalization" || graph_.value(image).slice_of) return kNone;
    for (const PostOp& post : node.post)
      if (post.kind != PostOp::Kind::kActivation || post.activation != Activation::kRelu)
        return kNone;
    return producer;
  }

  bool fuse(NodeId id) {
    const Node conv = graph_.node(id);
    const NodeId norm_id = batch_norm_of(conv.inputs[0]);
    if (norm_id == kNone || !graph_.is_constant(conv.inputs[1])) return false;
    const Node norm = graph_.node(norm_id);
    const std::optional<Affine> affine = affine_of_batch_norm(graph_, norm);
    if (!affine) return false;
    const bool has_bias = conv.num_op_inputs > 2;

    Node fused = conv;
    fused.op = "AffineConv";
    fused.attributes.set("relu", std::int64_t{norm.post.empty() ? 0 : 1});
    const auto [scale, shift] = add_affine(norm, *affine);
    fused.inputs = {norm.inputs[0], conv.inputs[1], has_bias ? conv.inputs[2] : kNone, scale,
                    shift};
    const auto first_operand = static_cast<int>(fused.inputs.size());
    fused.inputs.insert(fused.inputs.end(), conv.inputs.begin() + conv.num_op_inputs,
                        conv.inputs.end());
    for (PostOp& post : fused.post)
      if (post.input != kNone) post.input += first_operand - conv.num_op_inputs;
    fused.num_op_inputs = first_operand;

    graph_.node(id) = std::move(fused);
    if (!options_.is_supported(graph_, id)) {
      graph_.node(id) = conv;
      return false;
    }
    graph_.node(norm_id).is_removed = true;
    rewriter_.refresh();
    return true;
  }

  /// As constants, in f32 whatever the image is.
  std::pair<ValueId, ValueId> add_affine(const Node& norm, const Affine& affine) {
    const Shape shape{static_cast<std::int64_t>(affine.scale.size())};
    const auto add = [&](const char* what, const std::vector<float>& values) {
      return graph_.add_constant(norm.name + what, make_float_tensor(DType::kF32, shape, values));
    };
    return {add(".scale", affine.scale), add(".shift", affine.shift)};
  }

  Graph& graph_;
  const PassOptions& options_;
  Rewriter rewriter_;
};

int run(Graph& graph, const PassOptions& options) { return PrologueFuser(graph, options).run(); }

}  // namespace

const Pass& pass_fuse_prologue() {
  static const Pass pass{"fuse_prologue", "fuse batch norm and relu into the convolution after it",
                         run};
  return pass;
}

}  // namespace gacer
