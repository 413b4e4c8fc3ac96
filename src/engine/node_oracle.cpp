#include "engine/node_oracle.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "engine/tenant_io.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

/// Elements; constants need not be read from the device.
std::int64_t largest_operand(const KernelCall& call) {
  std::int64_t largest = 0;
  for (const auto* operands : {&call.inputs, &call.outputs})
    for (const OperandDesc& desc : *operands)
      if (!desc.is_absent && !desc.is_constant)
        largest = std::max(largest, desc.shape.num_elements());
  return largest;
}

/// Whether its elements, and nothing else, lie one after the other: they can be compared as they
/// lie, and sorting them takes longer than reading.
bool is_in_one_piece(const OperandDesc& desc) {
  return desc.is_dense() && channel_block(desc.layout) == 1;
}

/// A row-major tensor.
void put_as_it_lies(const OperandDesc& desc, Tensor& tensor) {
  if (!is_in_one_piece(desc) || desc.layout == Layout::kRowMajor) return;
  Tensor placed(tensor.dtype(), tensor.shape());
  scatter_row_major(desc, tensor.bytes(), placed.mutable_bytes());
  tensor = std::move(placed);
}

}  // namespace

NodeOracle::NodeOracle(Device& device, const PlacedTenant& tenant, NodeId node,
                       std::optional<ChunkRange> range, double flop)
    : device_(device),
      graph_(tenant.graph()),
      id_(node),
      precision_(tenant.precision),
      begin_(range ? range->begin : 0),
      end_(range ? range->end : graph_.batch),
      call_(make_call(graph_, node, tenant.precision, range)),
      flop_(flop) {}

Tensor NodeOracle::read_row_major(ValueId id, const OperandDesc& desc, std::int64_t first,
                                  const Address& address) const {
  return download_row_major(device_, desc,
                            address(graph_.root_of(id)) + chunk_offset_bytes(graph_, id, first));
}

/// nullopt: plain loops cannot read it.
std::optional<Tensor> NodeOracle::read_input(const KernelCall& call, std::size_t i,
                                             std::int64_t first, const Address& input) const {
  const ValueId id = call.node.inputs[i];
  const OperandDesc& desc = call.inputs[i];
  if (id == kNone) return Tensor();
  const Tensor* constant = call.constant(static_cast<int>(i));
  if (constant == nullptr) {
    if (graph_.is_constant(graph_.root_of(id))) return std::nullopt;
    return read_row_major(id, desc, first, input);
  }
  if (desc.layout != Layout::kRowMajor) return std::nullopt;
  if (desc.shape == constant->shape()) return *constant;
  Tensor chunk(desc.dtype, desc.shape);  // one item lies after the other
  gather_row_major(desc, constant->bytes() + chunk_offset_bytes(graph_, id, first),
                   chunk.mutable_bytes());
  return chunk;
}

std::optional<std::vector<Tensor>> NodeOracle::evaluate(const KernelCall& call, std::int64_t first,
                                                        const Address& input, Team& team) const {
  if (op_of(call.node).evaluate == nullptr) return std::nullopt;
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < call.node.inputs.size(); ++i) {
    std::optional<Tensor> read = read_input(call, i, first, input);
    if (!read) return std::nullopt;
    inputs.push_back(std::move(*read));
  }
  std::vector<Tensor> outputs;
  for (const OperandDesc& desc : call.outputs)
    outputs.push_back(desc.is_absent ? Tensor() : Tensor(desc.dtype, desc.shape));
  std::vector<TensorView> input_views;
  std::vector<TensorView> output_views;
  for (const Tensor& tensor : inputs)
    input_views.push_back(tensor.empty() ? TensorView() : TensorView::of(tensor));
  for (Tensor& tensor : outputs)
    output_views.push_back(tensor.empty() ? TensorView() : TensorView::of(tensor));
  evaluate_node(call.node, input_views, output_views, team);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (!outputs[i].empty() && is_in_one_piece(call_.outputs[i]))
      put_as_it_lies(call.outputs[i], outputs[i]);
  std::erase_if(outputs, [](const Tensor& tensor) { return tensor.empty(); });
  return outputs;
}

