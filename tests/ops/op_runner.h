#pragma once

#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/parallel.h"
#include "base/tensor_view.h"
#include "ops/common.h"
#include "ops/op_def.h"

namespace gacer::testing {

/// An operand of an operator under test.
struct Operand {
  Tensor tensor;
  bool is_constant = false;
  std::optional<BatchAxis> batch;
};

inline Operand variable(Tensor tensor) { return {std::move(tensor), false, {}}; }
inline Operand batched(Tensor tensor, int axis = 0, std::int64_t factor = 1) {
  return {std::move(tensor), false, BatchAxis{axis, factor}};
}
inline Operand constant(Tensor tensor) { return {std::move(tensor), true, {}}; }
inline Operand absent() { return {}; }

inline Tensor ints(std::vector<std::int64_t> values) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  return Tensor::from<std::int64_t>(shape, std::span<const std::int64_t>(values));
}
inline Tensor floats(Shape shape, std::initializer_list<float> values) {
  return Tensor::from<float>(std::move(shape), values);
}
template <typename T = float>
Tensor random_tensor(Shape shape, unsigned seed, double low = -3, double high = 3) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  Tensor tensor(dtype_of<T>(), std::move(shape));
  for (T& x : tensor.mutable_data<T>()) {
    if constexpr (std::is_arithmetic_v<T>)
      x = static_cast<T>(uniform(engine));
    else
      x = T(static_cast<float>(uniform(engine)));
  }
  return tensor;
}
inline Tensor iota(Shape shape) {
  Tensor tensor(DType::kF32, std::move(shape));
  float next = 0;
  for (float& x : tensor.mutable_data<float>()) x = next++;
  return tensor;
}

/// Two members, one after the other: shows wrong ranges without needing threads.
class TwoTeam final : public Team {
 public:
  int size() const override { return 2; }
  void run(const std::function<void(int)>& body) override {
    body(1);
    body(0);
  }
};

/// A graph of one operator over some operands.
class OneOp {
 public:
  OneOp(const std::string& op, std::vector<Operand> operands, Attributes attributes = {},
        int num_outputs = 1, int opset = 0, std::int64_t batch = 1)
      : operands_(std::move(operands)) {
    graph.batch = batch;
    Node node;
    node.op = op;
    node.name = "under_test";
    node.attributes = std::move(attributes);
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      const Operand& operand = operands_[i];
      const std::string name = "operand" + std::to_string(i);
      if (operand.tensor.empty()) {
        node.inputs.push_back(kNone);
      } else if (operand.is_constant) {
        node.inputs.push_back(graph.add_constant(name, operand.tensor));
      } else {
        const ValueId id = graph.add_input(name, operand.tensor.dtype(), operand.tensor.shape());
        graph.value(id).batch = operand.batch;
        node.inputs.push_back(id);
      }
    }
    for (int i = 0; i < num_outputs; ++i) {
      Value value;
      value.name = "out" + std::to_string(i);
      node.outputs.push_back(graph.add_value(std::move(value)));
    }
    node.num_op_inputs = static_cast<int>(node.inputs.size());
    if (opset > 0) {
      const OpDef* def = find_op(op);
      if (def->import != nullptr) {
        ImportContext context{graph, node, opset};
        def->import(context);
      }
    }
    graph.outputs = node.outputs;
    id_ = graph.add_node(std::move(node));
    infer_node(graph, id_);
    infer_batch_axes(graph);
  }

  const Value& output(int i = 0) const {
    return graph.value(graph.outputs[static_cast<std::size_t>(i)]);
  }

  std::vector<Tensor> run() const {
    std::vector<Tensor> inputs;
    for (const Operand& operand : operands_)
      if (!operand.is_constant && !operand.tensor.empty()) inputs.push_back(operand.tensor);
    return evaluate_graph(graph, inputs);
  }

  /// The node alone on items [begin, end) of the batch.
  std::vector<Tensor> run_chunk(std::int64_t begin, std::int64_t end, Team& team) const {
    const Node& node = graph.node(id_);
    std::vector<Tensor> tensors;
    std::vector<TensorView> inputs;
    std::vector<TensorView> outputs;
    tensors.reserve(node.inputs.size() + node.outputs.size());
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNone) {
        inputs.emplace_back();
        continue;
      }
      const Value& value = graph.value(node.inputs[i]);
      tensors.push_back(value.constant ? *value.constant : operands_[i].tensor);
      if (value.batch) tensors.back() = slice(tensors.back(), *value.batch, begin, end);
      inputs.push_back(TensorView::of(std::as_const(tensors.back())));
    }
    std::vector<Tensor> results;
    results.reserve(node.outputs.size());
    for (const ValueId out : node.outputs) {
      const Value& value = graph.value(out);
      Shape shape = value.shape;
      shape[value.batch->axis] = (end - begin) * value.batch->factor;
      results.emplace_back(value.dtype, shape);
      outputs.push_back(TensorView::of(results.back()));
    }
    evaluate_node(node, inputs, outputs, team);
    return results;
  }

  static Tensor slice(const Tensor& tensor, const BatchAxis& batch, std::int64_t begin,
                      std::int64_t end) {
    Shape shape = tensor.shape();
    const auto size = static_cast<std::int64_t>(size_of(tensor.dtype()));
    const std::int64_t inner = product(shape, batch.axis + 1, shape.rank()) * batch.factor * size;
    const std::int64_t outer = product(shape, 0, batch.axis);
    const std::int64_t items = shape[batch.axis] / batch.factor;
    shape[batch.axis] = (end - begin) * batch.factor;
    Tensor part(tensor.dtype(), shape);
    for (std::int64_t i = 0; i < outer; ++i)
      std::memcpy(part.mutable_bytes() + i * (end - begin) * inner,
                  tensor.bytes() + (i * items + begin) * inner,
                  static_cast<std::size_t>((end - begin) * inner));
    return part;
  }

  Graph graph;

 private:
  std::vector<Operand> operands_;
  NodeId id_ = kNone;
};

