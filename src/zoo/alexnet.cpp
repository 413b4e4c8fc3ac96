#include "zoo/net_builder.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

// torchvision's alexnet. The dropouts are left out, and so is the adaptive average pooling to 6x6:
// at 224x224 its input has that size.
Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("alexnet", batch, seed);
  ValueId x = net.input("input", DType::kF32, {3, 224, 224});
  const auto stage = [&](int index, std::int64_t channels, Window window) {
    x = net.conv("features." + std::to_string(index), x, channels, window, /*has_bias=*/true);
    x = net.relu("features." + std::to_string(index + 1), x);
  };
  const Window pooling{.kernel = 3, .stride = 2};
  stage(0, 64, {.kernel = 11, .stride = 4, .pad = 2});
  x = net.max_pool("features.2", x, pooling);
  stage(3, 192, {.kernel = 5, .pad = 2});
  x = net.max_pool("features.5", x, pooling);
  stage(6, 384, {.kernel = 3, .pad = 1});
  stage(8, 256, {.kernel = 3, .pad = 1});
  stage(10, 256, {.kernel = 3, .pad = 1});
  x = net.max_pool("features.12", x, pooling);
  x = net.flatten("flatten", x);
  x = net.relu("classifier.2", net.linear("classifier.1", x, 4096));
  x = net.relu("classifier.5", net.linear("classifier.4", x, 4096));
  x = net.linear("classifier.6", x, 1000);
  return net.finish({{"output", x}});
}

}  // namespace

const ZooModel& zoo_alexnet() {
  static const ZooModel kModel{.name = "alexnet",
                               .summary = "AlexNet (torchvision), 224x224 images",
                               .num_parameters = 61'100'840,
                               .build = build};
  return kModel;
}

}  // namespace gacer
