#include <algorithm>

#include <gtest/gtest.h>

#include "tests/backend/cuda/node_run.h"

namespace gacer {
namespace {

// kernel_test.cpp leaves out what no kernel takes here; these must take what they are for.
TEST(OwnDevice, KernelsTakeWhatTheyAreFor) {
  Attributes transposed;
  transposed.set("transB", std::int64_t{1});
  const std::vector<std::pair<std::string, testing::NodeCase>> cases = {
      {"thin_conv",
       testing::make_case("Conv", {{1, 3, 9, 9}, {16, 3, 3, 3}}, {1}, testing::conv(3, 1))},
      {"split_conv",
       testing::make_case("Conv", {{1, 32, 7, 7}, {32, 32, 3, 3}}, {1}, testing::conv(3, 1))},
      {"depthwise",
       testing::make_case("Conv", {{1, 16, 7, 7}, {16, 1, 3, 3}}, {1}, testing::conv(3, 1, 16))},
      {"few_rows", testing::make_case("Gemm", {{8, 64}, {32, 64}, {32}}, {1, 2}, transposed)},
      {"pool", testing::make_case("MaxPool", {{1, 16, 8, 8}}, {}, testing::conv(3, 1))},
      {"rows", testing::make_case("GlobalAveragePool", {{1, 16, 8, 8}}, {})},
  };
  Device& device = *testing::cuda_device(nullptr);
  for (const auto& [name, base] : cases) {
    const testing::NodeCase node = testing::convert(base, DType::kF16, Layout::kChannelsLast);
    const KernelCall call = make_call(node.graph, 0, Precision::kF16);
    const bool takes = std::ranges::any_of(device.kernels(), [&](const KernelImpl* impl) {
      return impl->name() == name && impl->supports(call).ok() &&
             !impl->variants(call, device.info().num_groups).empty();
    });
    EXPECT_TRUE(takes) << name;
  }
}

}  // namespace
}  // namespace gacer