inline std::vector<Tensor> run_op(const std::string& op, std::vector<Operand> operands,
                                  Attributes attributes = {}, int num_outputs = 1, int opset = 0) {
  return OneOp(op, std::move(operands), std::move(attributes), num_outputs, opset).run();
}

template <typename T = float>
std::vector<T> values_of(const Tensor& tensor) {
  const auto data = tensor.data<T>();
  return std::vector<T>(data.begin(), data.end());
}

inline ::testing::AssertionResult same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape())
    return ::testing::AssertionFailure()
           << to_string(a.dtype()) << a.shape().to_string() << " against " << to_string(b.dtype())
           << b.shape().to_string();
  for (std::size_t i = 0; i < a.size_bytes(); ++i)
    if (a.bytes()[i] != b.bytes()[i])
      return ::testing::AssertionFailure()
             << "element " << i / size_of(a.dtype()) << " of " << a.shape().to_string();
  return ::testing::AssertionSuccess();
}

/// Every two-way cut of the batch gives the whole's slices, and the batch is on `expected`.
inline void expect_split_is_whole(const std::string& op, std::vector<Operand> operands,
                                  Attributes attributes, std::int64_t batch, BatchAxis expected,
                                  int num_outputs = 1) {
  const OneOp one(op, std::move(operands), std::move(attributes), num_outputs, 0, batch);
  const auto splittable = is_splittable(one.graph, 0);
  ASSERT_TRUE(splittable.ok()) << op << ": " << splittable.reason();
  EXPECT_EQ(*one.output().batch, expected)
      << op << ": axis " << one.output().batch->axis << " x" << one.output().batch->factor;
  const std::vector<Tensor> whole = one.run();
  SerialTeam serial;
  TwoTeam two;
  for (std::int64_t cut = 1; cut < batch; ++cut) {
    for (const auto& [begin, end] : {std::pair{std::int64_t{0}, cut}, std::pair{cut, batch}}) {
      for (Team* team : {static_cast<Team*>(&serial), static_cast<Team*>(&two)}) {
        const std::vector<Tensor> part = one.run_chunk(begin, end, *team);
        for (int i = 0; i < num_outputs; ++i) {
          const auto k = static_cast<std::size_t>(i);
          EXPECT_TRUE(same_bytes(part[k], OneOp::slice(whole[k], *one.output(i).batch, begin, end)))
              << op << " items " << begin << ".." << end;
        }
      }
    }
  }
}

/// The split rule says no, with a reason that contains `words`.
inline void expect_refused(const std::string& op, std::vector<Operand> operands,
                           Attributes attributes, std::int64_t batch, const std::string& words) {
  const OneOp one(op, std::move(operands), std::move(attributes), 1, 0, batch);
  const auto splittable = is_splittable(one.graph, 0);
  ASSERT_FALSE(splittable.ok()) << op;
  EXPECT_NE(splittable.reason().find(words), std::string::npos) << splittable.reason();
}

inline Attributes attrs(std::initializer_list<std::pair<const char*, Attribute>> entries) {
  Attributes attributes;
  for (const auto& [name, value] : entries) attributes.set(name, value);
  return attributes;
}
using Ints = std::vector<std::int64_t>;

}  // namespace gacer::testing
