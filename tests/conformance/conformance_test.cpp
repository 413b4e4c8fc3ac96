#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <gacer/error.h>

#include "tests/conformance/cases.h"

namespace gacer::conformance {
namespace {

/// Devices that compute: sim has a clock and no numbers.
const std::vector<std::unique_ptr<Device>>& devices() {
  static const std::vector<std::unique_ptr<Device>> all = [] {
    std::vector<std::unique_ptr<Device>> opened;
    for (const Backend* backend : all_backends())
      if (backend->kind != "sim" && !backend->find_devices().empty())
        opened.push_back(backend->open("", ""));
    return opened;
  }();
  return all;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& part :
       {convolution_cases(), pooling_cases(), product_cases(), attention_cases(),
        normalization_cases(), recurrent_cases(), pointwise_cases(), movement_cases()})
    cases.insert(cases.end(), part.begin(), part.end());
  return cases;
}

class Conformance : public testing::TestWithParam<Case> {};

void check(const Case& test, bool needs_kernel) {
  for (const auto& device : devices()) {
    SCOPED_TRACE(device->info().kind);
    const Outcome outcome = run_case(test, *device, /*seed=*/1);
    EXPECT_TRUE(outcome.failures.empty()) << fmt::format("{}", fmt::join(outcome.failures, "\n"));
    EXPECT_GT(outcome.num_runs, 0);
    if (needs_kernel && device->info().kind == "cpu" && !test.cpu_kernel.empty()) {
      EXPECT_NE(std::find(outcome.kernels.begin(), outcome.kernels.end(), test.cpu_kernel),
                outcome.kernels.end())
          << fmt::format("{}", fmt::join(outcome.refusals, "\n"));
    }
  }
}

TEST_P(Conformance, AllVariantsMatchTheReference) { check(GetParam(), /*needs_kernel=*/true); }

TEST_P(Conformance, WindowsOnLargerValuesMatchToo) {
  check(with_slices(GetParam()), /*needs_kernel=*/false);
}

std::string test_name(const testing::TestParamInfo<Case>& param) {
  std::string name = param.param.name;
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Operators, Conformance, testing::ValuesIn(all_cases()), test_name);

}  // namespace
}  // namespace gacer::conformance
