#include "zoo/net_builder.h"

#include <cmath>

#include "base/error.h"

namespace gacer {
namespace {

using Ints = std::vector<std::int64_t>;

Attributes window_attributes(const Window& window) {
  return attrs({{"kernel_shape", Ints{window.kernel, window.kernel}},
                {"strides", Ints{window.stride, window.stride}},
                {"pads", Ints{window.pad, window.pad, window.pad, window.pad}}});
}

// Mean square of act(x) for a normal x of that mean square, by the midpoint rule.
double mean_square_after(Activation activation, double mean_square) {
  constexpr int kSteps = 200;
  constexpr double kReach = 6;
  const double deviation = std::sqrt(mean_square);
  double sum = 0;
  double weights = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double z = -kReach + 2 * kReach * (i + 0.5) / kSteps;
    const double weight = std::exp(-z * z / 2);
    const double y = apply(activation, static_cast<float>(deviation * z), 0, 0);
    sum += weight * y * y;
    weights += weight;
  }
  return sum / weights;
}

}  // namespace

Attributes attrs(std::initializer_list<std::pair<const char*, Attribute>> entries) {
  Attributes attributes;
  for (const auto& [name, value] : entries) attributes.set(name, value);
  return attributes;
}

NetBuilder::NetBuilder(std::string_view model, std::int64_t batch, std::uint64_t seed)
    : model_(model), seed_(seed) {
  if (batch < 1)
    fail(ErrorKind::kUsage, "batch {} of zoo model '{}': must be at least 1", batch, model);
  graph_.name = model_;
  graph_.batch = batch;
}

void NetBuilder::set_mean_square(ValueId id, double value) {
  mean_squares_.resize(static_cast<std::size_t>(graph_.num_values()), 1.0);
  mean_squares_[static_cast<std::size_t>(id)] = value;
}

ValueId NetBuilder::input(const std::string& name, DType dtype, Shape item_shape, int batch_axis) {
  std::vector<std::int64_t> dims = item_shape.dims();
  dims.insert(dims.begin() + batch_axis, graph_.batch);
  const ValueId id = graph_.add_input(name, dtype, Shape(std::move(dims)));
  graph_.value(id).batch = BatchAxis{batch_axis, /*factor=*/1};
  set_mean_square(id, 1);
  return id;
}

ValueId NetBuilder::parameter(const std::string& name, Shape shape, Distribution distribution) {
  const double mean_square =
      distribution.mean * distribution.mean + distribution.deviation * distribution.deviation;
  const ValueId id =
      graph_.add_constant(name, make_weight(model_, name, seed_, std::move(shape), distribution));
  set_mean_square(id, mean_square);
  return id;
}

ValueId NetBuilder::constant(const std::string& name, Tensor tensor) {
  const ValueId id = graph_.add_constant("constant:" + name, std::move(tensor));
  set_mean_square(id, 1);
  return id;
}

ValueId NetBuilder::ints(const std::string& name, std::vector<std::int64_t> values) {
  return constant(name, Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())},
                                                   std::span<const std::int64_t>(values)));
}

ValueId NetBuilder::number(const std::string& name, float value) {
  return constant(name, Tensor::scalar(value));
}

std::vector<ValueId> NetBuilder::op_with_outputs(std::string_view op, const std::string& name,
                                                 std::vector<ValueId> inputs, int num_outputs,
                                                 Attributes attributes) {
  Node node;
  node.op = op;
  node.name = name;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  for (int i = 0; i < num_outputs; ++i) {
    Value value;
    value.name = num_outputs == 1 ? name : fmt::format("{}.{}", name, i);
    node.outputs.push_back(graph_.add_value(std::move(value)));
  }
  const std::vector<ValueId> outputs = node.outputs;
  const double mean_square = mean_squares_[static_cast<std::size_t>(node.inputs.at(0))];
  infer_node(graph_, graph_.add_node(std::move(node)));
  for (const ValueId output : outputs) set_mean_square(output, mean_square);
  return outputs;
}

ValueId NetBuilder::op(std::string_view op, const std::string& name, std::vector<ValueId> inputs,
                       Attributes attributes) {
  return op_with_outputs(op, name, std::move(inputs), 1, std::move(attributes)).front();
}

