#include <array>
#include <vector>

#include <fmt/format.h>

#include "zoo/net_builder.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr std::int64_t kGrowth = 32;
constexpr std::int64_t kBottleneck = 4 * kGrowth;

// Batch norm and relu before each convolution: nothing to fold them into.
ValueId norm_relu_conv(NetBuilder& net, const std::string& name, const std::string& number,
                       ValueId x, std::int64_t channels, Window window) {
  x = net.batch_norm(name + ".norm" + number, x);
  x = net.relu(name + ".relu" + number, x);
  return net.conv(name + ".conv" + number, x, channels, window, /*has_bias=*/false, /*gain=*/2);
}

ValueId concat(NetBuilder& net, const std::string& name, const std::vector<ValueId>& parts) {
  double sum = 0;
  std::int64_t channels = 0;
  for (const ValueId part : parts) {
    sum += net.mean_square(part) * static_cast<double>(net.shape(part)[1]);
    channels += net.shape(part)[1];
  }
  const ValueId y = net.op("Concat", name, parts, attrs({{"axis", std::int64_t{1}}}));
  net.set_mean_square(y, sum / static_cast<double>(channels));
  return y;
}

// Each layer reads everything that the block has made so far.
ValueId dense_block(NetBuilder& net, const std::string& name, ValueId x, int layers) {
  std::vector<ValueId> parts{x};
  for (int layer = 1; layer <= layers; ++layer) {
    const std::string prefix = fmt::format("{}.denselayer{}", name, layer);
    ValueId y = parts.size() == 1 ? x : concat(net, prefix + ".concat", parts);
    y = norm_relu_conv(net, prefix, "1", y, kBottleneck, {});
    parts.push_back(norm_relu_conv(net, prefix, "2", y, kGrowth, {.kernel = 3, .pad = 1}));
  }
  return concat(net, name + ".concat", parts);
}

Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("densenet121", batch, seed);
  ValueId x = net.input("input", DType::kF32, {3, 224, 224});
  x = net.conv("features.conv0", x, 64, {.kernel = 7, .stride = 2, .pad = 3}, /*has_bias=*/false);
  x = net.relu("features.relu0", net.batch_norm("features.norm0", x));
  x = net.max_pool("features.pool0", x, {.kernel = 3, .stride = 2, .pad = 1});
  constexpr std::array kLayers{6, 12, 24, 16};
  for (std::size_t i = 0; i < kLayers.size(); ++i) {
    x = dense_block(net, fmt::format("features.denseblock{}", i + 1), x, kLayers[i]);
    if (i + 1 == kLayers.size()) break;
    const std::string name = fmt::format("features.transition{}", i + 1);
    x = norm_relu_conv(net, name, "", x, net.shape(x)[1] / 2, {});
    x = net.average_pool(name + ".pool", x, {.kernel = 2, .stride = 2});
    // Neighbours are alike: a mean of four keeps about two thirds of the mean square.
    net.set_mean_square(x, net.mean_square(x) * 0.66);
  }
  x = net.relu("features.relu5", net.batch_norm("features.norm5", x));
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  x = net.linear("classifier", x, 1000);
  return net.finish({{"output", x}});
}

}  // namespace

const ZooModel& zoo_densenet121() {
  static const ZooModel kModel{.name = "densenet121",
                               .summary = "DenseNet-121, 224x224 images",
                               .num_parameters = 7'978'856,
                               .build = build};
  return kModel;
}

}  // namespace gacer
