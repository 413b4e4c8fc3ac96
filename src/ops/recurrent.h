#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ops/op_def.h"

/// What LSTM, GRU and RNN share: operands, directions, sequence lengths and layouts. The cells are
/// in lstm.cpp, gru.cpp and rnn.cpp.
namespace gacer {

/// Sizes of a recurrent operator. `gates`: 4 for LSTM, 3 for GRU, 1 for RNN.
struct RecurrentSizes {
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::int64_t input_size = 0;
  std::int64_t hidden = 0;
  int directions = 1;
  int gates = 1;
  bool batch_first = false;  ///< layout = 1: X [N, T, I], Y [N, T, D, H], states [N, D, H]
};

/// Error{kModel} when W and X do not agree.
RecurrentSizes recurrent_sizes(const Node& node, int gates, const Shape& x, const Shape& w);
/// Checks all operands; `has_cell` adds the cell state and peepholes (LSTM).
std::vector<OutputType> infer_recurrent(const InferContext& context, int gates, bool has_cell);

/// One gate's activation with its parameters.
using GateActivation = std::function<float(float)>;
/// `per_direction` activations of a direction; `defaults` when the node names none.
std::vector<GateActivation> gate_activations(const Node& node, int direction, int per_direction,
                                             const std::vector<std::string>& defaults);

/// One item's step in one direction, on rows of length `hidden`.
struct CellStep {
  const float* input;      ///< W·x + Wb, all gates: [gates * hidden]
  const float* recurrent;  ///< R·h (without bias), all gates
  const float* bias;       ///< Rb, all gates (zeros when absent)
  const float* peepholes;  ///< [3 * hidden] or nullptr
  float* h;                ///< in: h(t-1), out: h(t)
  float* c;                ///< the same for the cell state, or nullptr
};
using Cell = std::function<void(const CellStep& step)>;

/// Runs all directions and steps. `make_cell(direction)` gives the arithmetic of a step; it may ask
/// for R's rows by itself (GRU's linear_before_reset=0).
void evaluate_recurrent(
    const EvalContext& context, int gates, bool has_cell,
    const std::function<Cell(const RecurrentSizes& sizes, int direction)>& make_cell);

/// `clip` of the gates' inputs; the identity when the node has none.
std::function<float(float)> gate_clip(const Node& node);

Cost recurrent_cost(const Graph& graph, const Node& node, int gates);
/// The batch is X's batch axis; the states and lengths follow it.
SplitResult split_recurrent(const SplitContext& context);

}  // namespace gacer
