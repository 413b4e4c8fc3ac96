#include <array>

#include <fmt/format.h>

#include "zoo/net_builder.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

// A block's last batch norm adds this much of unit variance to the residual, so that a sum over
// many blocks stays in range.
constexpr double kBranchScale = 0.4;

struct Depths {
  std::array<int, 4> blocks;
  bool has_bottlenecks;
};

ValueId conv_bn(NetBuilder& net, const std::string& conv, const std::string& bn, ValueId x,
                std::int64_t channels, Window window, double scale = 1) {
  return net.batch_norm(bn, net.conv(conv, x, channels, window, /*has_bias=*/false), scale);
}

ValueId shortcut(NetBuilder& net, const std::string& name, ValueId x, std::int64_t channels,
                 std::int64_t stride) {
  if (stride == 1 && net.shape(x)[1] == channels) return x;
  return conv_bn(net, name + ".downsample.0", name + ".downsample.1", x, channels,
                 {.kernel = 1, .stride = stride});
}

// What comes down an identity shortcut is positive, so the relu after the addition keeps it whole
// and cuts the branch alone.
ValueId join(NetBuilder& net, const std::string& name, ValueId branch, ValueId x, ValueId kept) {
  const ValueId sum = net.add(name + ".add", branch, kept);
  const ValueId y = net.relu(name + ".relu", sum);
  if (kept == x) net.set_mean_square(y, net.mean_square(x) + net.mean_square(branch) / 2);
  return y;
}

ValueId basic_block(NetBuilder& net, const std::string& name, ValueId x, std::int64_t width,
                    std::int64_t stride) {
  ValueId y = conv_bn(net, name + ".conv1", name + ".bn1", x, width,
                      {.kernel = 3, .stride = stride, .pad = 1});
  y = net.relu(name + ".relu1", y);
  y = conv_bn(net, name + ".conv2", name + ".bn2", y, width, {.kernel = 3, .pad = 1}, kBranchScale);
  return join(net, name, y, x, shortcut(net, name, x, width, stride));
}

// v1.5: the stride is in the 3x3 convolution.
ValueId bottleneck(NetBuilder& net, const std::string& name, ValueId x, std::int64_t width,
                   std::int64_t stride) {
  ValueId y = conv_bn(net, name + ".conv1", name + ".bn1", x, width, {});
  y = net.relu(name + ".relu1", y);
  y = conv_bn(net, name + ".conv2", name + ".bn2", y, width,
              {.kernel = 3, .stride = stride, .pad = 1});
  y = net.relu(name + ".relu2", y);
  y = conv_bn(net, name + ".conv3", name + ".bn3", y, 4 * width, {}, kBranchScale);
  return join(net, name, y, x, shortcut(net, name, x, 4 * width, stride));
}

Graph build(std::string_view model, const Depths& depths, std::int64_t batch, std::uint64_t seed) {
  NetBuilder net(model, batch, seed);
  ValueId x = net.input("input", DType::kF32, {3, 224, 224});
  x = conv_bn(net, "conv1", "bn1", x, 64, {.kernel = 7, .stride = 2, .pad = 3});
  x = net.relu("relu", x);
  x = net.max_pool("maxpool", x, {.kernel = 3, .stride = 2, .pad = 1});
  std::int64_t width = 64;
  for (std::size_t stage = 0; stage < depths.blocks.size(); ++stage, width *= 2) {
    for (int block = 0; block < depths.blocks[stage]; ++block) {
      const std::string name = fmt::format("layer{}.{}", stage + 1, block);
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      x = depths.has_bottlenecks ? bottleneck(net, name, x, width, stride)
                                 : basic_block(net, name, x, width, stride);
    }
  }
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  x = net.linear("fc", x, 1000);
  return net.finish({{"output", x}});
}

constexpr Depths kResnet18{{2, 2, 2, 2}, false};
constexpr Depths kResnet34{{3, 4, 6, 3}, false};
constexpr Depths kResnet50{{3, 4, 6, 3}, true};
constexpr Depths kResnet101{{3, 4, 23, 3}, true};

}  // namespace

const ZooModel& zoo_resnet18() {
  static const ZooModel kModel{.name = "resnet18",
                               .summary = "ResNet-18, 224x224 images",
                               .num_parameters = 11'689'512,
                               .build = [](std::int64_t batch, std::uint64_t seed) {
                                 return build("resnet18", kResnet18, batch, seed);
                               }};
  return kModel;
}

const ZooModel& zoo_resnet34() {
  static const ZooModel kModel{.name = "resnet34",
                               .summary = "ResNet-34, 224x224 images",
                               .num_parameters = 21'797'672,
                               .build = [](std::int64_t batch, std::uint64_t seed) {
                                 return build("resnet34", kResnet34, batch, seed);
                               }};
  return kModel;
}

const ZooModel& zoo_resnet50() {
  static const ZooModel kModel{.name = "resnet50",
                               .summary = "ResNet-50 v1.5, 224x224 images",
                               .num_parameters = 25'557'032,
                               .build = [](std::int64_t batch, std::uint64_t seed) {
                                 return build("resnet50", kResnet50, batch, seed);
                               }};
  return kModel;
}

const ZooModel& zoo_resnet101() {
  static const ZooModel kModel{.name = "resnet101",
                               .summary = "ResNet-101 v1.5, 224x224 images",
                               .num_parameters = 44'549'160,
                               .build = [](std::int64_t batch, std::uint64_t seed) {
                                 return build("resnet101", kResnet101, batch, seed);
                               }};
  return kModel;
}

}  // namespace gacer
