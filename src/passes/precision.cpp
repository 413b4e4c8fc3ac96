// Stores activations and weights in half precision where the tenant asks for fp16 or bf16. Model
// inputs and outputs keep their types: a Cast at each border. Kernels accumulate in f32.

#include <cmath>
#include <map>
#include <set>
#include <span>

#include "base/convert.h"
#include "base/dtype.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

/// Operands that state sizes or quantisation and are no data: they stay f32.
bool stays_f32(const Node& node, std::size_t input) {
  if (node.op == "Resize") return input > 0;
  // Variances of a million are common, and no f16.
  if (node.op == "BatchNormalization") return input > 0;
  return node.op == "QuantizeLinear" || node.op == "DequantizeLinear" ||
         node.op == "DynamicQuantizeLinear";
}

/// The schema's number of a type that this pass makes.
std::int64_t onnx_number(DType dtype) {
  return dtype == DType::kF32 ? 1 : dtype == DType::kF16 ? 10 : 16;
}

/// A mask of -3.4e38 must not become -inf, whose product with 0 is no number, and a number that
/// keeps a divisor from zero not zero: they become the largest and the smallest of their type.
void keep_finite(const Tensor& from, Tensor& to) {
  const bool is_f16 = to.dtype() == DType::kF16;
  const std::uint16_t infinity = is_f16 ? 0x7C00 : 0x7F80;
  const std::span<const float> numbers = from.data<float>();
  const std::span<std::uint16_t> bits(reinterpret_cast<std::uint16_t*>(to.mutable_bytes()),
                                      numbers.size());
  const auto size_of = [](std::uint16_t x) { return static_cast<std::uint16_t>(x & 0x7FFF); };
  const auto sign_of = [](std::uint16_t x) { return static_cast<std::uint16_t>(x & 0x8000); };
  std::int64_t infinite = 0;  // counted without branches: next to no time beside the conversion
  for (const std::uint16_t x : bits) infinite += size_of(x) == infinity ? 1 : 0;
  for (std::size_t i = 0; infinite > 0 && i < bits.size(); ++i)
    if (size_of(bits[i]) == infinity && !std::isinf(numbers[i]))
      bits[i] = static_cast<std::uint16_t>(sign_of(bits[i]) | (infinity - 1));
  if (bits.size() == 1 && size_of(bits[0]) == 0 && numbers[0] != 0)
    bits[0] = static_cast<std::uint16_t>(sign_of(bits[0]) | 1);
}

class Converter {
 public:
  Converter(Graph& graph, DType target) : graph_(graph), target_(target) {}

  int run() {
    int changes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      id += convert_inputs(id);
      convert_outputs(id, changes);
    }
    restore_outputs();
    return changes;
  }

 private:
  /// Returns how many Cast nodes went in before the node.
  int convert_inputs(NodeId id) {
    int inserted = 0;
    for (std::size_t i = 0; i < graph_.node(id + inserted).inputs.size(); ++i) {
      const Node& node = graph_.node(id + inserted);
      const ValueId from = node.inputs[i];
      if (from == kNone || graph_.value(from).dtype != DType::kF32 || stays_f32(node, i)) continue;
      const bool is_known = converted_.count(from) != 0;
      const bool needs_cast = !is_known && !graph_.is_constant(from);
      if (!is_known)
        converted_[from] = needs_cast ? add_cast(id + inserted, from, target_) : convert(from);
      if (needs_cast) ++inserted;
      graph_.node(id + inserted).inputs[i] = converted_[from];
    }
    return inserted;
  }

  void convert_outputs(NodeId id, int& changes) {
    Node& node = graph_.node(id);
    if (node.op == "DequantizeLinear" || node.op == "DynamicQuantizeLinear") return;
    for (ValueId output : node.outputs) {
      if (output == kNone || graph_.value(output).dtype != DType::kF32) continue;
      graph_.value(output).dtype = target_;
      lowered_.insert(output);
      ++changes;
    }
  }

  ValueId convert(ValueId constant) {
    const Value& value = graph_.value(constant);
    Tensor tensor(target_, value.constant->shape());
    convert_numbers(value.dtype, value.constant->bytes(), target_, tensor.mutable_bytes(),
                    tensor.num_elements());
    keep_finite(*value.constant, tensor);
    Value copy = value;
    copy.dtype = target_;
    copy.constant = tensor;
    return graph_.add_value(std::move(copy));
  }

  ValueId add_cast(NodeId before, ValueId from, DType dtype) {
    Value value = graph_.value(from);
    value.name += std::string(".") + to_string(dtype);
    value.dtype = dtype;
    value.producer = kNone;
    value.slice_of.reset();
    const ValueId to = graph_.add_value(std::move(value));
    Node cast;
    cast.op = "Cast";
    cast.name = graph_.value(to).name;
    cast.inputs = {from};
    cast.outputs = {to};
    cast.attributes.set("to", onnx_number(dtype));
    graph_.insert_node(before, std::move(cast));
    return to;
  }

  void restore_outputs() {
    for (ValueId& output : graph_.outputs) {
      if (lowered_.count(output) == 0) continue;
      const ValueId outer = add_cast(graph_.num_nodes(), output, DType::kF32);
      std::swap(graph_.value(output).name, graph_.value(outer).name);
      output = outer;
    }
  }

  Graph& graph_;
  DType target_;
  std::map<ValueId, ValueId> converted_;
  std::set<ValueId> lowered_;  ///< values that were f32
};

int run(Graph& graph, const PassOptions& options) {
  if (const DType wanted = float_type(options.precision); wanted != DType::kF32)
    return Converter(graph, wanted).run();
  return 0;
}

}  // namespace

const Pass& pass_precision() {
  static const Pass pass{"precision", "store activations and weights as fp16 or bf16", run};
  return pass;
}

}  // namespace gacer
