#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gacer/plan.h>

#include "device/device.h"
#include "engine/placed_tenant.h"
#include "engine/round_watch.h"
#include "plan/problem.h"

namespace gacer {

/// A plan bound to a device: kernels prepared, launches captured, programs assembled. Keeps all
/// that it needs alive. Run at most once at a time; plans of one engine share the tenants' memory,
/// so only one of them runs at a time.
class CompiledPlan {
 public:
  const Plan& plan() const { return plan_; }
  /// One round; milliseconds.
  double run();
  /// Says that a round of the plan's steps is under way which somebody else runs.
  RoundWatch::Round watch_round() const {
    return {watch_.get(), [this] { return describe_failure(); }};
  }
  /// One round with time stamps, all tenants in one program; in the order of steps().
  std::vector<StepTime> run_traced();
  /// One round under the device's profiler, all tenants in one program (see Program).
  std::vector<PlacementRow> observe_placement();
  /// Host time that starting the last round took, in microseconds (see Program).
  double last_launch_us() const;
  int num_launches() const { return num_launches_; }

  /// The steps in a topological order with all their edges, and which step of the plan each is.
  const std::vector<ProgramStep>& steps() const { return steps_; }
  const std::vector<StepRef>& refs() const { return refs_; }
  /// Scratch memory of all lanes.
  const std::vector<std::shared_ptr<Buffer>>& workspaces() const { return workspaces_; }

 private:
  friend class Compiler;
  /// All steps in one program, which a free-running plan makes on first use.
  Program& whole();
  /// run(), watched, or its error with the plan that it happened in.
  template <typename Run>
  auto explain_failure_of(const Run& run);
  std::string describe_failure() const;

  Device* device_ = nullptr;
  std::string failed_plan_path_;
  std::shared_ptr<RoundWatch> watch_;
  Plan plan_;
  std::vector<ProgramStep> steps_;
  std::vector<StepRef> refs_;
  std::vector<std::shared_ptr<const Kernel>> kernels_;
  std::vector<std::shared_ptr<const Capture>> captures_;
  std::vector<std::shared_ptr<Buffer>> workspaces_;
  std::vector<std::unique_ptr<Program>> programs_;  ///< one, or one a tenant (free-running)
  std::unique_ptr<Program> traced_;                 ///< of a free-running plan, on first use
  int num_launches_ = 0;
};

/// Turns plans into programs. Kernels and captures are made once and kept for later plans, until
/// trim(). Replaying a plan needs no profile rows.
class Compiler {
 public:
  /// References outlive the compiler; tenants may be added, never moved.
  Compiler(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants)
      : device_(device), tenants_(tenants), constants_(device) {}

  /// Error{kPlan} for a plan that is illegal here or names a variant that no kernel knows.
  std::unique_ptr<CompiledPlan> compile(const Problem& problem, const Plan& plan);
  /// Lets kernels begin to build variants of so many items of a node, which a search may ask for.
  void prepare_ahead(int tenant, NodeId node, std::int64_t items,
                     const std::vector<std::string>& variants);
  /// Steps whose variant no kernel offers or builds (any more). The others' are built.
  std::vector<StepRef> find_unknown(const Problem& problem, const Plan& plan);
  /// A plan in whose round the device fails is kept here, for a look at it; empty: nowhere.
  void keep_failed_plan(const std::string& path) { failed_plan_path_ = path; }
  /// What looks after the rounds of plans that are compiled from now on.
  void set_watch(std::shared_ptr<RoundWatch> watch) { watch_ = std::move(watch); }
  /// Drops what no compiled plan uses: packed weights can be as large as the weights.
  void trim();

  ConstantStore& constants() { return constants_; }

 private:
  using KernelKey = std::tuple<std::string, NodeId, std::int64_t, std::string>;
  using CaptureKey = std::tuple<int, NodeId, std::int64_t, std::int64_t, std::string, const void*>;

  /// Calls visit(step, ref, call, impl) for each step whose kernel is not made yet.
  template <typename Visit>
  void for_each_new(const Plan& plan, const Visit& visit);
  /// Lets kernels begin to build, side by side, what the plan lacks.
  void prepare_ahead(const Plan& plan);
  /// find_variant(), asked once: listing a node's variants takes long.
  Result<const KernelImpl*> impl_of(const KernelKey& key, const Step& step, const KernelCall& call);
  std::shared_ptr<const Kernel> kernel_of(const Problem& problem, const Step& step);
  std::shared_ptr<const Capture> capture_of(const Step& step,
                                            const std::shared_ptr<const Kernel>& kernel,
                                            void* workspace);
  /// One scratch buffer a lane: steps of one lane are ordered, so they may share it.
  std::vector<std::shared_ptr<Buffer>> workspaces_of(const Plan& plan,
                                                     const std::vector<std::size_t>& bytes);
  void assemble(CompiledPlan& compiled);

  Device& device_;
  const std::vector<std::unique_ptr<PlacedTenant>>& tenants_;
  ConstantStore constants_;
  std::string failed_plan_path_;
  std::shared_ptr<RoundWatch> watch_;
  std::map<KernelKey, const KernelImpl*> impls_;  ///< found so far
  std::map<KernelKey, std::shared_ptr<const Kernel>> kernels_;
  std::map<CaptureKey, std::shared_ptr<const Capture>> captures_;
  std::map<std::pair<int, int>, std::shared_ptr<Buffer>> workspaces_;  ///< by tenant and its lane
};

/// The kernel that knows a variant key for a call, trying `width` first; or why there is none.
Result<const KernelImpl*> find_variant(const Device& device, const KernelCall& call,
                                       const std::string& variant, int width);

/// Addresses of a node's chunk. Constants that the kernel does not read stay null.
Bindings bind_step(const PlacedTenant& tenant, NodeId node, std::int64_t first_item,
                   const Kernel& kernel, ConstantStore& constants, void* workspace);

}  // namespace gacer
