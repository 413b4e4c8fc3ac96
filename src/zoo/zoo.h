#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace gacer {

/// A model that GACER can build by itself: published topology, seeded weights.
struct ZooModel {
  std::string_view name;            ///< "resnet50"
  std::string_view summary;         ///< "ResNet-50 v1.5, 224x224 images"
  std::int64_t num_parameters = 0;  ///< as published; tests count them
  Graph (*build)(std::int64_t batch, std::uint64_t seed) = nullptr;
};

/// Generated from the list of models in the build.
std::span<const ZooModel* const> all_zoo_models();
/// Error{kUsage} naming the models there are.
const ZooModel& find_zoo_model(std::string_view name);

/// The model as a graph of standard operators with batch axes set. Equal seeds give equal weights.
Graph build_zoo_model(std::string_view name, std::int64_t batch, std::uint64_t seed = 1);

}  // namespace gacer
