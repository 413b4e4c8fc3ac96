#include <vector>

#include "zoo/net_builder.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

// torchvision's vgg16: 13 convolutions of 3x3 in 5 stages, then 3 linear layers. Dropouts and the
// adaptive pooling (whose input has its size) are left out.
Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("vgg16", batch, seed);
  ValueId x = net.input("input", DType::kF32, {3, 224, 224});
  int index = 0;
  const auto next = [&] { return "features." + std::to_string(index++); };
  const std::vector<std::vector<std::int64_t>> stages{
      {64, 64}, {128, 128}, {256, 256, 256}, {512, 512, 512}, {512, 512, 512}};
  for (const std::vector<std::int64_t>& stage : stages) {
    for (const std::int64_t channels : stage) {
      x = net.conv(next(), x, channels, {.kernel = 3, .pad = 1}, /*has_bias=*/true);
      x = net.relu(next(), x);
    }
    x = net.max_pool(next(), x, {.kernel = 2, .stride = 2});
  }
  x = net.flatten("flatten", x);
  x = net.relu("classifier.1", net.linear("classifier.0", x, 4096));
  x = net.relu("classifier.4", net.linear("classifier.3", x, 4096));
  x = net.linear("classifier.6", x, 1000);
  return net.finish({{"output", x}});
}

}  // namespace

const ZooModel& zoo_vgg16() {
  static const ZooModel kModel{.name = "vgg16",
                               .summary = "VGG-16 (torchvision), 224x224 images",
                               .num_parameters = 138'357'544,
                               .build = build};
  return kModel;
}

}  // namespace gacer