void NodeOracle::ask_plain_loops(const Address& input) {
  constexpr double kSerialFlop = 3e7;  // threads take as long to begin
  constexpr double kWholeFlop = 2e9;
  constexpr std::int64_t kWholeElements = 1 << 22;
  const bool is_small = flop_ <= kWholeFlop && largest_operand(call_) <= kWholeElements;
  ThreadTeam team(is_small && flop_ <= kSerialFlop ? 1 : count_cores());
  if (is_small) {
    expected_ = evaluate(call_, begin_, input, team);
    if (expected_) expected_from_ = "plain loops";
    return;
  }
  const auto add_sample = [&](std::int64_t first, KernelCall call) {
    if (auto expected = evaluate(call, first, input, team))
      samples_.push_back({first, std::move(call), std::move(*expected)});
  };
  if (end_ - begin_ > 1 && is_splittable(graph_, id_)) {
    for (const std::int64_t item : {begin_, end_ - 1})
      add_sample(item, make_call(graph_, id_, precision_, ChunkRange{item, item + 1}));
  } else {
    add_sample(begin_, call_);
  }
}

void NodeOracle::read_results(const Address& output, std::vector<Tensor>& results) const {
  std::size_t next = 0;
  for (std::size_t i = 0; i < call_.outputs.size(); ++i) {
    const ValueId id = call_.node.outputs[i];
    if (id == kNone) continue;
    const OperandDesc& desc = call_.outputs[i];
    if (next == results.size()) results.emplace_back(desc.dtype, desc.shape);
    Tensor& result = results[next++];
    if (is_in_one_piece(desc))
      device_.download(result.mutable_bytes(),
                       output(graph_.root_of(id)) + chunk_offset_bytes(graph_, id, begin_),
                       result.size_bytes());
    else
      result = read_row_major(id, desc, begin_, output);
  }
}

Result<void> NodeOracle::compare(const std::vector<Tensor>& actual,
                                 const std::vector<Tensor>& expected,
                                 const std::string& whose) const {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const CheckResult result = compare_tensors(actual[i], expected[i], tolerance(precision_));
    if (!result.outputs_match)
      return refuse("output {} differs from {} by {:.2g} of its scale ({})", i, whose,
                    result.max_rel_error, result.worst);
  }
  return {};
}

Tensor NodeOracle::read_sample(const Sample& sample, std::size_t output, const Tensor& whole,
                               const Address& address) const {
  const ValueId id = call_.node.outputs[output];
  const OperandDesc& desc = sample.call.outputs[output];
  if (!is_in_one_piece(desc) || !is_in_one_piece(call_.outputs[output]))
    return read_row_major(id, desc, sample.first, address);
  const std::byte* bytes = whole.bytes() + chunk_offset_bytes(graph_, id, sample.first) -
                           chunk_offset_bytes(graph_, id, begin_);
  return Tensor(desc.dtype, desc.shape, nullptr, bytes);
}

Result<void> NodeOracle::check(const Address& input, const Address& output) {
  if (!expected_ && samples_.empty()) ask_plain_loops(input);
  read_results(output, actual_);
  for (const Sample& sample : samples_) {
    std::vector<Tensor> actual;
    for (std::size_t i = 0; i < call_.outputs.size(); ++i)
      if (call_.node.outputs[i] != kNone)
        actual.push_back(read_sample(sample, i, actual_[actual.size()], output));
    if (auto same = compare(actual, sample.expected, "plain loops"); !same) return same;
  }
  if (expected_) return compare(actual_, *expected_, expected_from_);
  expected_ = std::exchange(actual_, {});
  expected_from_ = "the first variant";
  return {};
}

}  // namespace gacer
