#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "device/device.h"
#include "device/kernel.h"
#include "engine/placed_tenant.h"

namespace gacer {

/// Knows what a node, or a chunk of it, makes of operands that lie on a device, by plain loops: all
/// of its results or, where they take long, those of the first and the last item. All others, and
/// what plain loops cannot do, are compared with the results that it was shown first.
class NodeOracle {
 public:
  /// Where a value's storage lies on the device: asked for roots that are no constants.
  using Address = std::function<const std::byte*(ValueId root)>;

  /// References outlive the oracle. `flop`: of the node or chunk.
  NodeOracle(Device& device, const PlacedTenant& tenant, NodeId node,
             std::optional<ChunkRange> range, double flop);

  /// Whether results are right, up to tolerance() of the tenant's precision. Inputs hold the same
  /// numbers whenever this is called.
  Result<void> check(const Address& input, const Address& output);

 private:
  /// A part of the batch and its results: as they lie, where they and all results lie in one piece
  /// each, else row-major.
  struct Sample {
    std::int64_t first;
    KernelCall call;
    std::vector<Tensor> expected;
  };

  void ask_plain_loops(const Address& input);
  std::optional<Tensor> read_input(const KernelCall& call, std::size_t i, std::int64_t first,
                                   const Address& input) const;
  /// Results as they lie, where all results lie in one piece.
  std::optional<std::vector<Tensor>> evaluate(const KernelCall& call, std::int64_t first,
                                              const Address& input, Team& team) const;
  Tensor read_row_major(ValueId id, const OperandDesc& desc, std::int64_t first,
                        const Address& address) const;
  /// All results, in the order in which they lie (row-major where something lies between them).
  /// Into tensors of earlier reads, if there are any: fresh memory costs as much as the copy.
  void read_results(const Address& output, std::vector<Tensor>& results) const;
  /// One output of a part of the batch, as its expected one lies; `whole` as read_results() has it.
  Tensor read_sample(const Sample& sample, std::size_t output, const Tensor& whole,
                     const Address& address) const;
  Result<void> compare(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected,
                       const std::string& whose) const;

  Device& device_;
  const Graph& graph_;
  const NodeId id_;
  const Precision precision_;
  const std::int64_t begin_;
  const std::int64_t end_;
  const KernelCall call_;
  const double flop_;
  std::vector<Sample> samples_;
  std::optional<std::vector<Tensor>> expected_;  ///< as read_results() has them
  std::string expected_from_;
  std::vector<Tensor> actual_;  ///< scratch
};

}  // namespace gacer