ValueId NetBuilder::conv(const std::string& name, ValueId x, std::int64_t channels, Window window,
                         bool has_bias, double gain) {
  const std::int64_t group_channels = shape(x)[1] / window.groups;
  const auto fan_in = static_cast<double>(group_channels * window.kernel * window.kernel);
  std::vector<ValueId> inputs{
      x, parameter(name + ".weight", {channels, group_channels, window.kernel, window.kernel},
                   {0, std::sqrt(gain / fan_in)})};
  if (has_bias) inputs.push_back(parameter(name + ".bias", {channels}, {0, 0.05}));
  Attributes attributes = window_attributes(window);
  attributes.set("group", window.groups);
  attributes.set("dilations", Ints{1, 1});
  const ValueId y = op("Conv", name, std::move(inputs), std::move(attributes));
  set_mean_square(y, gain * mean_square(x));
  return y;
}

ValueId NetBuilder::batch_norm(const std::string& name, ValueId x, double scale, float epsilon) {
  const Shape channels{shape(x)[1]};
  const double variance = mean_square(x);
  const double deviation = std::sqrt(variance);
  const ValueId y = op("BatchNormalization", name,
                       {x, parameter(name + ".weight", channels, {scale, 0.1 * scale}),
                        parameter(name + ".bias", channels, {0, 0.1}),
                        parameter(name + ".running_mean", channels, {0, 0.1 * deviation}),
                        parameter(name + ".running_var", channels, {variance, 0.1 * variance})},
                       attrs({{"epsilon", epsilon}, {"momentum", 0.9F}}));
  set_mean_square(y, scale * scale);
  return y;
}

void NetBuilder::activate(ValueId from, ValueId to, Activation activation) {
  set_mean_square(to, mean_square_after(activation, mean_square(from)));
}

ValueId NetBuilder::relu(const std::string& name, ValueId x) {
  const ValueId y = op("Relu", name, {x});
  activate(x, y, Activation::kRelu);
  return y;
}

ValueId NetBuilder::hard_swish(const std::string& name, ValueId x) {
  const ValueId y = op("HardSwish", name, {x});
  activate(x, y, Activation::kHardSwish);
  return y;
}

ValueId NetBuilder::linear(const std::string& name, ValueId x, std::int64_t features, double gain) {
  const std::int64_t fan_in = shape(x)[1];
  const ValueId y = op("Gemm", name,
                       {x,
                        parameter(name + ".weight", {features, fan_in},
                                  {0, std::sqrt(gain / static_cast<double>(fan_in))}),
                        parameter(name + ".bias", {features}, {0, 0.05})},
                       attrs({{"transB", std::int64_t{1}}}));
  set_mean_square(y, gain * mean_square(x));
  return y;
}

ValueId NetBuilder::max_pool(const std::string& name, ValueId x, Window window) {
  const ValueId y = op("MaxPool", name, {x}, window_attributes(window));
  // Of 4 or 9 correlated, rectified neighbours: measured, not derived.
  set_mean_square(y, (window.kernel > 2 ? 3 : 2) * mean_square(x));
  return y;
}

ValueId NetBuilder::average_pool(const std::string& name, ValueId x, Window window) {
  return op("AveragePool", name, {x}, window_attributes(window));
}

ValueId NetBuilder::global_average_pool(const std::string& name, ValueId x) {
  return op("GlobalAveragePool", name, {x});
}

ValueId NetBuilder::flatten(const std::string& name, ValueId x) {
  return op("Flatten", name, {x}, attrs({{"axis", std::int64_t{1}}}));
}

ValueId NetBuilder::add(const std::string& name, ValueId a, ValueId b) {
  const ValueId y = op("Add", name, {a, b});
  set_mean_square(y, mean_square(a) + mean_square(b));
  return y;
}

Graph NetBuilder::finish(const std::vector<std::pair<std::string, ValueId>>& outputs) {
  for (const auto& [name, id] : outputs) {
    graph_.value(id).name = name;
    graph_.outputs.push_back(id);
  }
  infer_batch_axes(graph_);
  verify_graph(graph_);
  return std::move(graph_);
}

}  // namespace gacer
