#include <cmath>

#include <fmt/format.h>

#include "zoo/net_builder.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr std::int64_t kSteps = 128;
constexpr std::int64_t kInputs = 256;
constexpr std::int64_t kHidden = 512;
constexpr int kLayers = 2;

// [T, N, C] as torch.nn.LSTM has it, so the batch is axis 1.
Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("lstm", batch, seed);
  ValueId x = net.input("input", DType::kF32, {kSteps, kInputs}, /*batch_axis=*/1);
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::int64_t inputs = net.shape(x)[2];
    const auto name = [&](const char* what) { return fmt::format("rnn.{}_l{}", what, layer); };
    const auto gain = [](std::int64_t fan_in) {
      return Distribution{0, std::sqrt(1.0 / static_cast<double>(fan_in))};
    };
    ValueId y = net.op("LSTM", fmt::format("rnn.l{}", layer),
                       {x, net.parameter(name("weight_ih"), {1, 4 * kHidden, inputs}, gain(inputs)),
                        net.parameter(name("weight_hh"), {1, 4 * kHidden, kHidden}, gain(kHidden)),
                        net.parameter(name("bias"), {1, 8 * kHidden}, {0, 0.05})},
                       attrs({{"hidden_size", kHidden}, {"direction", std::string("forward")}}));
    y = net.op("Squeeze", fmt::format("squeeze.l{}", layer),
               {y, net.ints(fmt::format("squeeze.l{}.axes", layer), {1})});
    x = y;
  }
  return net.finish({{"output", x}});
}

}  // namespace

const ZooModel& zoo_lstm() {
  static const ZooModel kModel{.name = "lstm",
                               .summary = "2-layer LSTM, 128 steps of 256 inputs, hidden 512",
                               .num_parameters = 3'678'208,
                               .build = build};
  return kModel;
}

}  // namespace gacer
