#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/node_oracle.h"
#include "engine/profiler.h"

namespace gacer {

/// Times variants of one node or chunk on memory of its own: random operands, one set per copy that
/// runs side by side. Checks each variant's outputs once (where it is tied to a width, at each).
class ProfileBench {
 public:
  /// References outlive the bench.
  ProfileBench(Device& device, const PlacedTenant& tenant, NodeId node,
               std::optional<ChunkRange> range, ConstantStore& constants,
               const ProfileLimits& limits);

  /// Fills solo_ms, saturated_ms, workspace, launches and footprint, or the reason for a
  /// rejection. `best_ms` (0: unknown) is the best solo time at this width: a variant that is far
  /// from it is timed twice and not saturated.
  void measure(const KernelImpl& impl, const KernelCall& call, double best_ms, ProfileRow& row);

  /// Rejects a variant that does not give the same bits whenever it runs: copies of it run side by
  /// side, for as long as the limits say, and each result is compared with that of a lone run.
  /// Precondition: a row of measure(), not rejected.
  void check_repeats(ProfileRow& row);

 private:
  /// Operands of one copy, by storage: inputs and outputs apart, even where the graph keeps them in
  /// one buffer.
  struct Operands {
    std::map<ValueId, std::unique_ptr<Buffer>> inputs;
    std::map<ValueId, std::unique_ptr<Buffer>> outputs;
    std::unique_ptr<Buffer> workspace;
  };

  Operands& operands(std::size_t copy);
  void fill_random(const Value& storage, ValueId id, Buffer& buffer);
  Bindings bind(Operands& operands, const Kernel& kernel) const;
  std::unique_ptr<Capture> capture(std::size_t copy, const Kernel& kernel);

  /// How many copies of a variant fill the device, or fit into the memory for copies.
  std::int64_t count_copies(const ProfileRow& row) const;
  /// Adds captures of more copies until there are `count`, or as many as there is memory for.
  void capture_copies(std::int64_t count, const Kernel& kernel,
                      std::vector<std::unique_ptr<Capture>>& captures);

  /// Milliseconds of one call of a chain of `first` or, where a second use costs more, of captures
  /// like it.
  double time_alone(const Kernel& kernel, const Capture& first, int width, double estimate_ms);
  /// Milliseconds of one call while chains of all captures run side by side, over their number.
  double time_copies(const Kernel& kernel, const std::vector<std::unique_ptr<Capture>>& captures,
                     int width, double estimate_ms);
  /// Milliseconds of a program whose calls take about `estimate_ms` each.
  double time_steps(std::span<const ProgramStep> steps, double estimate_ms);
  std::vector<ProgramStep> make_steps(std::span<const std::unique_ptr<Capture>> captures, int width,
                                      int repeats) const;
  Budget budget_of(std::size_t copy, int width) const;
  Result<void> compare_repeats(const ProfileRow& row);
  /// Compare a copy's outputs with those that copy 0, which comes first, has now.
  std::vector<std::unique_ptr<Capture>> capture_comparisons(const Kernel& kernel, int width,
                                                            std::size_t copy, RowDifference* found);
  /// Where kernels that compare run, beside a variant of that width.
  Budget budget_to_compare(std::size_t copy, int width) const;
  /// Whether what the last run left in copy 0 is right.
  Result<void> check_outputs();
  /// Makes outputs, what lies behind them and the workspace no numbers.
  void poison();
  /// Refuses a variant that wrote behind its results (or the chunk of them that it computes).
  Result<void> check_tails() const;

  Device& device_;
  const PlacedTenant& tenant_;
  const Graph& graph_;
  const Node& node_;
  std::optional<ChunkRange> range_;
  ConstantStore& constants_;
  ProfileLimits limits_;
  KernelCall call_;
  NodeOracle oracle_;
  std::vector<std::unique_ptr<Operands>> copies_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::map<std::string, const Kernel*> kernel_of_;       ///< by variant
  std::map<std::size_t, std::unique_ptr<Buffer>> kept_;  ///< outputs of a lone run
  std::set<std::pair<std::string, int>> checked_;        ///< variants and widths; 0: at any
};

}  // namespace gacer
