#include "ops/recurrent.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/dtype.h"
#include "ops/common.h"
#include "ops/gemm.h"

namespace gacer {
namespace {

constexpr int kX = 0, kW = 1, kR = 2, kBias = 3, kLengths = 4, kInitialH = 5, kInitialC = 6,
              kPeepholes = 7;

Shape state_shape(const RecurrentSizes& sizes) {
  return sizes.batch_first ? Shape{sizes.batch, sizes.directions, sizes.hidden}
                           : Shape{sizes.directions, sizes.batch, sizes.hidden};
}

void check_shape(const InferContext& context, int input, const Shape& expected) {
  if (context.has_input(input) && context.shape(input) != expected)
    fail(ErrorKind::kModel, "input {} is {}, expected {}", input, context.shape(input).to_string(),
         expected.to_string());
}

bool is_reverse(const Node& node, int direction) {
  return direction == 1 || node.attributes.get_string("direction", "forward") == "reverse";
}

/// Numbers that activations take one after the other, those that have such a parameter.
class Parameters {
 public:
  Parameters(const Node& node, const char* name) : values_(node.attributes.get_floats(name)) {}
  float take(float fallback) { return next_ < values_.size() ? values_[next_++] : fallback; }

 private:
  std::vector<float> values_;
  std::size_t next_ = 0;
};

GateActivation make_activation(const std::string& name, Parameters& alphas, Parameters& betas) {
  const auto alpha = [&](float fallback) { return alphas.take(fallback); };
  const auto beta = [&](float fallback) { return betas.take(fallback); };
  const auto pointwise = [](Activation activation, float a, float b) -> GateActivation {
    return [activation, a, b](float x) { return apply(activation, x, a, b); };
  };
  if (name == "Sigmoid") return pointwise(Activation::kSigmoid, 0, 0);
  if (name == "Tanh") return pointwise(Activation::kTanh, 0, 0);
  if (name == "Relu") return pointwise(Activation::kRelu, 0, 0);
  if (name == "LeakyRelu") return pointwise(Activation::kLeakyRelu, alpha(0.01F), 0);
  if (name == "HardSigmoid") return pointwise(Activation::kHardSigmoid, alpha(0.2F), beta(0.5F));
  if (name == "Elu") return pointwise(Activation::kElu, alpha(1.0F), 0);
  if (name == "Affine") return [a = alpha(1.0F), b = beta(0.0F)](float x) { return a * x + b; };
  if (name == "ThresholdedRelu") return [a = alpha(1.0F)](float x) { return x >= a ? x : 0.0F; };
  if (name == "ScaledTanh")
    return [a = alpha(1.0F), b = beta(1.0F)](float x) { return a * std::tanh(b * x); };
  if (name == "Softsign") return [](float x) { return x / (1.0F + std::abs(x)); };
  if (name == "Softplus") return [](float x) { return std::log1p(std::exp(x)); };
  fail(ErrorKind::kUnsupported, "activation '{}'", name);
}

int num_directions(const Node& node) {
  const std::string direction = node.attributes.get_string("direction", "forward");
  if (direction == "bidirectional") return 2;
  if (direction != "forward" && direction != "reverse")
    fail(ErrorKind::kModel, "direction is '{}'", direction);
  return 1;
}

}  // namespace

RecurrentSizes recurrent_sizes(const Node& node, int gates, const Shape& x, const Shape& w) {
  if (x.rank() != 3 || w.rank() != 3)
    fail(ErrorKind::kModel, "X {} and W {} must have rank 3", x.to_string(), w.to_string());
  RecurrentSizes sizes;
  sizes.gates = gates;
  sizes.batch_first = node.attributes.get_int("layout", 0) == 1;
  sizes.steps = x[sizes.batch_first ? 1 : 0];
  sizes.batch = x[sizes.batch_first ? 0 : 1];
  sizes.input_size = x[2];
  sizes.directions = num_directions(node);
  sizes.hidden = w[1] / gates;
  const Shape expected{sizes.directions, gates * sizes.hidden, sizes.input_size};
  if (w != expected || node.attributes.get_int("hidden_size", sizes.hidden) != sizes.hidden)
    fail(ErrorKind::kModel, "W {} for X {}, {} directions and hidden_size {}", w.to_string(),
         x.to_string(), sizes.directions, node.attributes.get_int("hidden_size", sizes.hidden));
  return sizes;
}

std::vector<OutputType> infer_recurrent(const InferContext& context, int gates, bool has_cell) {
  require_float(context, kX);
  const Node& node = context.node();
  const RecurrentSizes s = recurrent_sizes(node, gates, context.shape(kX), context.shape(kW));
  const std::int64_t d = s.directions;
  const std::int64_t rows = gates * s.hidden;
  if (!context.has_input(kR)) fail(ErrorKind::kModel, "required input {} is missing", kR);
  check_shape(context, kR, Shape{d, rows, s.hidden});
  check_shape(context, kBias, Shape{d, 2 * rows});
  check_shape(context, kLengths, Shape{s.batch});
  if (context.has_input(kLengths) && context.dtype(kLengths) != DType::kI32)
    fail(ErrorKind::kModel, "sequence_lens is {}", to_string(context.dtype(kLengths)));
  check_shape(context, kInitialH, state_shape(s));
  if (has_cell) {
    check_shape(context, kInitialC, state_shape(s));
    check_shape(context, kPeepholes, Shape{d, 3 * s.hidden});
  }
  const DType dtype = context.dtype(kX);
  const Shape y =
      s.batch_first ? Shape{s.batch, s.steps, d, s.hidden} : Shape{s.steps, d, s.batch, s.hidden};
  std::vector<OutputType> outputs{{dtype, y}, {dtype, state_shape(s)}};
  if (has_cell) outputs.push_back({dtype, state_shape(s)});
  return outputs;
}

std::vector<GateActivation> gate_activations(const Node& node, int direction, int per_direction,
                                             const std::vector<std::string>& defaults) {
  std::vector<std::string> names = node.attributes.get_strings("activations");
  if (names.empty())
    for (int i = 0; i < num_directions(node); ++i)
      names.insert(names.end(), defaults.begin(), defaults.end());
  const auto expected = static_cast<std::size_t>(per_direction * num_directions(node));
  if (names.size() != expected)
    fail(ErrorKind::kModel, "{} activations, expected {}", names.size(), expected);
  std::vector<GateActivation> all;
  Parameters alphas(node, "activation_alpha");
  Parameters betas(node, "activation_beta");
  for (const std::string& name : names) all.push_back(make_activation(name, alphas, betas));
  const auto first = all.begin() + direction * per_direction;
  return {first, first + per_direction};
}

std::function<float(float)> gate_clip(const Node& node) {
  const float limit = node.attributes.get_float("clip", 0.0F);
  if (limit <= 0) return [](float x) { return x; };
  return [limit](float x) { return std::clamp(x, -limit, limit); };
}

namespace {

/// Everything of one direction while its steps run.
class DirectionRun {
 public:
  DirectionRun(const EvalContext& context, const RecurrentSizes& sizes, int direction,
               bool has_cell)
      : context_(context),
        s_(sizes),
        direction_(direction),
        rows_(sizes.gates * sizes.hidden),
        has_cell_(has_cell) {
    bias_.assign(static_cast<std::size_t>(2 * rows_), 0.0F);
    if (context.has_input(kBias))
      std::copy_n(input(kBias) + direction * 2 * rows_, 2 * rows_, bias_.begin());
    lengths_.assign(static_cast<std::size_t>(s_.batch), s_.steps);
    if (context.has_input(kLengths)) {
      lengths_ = ints_of(context.inputs[kLengths]);
      for (const std::int64_t length : lengths_)
        if (length < 0 || length > s_.steps)
          fail(ErrorKind::kModel, "a sequence length of {} with {} steps", length, s_.steps);
    }
    h_ = initial_state(kInitialH);
    if (has_cell) c_ = initial_state(kInitialC);
  }

