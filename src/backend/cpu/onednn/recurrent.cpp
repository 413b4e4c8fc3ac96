#include "ops/recurrent.h"

#include <algorithm>
#include <array>

#include "backend/cpu/onednn/kernels.h"
#include "backend/cpu/onednn/onednn_kernel.h"
#include "backend/cpu/strided_copy.h"

namespace gacer::cpu {
namespace {

using Dims = memory::dims;

enum class CellKind { kNone, kLstm, kGru, kLinearGru, kTanh, kRelu };

/// Inputs and outputs by their places in the ONNX operators.
enum Operand { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kPeepholes };
enum Result_ { kY, kLastH, kLastC };

bool has_input(const KernelCall& call, int i) {
  return i < call.node.num_op_inputs && !call.inputs[static_cast<std::size_t>(i)].is_absent;
}
bool has_output(const KernelCall& call, int i) {
  return i < static_cast<int>(call.outputs.size()) &&
         !call.outputs[static_cast<std::size_t>(i)].is_absent;
}

CellKind cell_of(const Node& node) {
  const std::vector<std::string> names = node.attributes.get_strings("activations");
  const auto are = [&](const std::vector<std::string>& expected) {
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] != expected[i % expected.size()]) return false;
    return true;
  };
  if (node.op == "LSTM")
    return are({"Sigmoid", "Tanh", "Tanh"}) ? CellKind::kLstm : CellKind::kNone;
  if (node.op == "GRU") {
    if (!are({"Sigmoid", "Tanh"})) return CellKind::kNone;
    return node.attributes.get_int("linear_before_reset", 0) != 0 ? CellKind::kLinearGru
                                                                  : CellKind::kGru;
  }
  if (node.op == "RNN") {
    if (are({"Tanh"})) return CellKind::kTanh;
    if (are({"Relu"})) return CellKind::kRelu;
  }
  return CellKind::kNone;
}

/// Gates in oneDNN's order, as places in ONNX's.
std::vector<int> gate_order(CellKind cell) {
  if (cell == CellKind::kLstm) return {0, 2, 3, 1};  // i o f c → i f c o
  if (cell == CellKind::kGru || cell == CellKind::kLinearGru) return {0, 1, 2};
  return {0};
}

struct Setup {
  CellKind cell = CellKind::kNone;
  RecurrentSizes sizes;
  std::vector<int> gates;
};

Setup setup_of(const KernelCall& call) {
  Setup setup;
  setup.cell = cell_of(call.node);
  setup.gates = gate_order(setup.cell);
  setup.sizes = recurrent_sizes(call.node, static_cast<int>(setup.gates.size()),
                                call.inputs[kX].shape, call.inputs[kW].shape);
  return setup;
}

/// One direction's rows [gates * hidden, columns] of W or R, gates in oneDNN's order.
Tensor reorder_gates(const Tensor& weights, const Setup& setup, int direction) {
  const std::int64_t hidden = setup.sizes.hidden;
  const std::int64_t columns = weights.shape()[2];
  const auto num_gates = static_cast<std::int64_t>(setup.gates.size());
  Tensor result(DType::kF32, Shape{num_gates, hidden, columns});
  const float* from = weights.data<float>().data() + direction * num_gates * hidden * columns;
  float* to = result.mutable_data<float>().data();
  for (int gate : setup.gates)
    to = std::copy_n(from + gate * hidden * columns, hidden * columns, to);
  return result;
}

/// The sum of both biases; a GRU that is linear before its reset keeps the last one apart.
Tensor make_bias(const KernelCall& call, const Setup& setup, int direction) {
  const std::int64_t hidden = setup.sizes.hidden;
  const auto num_gates = static_cast<std::int64_t>(setup.gates.size());
  const bool keeps_last = setup.cell == CellKind::kLinearGru;
  Tensor result(DType::kF32, Shape{num_gates + (keeps_last ? 1 : 0), hidden});
  std::span<float> to = result.mutable_data<float>();
  std::fill(to.begin(), to.end(), 0.0F);
  const Tensor* bias = call.constant(kB);
  if (bias == nullptr) return result;
  const float* input = bias->data<float>().data() + direction * 2 * num_gates * hidden;
  const float* recurrent = input + num_gates * hidden;
  for (std::int64_t g = 0; g < num_gates; ++g) {
    const std::int64_t gate = setup.gates[static_cast<std::size_t>(g)];
    const bool is_apart = keeps_last && g == num_gates - 1;
    for (std::int64_t j = 0; j < hidden; ++j) {
      const float r = recurrent[gate * hidden + j];
      to[static_cast<std::size_t>(g * hidden + j)] =
          input[gate * hidden + j] + (is_apart ? 0.0F : r);
      if (is_apart) to[static_cast<std::size_t>(num_gates * hidden + j)] = r;
    }
  }
  return result;
}

