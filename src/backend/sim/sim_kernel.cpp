#include "backend/sim/sim_kernel.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "base/error.h"

namespace gacer::sim {
namespace {

NodeId id_of(const KernelCall& call) {
  const std::vector<Node>& nodes = call.graph.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (&nodes[i] == &call.node) return static_cast<NodeId>(i);
  }
  fail(ErrorKind::kInternal, "node '{}' is not of the call's graph", call.node.name);
}

/// Batch items of the call: those of the first output that has a batch axis.
std::int64_t items_of(const KernelCall& call) {
  for (std::size_t i = 0; i < call.node.outputs.size(); ++i) {
    if (call.node.outputs[i] == kNone) continue;
    const auto& batch = call.graph.value(call.node.outputs[i]).batch;
    if (batch) return call.outputs[i].shape[batch->axis] / batch->factor;
  }
  return 1;
}

/// "Conv:f16>f32@blocked8[8, 64]+add" → {"Conv", "f16>f32", "blocked8", "[8, 64]", "+add"}
struct Form {
  std::string_view op, conversion, layout, shape, post;
  explicit Form(std::string_view text) {
    const std::size_t plus = std::min(text.find('+'), text.size());
    const std::size_t bracket = std::min(text.find('['), plus);
    const std::size_t place = std::min(text.find('@'), bracket);
    const std::size_t colon = std::min(text.find(':'), place);
    op = text.substr(0, colon);
    if (colon < place) conversion = text.substr(colon + 1, place - colon - 1);
    if (place < bracket) layout = text.substr(place + 1, bracket - place - 1);
    shape = text.substr(bracket, plus - bracket);
    post = text.substr(plus);
  }
};

/// Whether recorded forms of the operator (of this shape, if there are any) admit what is asked.
bool is_on_the_way(const std::set<std::string>& forms, const Form& asked, bool same_shape,
                   bool& is_known) {
  is_known = false;
  bool has_post = asked.post.empty();
  bool has_conversion = asked.conversion.empty();
  bool has_layout = asked.layout.empty() || asked.layout == to_string(Layout::kRowMajor);
  for (const std::string& text : forms) {
    const Form recorded(text);
    const bool has_shape = recorded.shape == asked.shape;
    const bool is_same = recorded.op == asked.op && (has_shape || !same_shape);
    // A convolution that went into a SqueezeExcite left its result's shape and post-operations.
    const bool is_part = !same_shape && has_shape;
    if (!is_same && !is_part) continue;
    is_known = is_known || is_same;
    // A form on the way to a recorded one has the beginning of its post-operations.
    has_post =
        has_post ||
        (recorded.post.starts_with(asked.post) &&
         (recorded.post.size() == asked.post.size() || recorded.post[asked.post.size()] == '+'));
    if (!is_same) continue;
    has_conversion = has_conversion || recorded.conversion == asked.conversion;
    has_layout = has_layout || recorded.layout == asked.layout;
  }
  return has_post && has_conversion && has_layout;
}

}  // namespace

Result<void> SimKernels::supports(const KernelCall& call) const {
  // A recording without forms says nothing of them.
  if (recording_->forms.empty()) return {};
  const std::string text = form_of(call.graph, call.node);
  const Form asked(text);
  for (const bool same_shape : {true, false}) {
    bool is_known = false;
    const bool is_fine = is_on_the_way(recording_->forms, asked, same_shape, is_known);
    // One that left no form of its shape: its operands were written in place.
    const bool is_gone = recording_->concats_in_place && asked.op == "Concat" && !is_known;
    if (is_gone) return {};
    if (!is_known) continue;
    if (is_fine) return {};
    return refuse("the recorded device did not run '{}' as {}", call.node.name, text);
  }
  // Passes may ask about what they will fuse away: they take a "no" for that.
  return refuse("the recorded device ran no {}", call.node.op);
}

std::vector<std::string> SimKernels::variants(const KernelCall& call, int width) const {
  const std::string signature = row_signature(call.graph, id_of(call), call.precision);
  // A node that cannot be split has rows of one item, whatever its outputs look like.
  auto rows = recording_->rows.rows(signature, items_of(call));
  if (rows.empty()) rows = recording_->rows.rows(signature, 1);
  std::vector<std::string> keys;
  for (const ProfileRow& row : rows) {
    if (recording_->is_width_fixed && row.width != width) continue;
    if (std::find(keys.begin(), keys.end(), row.variant) == keys.end()) keys.push_back(row.variant);
  }
  return keys;
}

std::unique_ptr<Kernel> SimKernels::prepare(const KernelCall& call, const std::string& key) const {
  const std::string signature = row_signature(call.graph, id_of(call), call.precision);
  for (const std::int64_t items : {items_of(call), std::int64_t{1}}) {
    for (const ProfileRow& row : recording_->rows.rows(signature, items)) {
      if (row.variant != key) continue;
      return std::make_unique<SimKernel>(signature, items, key, row.workspace_bytes, row.launches);
    }
  }
  fail(ErrorKind::kUnsupported, "the recording of {} has no variant '{}' for node '{}' ({})",
       recording_->device.name, key, call.node.name, signature);
}

}  // namespace gacer::sim