  void run(const Cell& cell) {
    project_input();
    recurrent_.resize(static_cast<std::size_t>(s_.batch * rows_));
    float* y = output(0);
    if (y != nullptr) clear_output(y);
    const bool reverse = is_reverse(context_.node, direction_);
    for (std::int64_t step = 0; step < s_.steps; ++step) {
      gemm({s_.batch, rows_, s_.hidden}, h_.data(), s_.hidden,
           input(kR) + direction_ * rows_ * s_.hidden, 1, s_.hidden, recurrent_.data(), rows_,
           context_.team);
      context_.team.parallel_for(s_.batch, 8, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t n = begin; n < end; ++n) run_item(cell, step, n, reverse, y);
      });
    }
    store_state(1, h_);
    if (has_cell_) store_state(2, c_);
  }

 private:
  const float* input(std::size_t i) const { return context_.inputs[i].flat<float>().data(); }
  float* output(std::size_t i) const {
    if (i >= context_.outputs.size() || !context_.outputs[i]) return nullptr;
    return context_.outputs[i].flat<float>().data();
  }

  std::int64_t state_offset(std::int64_t n) const {
    return (s_.batch_first ? n * s_.directions + direction_ : direction_ * s_.batch + n) *
           s_.hidden;
  }
  std::int64_t output_offset(std::int64_t t, std::int64_t n) const {
    return s_.batch_first ? ((n * s_.steps + t) * s_.directions + direction_) * s_.hidden
                          : ((t * s_.directions + direction_) * s_.batch + n) * s_.hidden;
  }
  std::int64_t input_row(std::int64_t t, std::int64_t n) const {
    return s_.batch_first ? n * s_.steps + t : t * s_.batch + n;
  }

  std::vector<float> initial_state(std::size_t index) const {
    std::vector<float> state(static_cast<std::size_t>(s_.batch * s_.hidden), 0.0F);
    if (context_.has_input(index))
      for (std::int64_t n = 0; n < s_.batch; ++n)
        std::copy_n(input(index) + state_offset(n), s_.hidden, state.begin() + n * s_.hidden);
    return state;
  }