struct Descs {
  memory::desc x, state, weights, recurrent, bias, y, last_h, last_c, state_c;
};

Descs describe_all(const KernelCall& call, const Setup& setup) {
  const RecurrentSizes& s = setup.sizes;
  const auto f32 = memory::data_type::f32;
  const auto num_gates = static_cast<std::int64_t>(setup.gates.size());
  const memory::desc state = dense_desc(f32, {1, 1, s.batch, s.hidden});
  Descs d;
  d.x = dense_desc(f32, {s.steps, s.batch, s.input_size});
  d.y = dense_desc(f32, {s.steps, s.batch, s.hidden});
  if (has_input(call, kInitialH)) d.state = state;
  if (has_output(call, kLastH)) d.last_h = state;
  if (setup.cell == CellKind::kLstm) {
    if (has_input(call, kInitialC)) d.state_c = state;
    if (has_output(call, kLastC)) d.last_c = state;
    // oneDNN wants both states or none.
    if (has_input(call, kInitialH) != has_input(call, kInitialC)) d.state = d.state_c = state;
    if (has_output(call, kLastH) != has_output(call, kLastC)) d.last_h = d.last_c = state;
  }
  const auto any = memory::format_tag::any;
  d.weights = memory::desc({1, 1, s.input_size, num_gates, s.hidden}, f32, any);
  d.recurrent = memory::desc({1, 1, s.hidden, num_gates, s.hidden}, f32, any);
  d.bias =
      dense_desc(f32, {1, 1, num_gates + (setup.cell == CellKind::kLinearGru ? 1 : 0), s.hidden});
  return d;
}

bool is_reverse(const Node& node, int direction) {
  return direction == 1 || node.attributes.get_string("direction", "forward") == "reverse";
}

dnnl::primitive_desc_base describe_direction(const KernelCall& call, const Setup& setup,
                                             int direction) {
  const Descs d = describe_all(call, setup);
  const auto way = is_reverse(call.node, direction)
                       ? dnnl::rnn_direction::unidirectional_right2left
                       : dnnl::rnn_direction::unidirectional_left2right;
  const auto kind = dnnl::prop_kind::forward_inference;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::engine& engine = onednn_engine();
  switch (setup.cell) {
    case CellKind::kLstm:
      return dnnl::lstm_forward::primitive_desc(engine, kind, way, d.x, d.state, d.state_c,
                                                d.weights, d.recurrent, d.bias, d.y, d.last_h,
                                                d.last_c, attributes, true);
    case CellKind::kGru:
      return dnnl::gru_forward::primitive_desc(engine, kind, way, d.x, d.state, d.weights,
                                               d.recurrent, d.bias, d.y, d.last_h, attributes,
                                               true);
    case CellKind::kLinearGru:
      return dnnl::lbr_gru_forward::primitive_desc(engine, kind, way, d.x, d.state, d.weights,
                                                   d.recurrent, d.bias, d.y, d.last_h, attributes,
                                                   true);
    case CellKind::kTanh:
    case CellKind::kRelu:
      return dnnl::vanilla_rnn_forward::primitive_desc(
          engine, kind,
          setup.cell == CellKind::kTanh ? dnnl::algorithm::eltwise_tanh
                                        : dnnl::algorithm::eltwise_relu,
          way, d.x, d.state, d.weights, d.recurrent, d.bias, d.y, d.last_h, attributes, true);
    case CellKind::kNone:
      break;
  }
  return {};
}

/// Rows of a state [directions, batch, hidden] follow each other for each direction.
bool has_packed_rows(const OperandDesc& state) {
  return state.is_dense() || (state.strides[2] == 1 && state.strides[1] == state.shape[2]);
}

