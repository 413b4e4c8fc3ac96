#include <algorithm>

#include <fmt/format.h>

#include "zoo/net_builder.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr float kEpsilon = 1e-3F;

struct Block {
  std::int64_t kernel, expanded, channels;
  bool has_gate;  ///< squeeze and excitation
  bool is_hard_swish;
  std::int64_t stride;
};

// torchvision's mobilenet_v3_large.
constexpr Block kBlocks[] = {
    {3, 16, 16, false, false, 1}, {3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1},
    {5, 72, 40, true, false, 2},  {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1},
    {3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1},
    {3, 184, 80, false, true, 1}, {3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1},
    {5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1},
};

// The nearest multiple of 8 that is not below 90 % of the channels.
std::int64_t round_channels(std::int64_t channels) {
  const std::int64_t rounded = std::max<std::int64_t>(8, (channels + 4) / 8 * 8);
  return 10 * rounded < 9 * channels ? rounded + 8 : rounded;
}

ValueId activation(NetBuilder& net, const std::string& name, ValueId x, bool is_hard_swish) {
  return is_hard_swish ? net.hard_swish(name, x) : net.relu(name, x);
}

ValueId conv_bn(NetBuilder& net, const std::string& name, ValueId x, std::int64_t channels,
                Window window, double scale = 1) {
  x = net.conv(name + ".0", x, channels, window, /*has_bias=*/false);
  return net.batch_norm(name + ".1", x, scale, kEpsilon);
}

ValueId gate(NetBuilder& net, const std::string& name, ValueId x) {
  const std::int64_t channels = net.shape(x)[1];
  ValueId y = net.global_average_pool(name + ".avgpool", x);
  y = net.conv(name + ".fc1", y, round_channels(channels / 4), {}, /*has_bias=*/true);
  y = net.relu(name + ".activation", y);
  y = net.conv(name + ".fc2", y, channels, {}, /*has_bias=*/true);
  y = net.op("HardSigmoid", name + ".scale_activation", {y},
             attrs({{"alpha", 1.0F / 6.0F}, {"beta", 0.5F}}));
  y = net.op("Mul", name + ".scale", {y, x});
  // The gate is about one half.
  net.set_mean_square(y, net.mean_square(x) / 4);
  return y;
}

ValueId inverted_residual(NetBuilder& net, const std::string& name, ValueId x, const Block& block) {
  int part = 0;
  const auto next = [&] { return fmt::format("{}.block.{}", name, part++); };
  const bool has_shortcut = block.stride == 1 && net.shape(x)[1] == block.channels;
  ValueId y = x;
  if (block.expanded != net.shape(x)[1]) {
    const std::string expand = next();
    y = conv_bn(net, expand, y, block.expanded, {});
    y = activation(net, expand + ".2", y, block.is_hard_swish);
  }
  const std::string depthwise = next();
  y = conv_bn(net, depthwise, y, block.expanded,
              {.kernel = block.kernel,
               .stride = block.stride,
               .pad = (block.kernel - 1) / 2,
               .groups = block.expanded});
  y = activation(net, depthwise + ".2", y, block.is_hard_swish);
  if (block.has_gate) y = gate(net, next(), y);
  y = conv_bn(net, next(), y, block.channels, {}, has_shortcut ? 0.5 : 1);
  return has_shortcut ? net.add(name + ".add", y, x) : y;
}

Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("mobilenet_v3_large", batch, seed);
  ValueId x = net.input("input", DType::kF32, {3, 224, 224});
  x = conv_bn(net, "features.0", x, 16, {.kernel = 3, .stride = 2, .pad = 1});
  x = net.hard_swish("features.0.2", x);
  int index = 1;
  for (const Block& block : kBlocks)
    x = inverted_residual(net, fmt::format("features.{}", index++), x, block);
  x = conv_bn(net, "features.16", x, 960, {});
  x = net.hard_swish("features.16.2", x);
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  x = net.hard_swish("classifier.1", net.linear("classifier.0", x, 1280));
  x = net.linear("classifier.3", x, 1000);
  return net.finish({{"output", x}});
}

}  // namespace

const ZooModel& zoo_mobilenet_v3_large() {
  static const ZooModel kModel{.name = "mobilenet_v3_large",
                               .summary = "MobileNetV3-Large (torchvision), 224x224 images",
                               .num_parameters = 5'483'032,
                               .build = build};
  return kModel;
}

}  // namespace gacer