  void store_state(std::size_t index, const std::vector<float>& state) const {
    float* to = output(index);
    if (to == nullptr) return;
    for (std::int64_t n = 0; n < s_.batch; ++n)
      std::copy_n(state.begin() + n * s_.hidden, s_.hidden, to + state_offset(n));
  }

  /// W·x + Wb of all steps at once.
  void project_input() {
    const std::int64_t count = s_.steps * s_.batch;
    projected_.resize(static_cast<std::size_t>(count * rows_));
    gemm({count, rows_, s_.input_size}, input(kX), s_.input_size,
         input(kW) + direction_ * rows_ * s_.input_size, 1, s_.input_size, projected_.data(), rows_,
         context_.team);
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < rows_; ++j)
        projected_[static_cast<std::size_t>(i * rows_ + j)] += bias_[static_cast<std::size_t>(j)];
  }

  /// Positions after a sequence's end stay zero.
  void clear_output(float* y) const {
    for (std::int64_t t = 0; t < s_.steps; ++t)
      for (std::int64_t n = 0; n < s_.batch; ++n)
        std::fill_n(y + output_offset(t, n), s_.hidden, 0.0F);
  }

  void run_item(const Cell& cell, std::int64_t step, std::int64_t n, bool reverse, float* y) {
    const std::int64_t length = lengths_[static_cast<std::size_t>(n)];
    if (step >= length) return;
    const std::int64_t t = reverse ? length - 1 - step : step;
    const bool has_peepholes = has_cell_ && context_.has_input(kPeepholes);
    float* h = h_.data() + n * s_.hidden;
    cell({projected_.data() + input_row(t, n) * rows_, recurrent_.data() + n * rows_,
          bias_.data() + rows_,
          has_peepholes ? input(kPeepholes) + direction_ * 3 * s_.hidden : nullptr, h,
          has_cell_ ? c_.data() + n * s_.hidden : nullptr});
    if (y != nullptr) std::copy_n(h, s_.hidden, y + output_offset(t, n));
  }

  const EvalContext& context_;
  const RecurrentSizes& s_;
  int direction_;
  std::int64_t rows_;
  bool has_cell_;
  std::vector<float> bias_;
  std::vector<std::int64_t> lengths_;
  std::vector<float> h_;
  std::vector<float> c_;
  std::vector<float> projected_;
  std::vector<float> recurrent_;
};

}  // namespace

void evaluate_recurrent(
    const EvalContext& context, int gates, bool has_cell,
    const std::function<Cell(const RecurrentSizes& sizes, int direction)>& make_cell) {
  const RecurrentSizes sizes =
      recurrent_sizes(context.node, gates, context.inputs[kX].shape, context.inputs[kW].shape);
  for (int direction = 0; direction < sizes.directions; ++direction)
    DirectionRun(context, sizes, direction, has_cell).run(make_cell(sizes, direction));
}

Cost recurrent_cost(const Graph& graph, const Node& node, int gates) {
  const RecurrentSizes s = recurrent_sizes(node, gates, graph.value(node.inputs[kX]).shape,
                                           graph.value(node.inputs[kW]).shape);
  const double per_step = static_cast<double>(gates * s.hidden) *
                          (2.0 * static_cast<double>(s.input_size + s.hidden) + 8);
  return {per_step * static_cast<double>(s.steps * s.batch * s.directions),
          operand_bytes(graph, node)};
}

SplitResult split_recurrent(const SplitContext& context) {
  if (auto only = only_batched(context, {kX, kLengths, kInitialH, kInitialC}); !only)
    return Refusal{only.reason()};
  const bool batch_first = context.node.attributes.get_int("layout", 0) == 1;
  if (!context.inputs[kX]) return refuse("X does not carry the batch, the states do");
  const BatchAxis batch = *context.inputs[kX];
  if (batch.axis != (batch_first ? 0 : 1))
    return refuse("axis {} of X, which holds the batch, is not the operator's batch axis",
                  batch.axis);
  for (const int i : {kLengths, kInitialH, kInitialC}) {
    if (i >= context.node.num_op_inputs ||
        context.node.inputs[static_cast<std::size_t>(i)] == kNone)
      continue;
    const BatchAxis expected{i == kLengths || batch_first ? 0 : 1, batch.factor};
    const auto& own = context.inputs[static_cast<std::size_t>(i)];
    if (own ? *own != expected : context.shape(i)[expected.axis] != 1)
      return refuse("input {} {} does not carry the batch on axis {}", i,
                    context.shape(i).to_string(), expected.axis);
  }
  const BatchAxis y{batch_first ? 0 : 2, batch.factor};
  const BatchAxis state{batch_first ? 0 : 1, batch.factor};
  std::vector<std::optional<BatchAxis>> outputs(context.node.outputs.size(), state);
  outputs[0] = y;
  return outputs;
}

}  // namespace gacer