std::size_t direction_offset(const OperandDesc& state, int direction) {
  const std::int64_t stride = state.is_dense() ? state.shape[1] * state.shape[2] : state.strides[0];
  return static_cast<std::size_t>(stride * direction) * sizeof(float);
}

/// LSTM, GRU and RNN with the usual activations; one primitive a direction.
class Recurrent final : public OnednnImpl {
 public:
  std::string_view name() const override { return "onednn.rnn"; }

 protected:
  /// What oneDNN calls a reference here is its tuned code on matrix products.
  bool takes_reference() const override { return true; }

  Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                       std::string_view) const override {
    const std::string& op = call.node.op;
    if (op != "LSTM" && op != "GRU" && op != "RNN") return refuse("not recurrent");
    const Attributes& attributes = call.node.attributes;
    if (cell_of(call.node) == CellKind::kNone) return refuse("other activations than usual");
    for (const char* name : {"layout", "input_forget"})
      if (attributes.get_int(name, 0) != 0) return refuse("attribute {}", name);
    for (const char* name : {"clip", "activation_alpha", "activation_beta"})
      if (attributes.has(name)) return refuse("attribute {}", name);
    if (has_input(call, kLengths)) return refuse("sequence lengths");
    if (has_input(call, kPeepholes)) return refuse("peepholes");
    if (!call.node.post.empty()) return refuse("post-ops");
    for (int i : {kW, kR, kB})
      if (has_input(call, i) && call.constant(i) == nullptr) return refuse("input {} varies", i);
    for (std::size_t i = 0; i < call.inputs.size(); ++i)
      if (!call.inputs[i].is_absent && call.inputs[i].dtype != DType::kF32)
        return refuse("type {}", to_string(call.inputs[i].dtype));
    for (int i : {kInitialH, kInitialC})
      if (has_input(call, i) && !has_packed_rows(call.inputs[static_cast<std::size_t>(i)]))
        return refuse("a state whose rows lie apart");
    for (int i : {kLastH, kLastC})
      if (has_output(call, i) && !has_packed_rows(call.outputs[static_cast<std::size_t>(i)]))
        return refuse("a state whose rows lie apart");
    return describe_direction(call, setup_of(call), 0);
  }

  void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const override {
    const KernelCall& call = builder.call();
    const Setup setup = setup_of(call);
    const Place x = dense_input(builder, setup);
    for (int direction = 0; direction < setup.sizes.directions; ++direction)
      bind_direction(builder, setup, direction, x,
                     direction == 0 ? desc : describe_direction(call, setup, direction));
  }

 private:
  static Place dense_input(KernelBuilder& builder, const Setup& setup) {
    const OperandDesc& x = builder.call().inputs[kX];
    if (x.is_dense())
      return builder.packed(kX, describe_all(builder.call(), setup).x,
                            describe_all(builder.call(), setup).x);
    const Place place =
        builder.workspace(static_cast<std::size_t>(x.shape.num_elements()) * sizeof(float));
    builder.add("copy", {builder.input(kX), place},
                [dims = x.shape.dims(), from = x.strides, to = x.shape.row_major_strides()](
                    StepTeam& team, const std::vector<void*>& places) {
                  copy_strided(dims, sizeof(float), static_cast<const std::byte*>(places[0]), from,
                               static_cast<std::byte*>(places[1]), to, team);
                });
    return place;
  }

  static Place packed_weights(KernelBuilder& builder, const Tensor& gates, const memory::desc& to) {
    const Shape& shape = gates.shape();  // gates, hidden, columns
    const memory::desc from(
        {1, 1, shape[2], shape[0], shape[1]}, memory::data_type::f32,
        Dims{shape.num_elements(), shape.num_elements(), 1, shape[1] * shape[2], shape[2]});
    return builder.constant(gates, from, to);
  }

  /// A state that the primitive wants: the node's, or zeros.
  static Place state_input(KernelBuilder& builder, const Setup& setup, int input, int direction) {
    const KernelCall& call = builder.call();
    const memory::desc state =
        dense_desc(memory::data_type::f32, {1, 1, setup.sizes.batch, setup.sizes.hidden});
    if (has_input(call, input)) {
      Place place = builder.packed(input, state, state);
      place.offset += direction_offset(call.inputs[static_cast<std::size_t>(input)], direction);
      return place;
    }
    Tensor zeros(DType::kF32, Shape{setup.sizes.batch, setup.sizes.hidden});
    std::fill(zeros.mutable_data<float>().begin(), zeros.mutable_data<float>().end(), 0.0F);
    return builder.constant(zeros);
  }

  static Place state_output(KernelBuilder& builder, const Setup& setup, int output, int direction) {
    const KernelCall& call = builder.call();
    if (!has_output(call, output))
      return builder.workspace(static_cast<std::size_t>(setup.sizes.batch * setup.sizes.hidden) *
                               sizeof(float));
    Place place = builder.output(output);
    place.offset += direction_offset(call.outputs[static_cast<std::size_t>(output)], direction);
    return place;
  }

  static void bind_direction(KernelBuilder& builder, const Setup& setup, int direction,
                             const Place& x, const dnnl::primitive_desc_base& desc) {
    const KernelCall& call = builder.call();
    const auto wants = [&](int id) {
      return desc.query_md(dnnl::query::exec_arg_md, id).get_size() != 0;
    };
    const bool y_is_direct =
        has_output(call, kY) && call.outputs[kY].is_dense() && setup.sizes.directions == 1;
    const RecurrentSizes& s = setup.sizes;
    const std::size_t y_bytes =
        static_cast<std::size_t>(s.steps * s.batch * s.hidden) * sizeof(float);
    const Place y = y_is_direct ? builder.output(kY) : builder.workspace(y_bytes);
    std::vector<KernelBuilder::Argument> arguments = {
        {DNNL_ARG_SRC_LAYER, x},
        {DNNL_ARG_WEIGHTS_LAYER,
         packed_weights(builder, reorder_gates(*call.constant(kW), setup, direction),
                        desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS_LAYER))},
        {DNNL_ARG_WEIGHTS_ITER,
         packed_weights(builder, reorder_gates(*call.constant(kR), setup, direction),
                        desc.query_md(dnnl::query::exec_arg_md, DNNL_ARG_WEIGHTS_ITER))},
        {DNNL_ARG_BIAS, builder.constant(make_bias(call, setup, direction))},
        {DNNL_ARG_DST_LAYER, y}};
    if (wants(DNNL_ARG_SRC_ITER))
      arguments.push_back({DNNL_ARG_SRC_ITER, state_input(builder, setup, kInitialH, direction)});
    if (wants(DNNL_ARG_SRC_ITER_C))
      arguments.push_back({DNNL_ARG_SRC_ITER_C, state_input(builder, setup, kInitialC, direction)});
    if (wants(DNNL_ARG_DST_ITER))
      arguments.push_back({DNNL_ARG_DST_ITER, state_output(builder, setup, kLastH, direction)});
    if (wants(DNNL_ARG_DST_ITER_C))
      arguments.push_back({DNNL_ARG_DST_ITER_C, state_output(builder, setup, kLastC, direction)});
    builder.add(desc, std::move(arguments));
    if (!y_is_direct && has_output(call, kY)) copy_output(builder, setup, direction, y);
  }

  /// From [steps, batch, hidden] to one direction of Y [steps, directions, batch, hidden].
  static void copy_output(KernelBuilder& builder, const Setup& setup, int direction,
                          const Place& from) {
    const OperandDesc& y = builder.call().outputs[kY];
    const Dims strides = y.is_dense() ? y.shape.row_major_strides() : y.strides;
    const Dims dims = {setup.sizes.steps, setup.sizes.batch, setup.sizes.hidden};
    Place to = builder.output(kY);
    to.offset += static_cast<std::size_t>(direction * strides[1]) * sizeof(float);
    builder.add("copy", {from, to},
                [dims, own = Shape(dims).row_major_strides(),
                 target = Dims{strides[0], strides[2], strides[3]}](
                    StepTeam& team, const std::vector<void*>& places) {
                  copy_strided(dims, sizeof(float), static_cast<const std::byte*>(places[0]), own,
                               static_cast<std::byte*>(places[1]), target, team);
                });
  }
};

}  // namespace

const KernelImpl& onednn_recurrent() {
  static const Recurrent impl;
  return impl;
}

}  // namespace gacer::cpu
