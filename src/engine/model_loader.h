#pragma once

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gacer/tenant.h>

#include "base/precision.h"
#include "device/device.h"
#include "graph/graph.h"

namespace gacer {

/// A model's graph after all passes, shared by the tenants that run the same model: their weights
/// exist once. `key` names it within the engine.
struct LoadedModel {
  std::string key;
  std::shared_ptr<const Graph> graph;
  std::vector<std::string> pass_log;
};

/// Error{kUnsupported} for training, {kUsage} for numbers that must be positive and are not.
void require_valid(const TenantSpec& spec);

/// The name of a model of the zoo; nothing for a file.
std::optional<std::string> zoo_name(const TenantSpec& spec);

/// Reads ONNX files and models of the zoo.
class ModelReader {
 public:
  /// A thread begins to read these, one after the other. One that cannot be read troubles nobody
  /// until it is asked for.
  explicit ModelReader(std::span<const TenantSpec> ahead = {});

  /// A model's graph before all passes. Errors as read_onnx.
  Graph read(const TenantSpec& spec);

 private:
  /// By model and batch, until they are taken; nothing for what could not be read.
  std::map<std::string, std::future<std::optional<Graph>>> begun_;
  std::jthread thread_;  ///< to end it, the model at which it is must be read
};

/// Prepares models for one device. Loading the same model twice gives the same
/// graph.
class ModelLoader {
 public:
  ModelLoader(Device& device, Precision precision, std::vector<std::string> disabled_passes,
              ModelReader reader = ModelReader())
      : device_(device),
        precision_(precision),
        disabled_passes_(std::move(disabled_passes)),
        reader_(std::move(reader)) {}

  /// Errors as read_onnx; kUnsupported lists the nodes that no kernel takes, with the reasons.
  const LoadedModel& load(const TenantSpec& spec);
  /// The same for a graph that is already in memory; `key` must be new.
  const LoadedModel& adopt(const std::string& key, Graph graph);

 private:
  Device& device_;
  Precision precision_;
  std::vector<std::string> disabled_passes_;
  ModelReader reader_;
  std::map<std::string, LoadedModel> models_;
};

}  // namespace gacer
