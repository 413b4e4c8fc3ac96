#pragma once

#include <vector>

#include "tests/conformance/runner.h"

namespace gacer::conformance {

std::vector<Case> convolution_cases();
std::vector<Case> pooling_cases();
std::vector<Case> product_cases();
std::vector<Case> attention_cases();
std::vector<Case> normalization_cases();
std::vector<Case> recurrent_cases();
std::vector<Case> pointwise_cases();
std::vector<Case> movement_cases();

}  // namespace gacer::conformance
