#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gacer/device_info.h>
#include <gacer/plan.h>
#include <gacer/policy.h>
#include <gacer/tenant.h>
#include <gacer/tensor.h>

namespace gacer {

/// One step of long work, for progress bars.
struct Progress {
  std::string phase;  ///< "profile", "search gacer", "measure"
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string detail;
};

struct EngineOptions {
  std::string device = "cpu";       ///< "cpu", "cuda:0", "sim:FILE"
  std::string device_options = {};  ///< backend-specific: "impl=plain", "threads=2"
  std::string precision = "f32";    ///< f32 | tf32 | fp16 | bf16
  std::string profile_path = {};    ///< SQLite file; empty: in the user's cache directory
  bool use_profile = true;          ///< false: measure all, keep nothing
  std::uint64_t seed = 1;
  std::vector<std::string> disabled_passes = {};
  /// Tenants that will be added: their models are read while the device is opened. What is wrong
  /// with them add_tenant() says.
  std::vector<TenantSpec> read_ahead = {};
  /// A command (a path and arguments) that brings a profile up to date for the same tenants in a
  /// process of its own, which a kernel may crash or hang: `gacer profile MODEL… --db
  /// PROFILE_PATH` and what else these options say. "--announce 3" is added, and "--db FILE" where
  /// the user's cache directory cannot be written. Empty: this process measures. Without a profile
  /// this process measures, too.
  std::vector<std::string> measuring_command = {};
  /// That process's own side: a descriptor on which it tells what it is measuring; -1: none.
  int announce_descriptor = -1;
  std::function<void(const Progress&)> on_progress = {};
  /// What a user should know though work goes on: a profile that was corrupt and is begun anew, a
  /// variant that crashed.
  std::function<void(const std::string&)> on_warning = {};
  const std::atomic<bool>* is_cancelled = nullptr;  ///< long work stops with Error{kInterrupted}
  /// A round that takes longer is told to on_stuck, on a thread of its own; 0: none. Whoever waits
  /// for a device that hangs waits for ever, so all that is left to do there is to end the process.
  std::chrono::milliseconds round_limit{0};
  std::function<void(const std::string&)> on_stuck = {};
};

/// What one tenant's part of a measurement says.
struct TenantResult {
  std::string name;
  double latency_median_ms = 0;  ///< from the round's start to the tenant's last step
  double latency_p95_ms = 0;
  double items_per_s = 0;
};

/// One plan, checked and measured.
struct PolicyResult {
  std::string policy;
  Plan plan;
  double predicted_ms = 0;
  double min_ms = 0, median_ms = 0, p95_ms = 0;
  int rounds = 0;
  std::vector<TenantResult> tenants;
  double utilization = 0;      ///< of the device's area, from a traced round
  double residue = 0;          ///< 1 - utilization
  bool is_checked = false;     ///< false: not asked for, or a simulated device has no numbers
  bool outputs_match = false;  ///< within the precision's tolerance; false when not checked
  double max_rel_error = 0;    ///< against a sequential plan, of each tensor's scale
  int launches = 0;
  PlanSummary summary;
  double search_s = 0;
  /// A traced round: which step ran when and where.
  struct Span {
    int tenant = 0;
    std::string node;
    std::string variant;
    int unit_begin = 0, unit_end = 0;
    Chunk chunk;
    double begin_ms = 0, end_ms = 0;
  };
  std::vector<Span> timeline;
};

/// Kernels on one set of the device's units in one round of the chosen plan, as the vendor's
/// profiler saw them. A row without expected kernels holds what ran elsewhere.
struct Placement {
  Budget budget;  ///< in groups
  int units = 0;  ///< multiprocessors of that set
  int expected_kernels = 0;
  int seen_kernels = 0;
  double busy_ms = 0;  ///< sum of the kernels' times, each timed by itself
};

struct TenantInfo {
  std::string name, model, mode, precision;
  std::int64_t batch = 1;
  std::int64_t weights_bytes = 0;
  std::int64_t arena_bytes = 0;
  int nodes = 0;
};

/// The result of `compare` (several policies, interleaved) or `run` (one).
struct Comparison {
  DeviceInfo device;
  double foreign_load = 0;  ///< cores' worth of other processes' work while measuring
  std::vector<TenantInfo> tenants;
  std::vector<PolicyResult> policies;
  double critical_path_ms = 0, flop_ms = 0, bytes_ms = 0, area_estimate_ms = 0;  ///< bounds
  std::string chosen;       ///< policy whose plan would be used
  std::string best_simple;  ///< of sequential, streams, partition
  bool regulated_won = false;
  int guard_turns = 0;  ///< that were judged; 0 when one kind of plan was missing
  /// What the regulated plan gains over the best simple one, turn by turn.
  std::optional<double> guard_gain_ms;
  /// What the gain had to exceed; empty also when the turns were too few to tell.
  std::optional<double> guard_noise_ms;
  double profile_s = 0, plan_s = 0;
  std::vector<Placement> placement;  ///< where asked for
};

struct MeasureOptions {
  int min_rounds = 7;
  std::chrono::milliseconds time{2000};  ///< per policy, interleaved
  bool check = true;                     ///< poisoned, fresh inputs, against sequential
  /// Fill Comparison::placement; a warning on devices that cannot tell.
  bool observe_placement = false;
  /// measure(): also plan and measure the simple policies. False needs no profile.
  bool beside_simple = true;
};

/// What a loaded plan costs beside its rounds.
struct LoadCosts {
  double assemble_ms = 0;  ///< from a plan to a program, everything prepared; median of several
  double launch_us = 0;    ///< host time of starting a round; median
};

/// A step's result that was not, bit by bit, what it is when a plan's steps run one after the
/// other. Positions are bytes of the result as if its elements lay side by side.
struct StepDifference {
  StepRef step;
  std::int64_t bytes = 0;  ///< that differed, in all rounds
  std::int64_t first = 0, last = 0;
  std::int64_t size = 0;  ///< of the result
};

/// Tenants on one device: profile, plan, compile, run. Not thread-safe; one engine a device.
class Engine {
 public:
  explicit Engine(EngineOptions options);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  const DeviceInfo& device() const;
  /// Loads, optimises and places a model. Returns the tenant's index. Errors as read_onnx;
  /// kOutOfMemory leaves the engine as it was.
  int add_tenant(const TenantSpec& spec);
  const std::vector<TenantInfo>& tenants() const;

  /// Names, types and shapes (batch included) of a tenant's model inputs and outputs.
  struct Port {
    std::string name;
    DType dtype = DType::kF32;
    Shape shape;
  };
  std::vector<Port> inputs(int tenant) const;
  std::vector<Port> outputs(int tenant) const;

  /// Measures rows that the tenants' nodes still lack. Rows are kept as they are measured, also
  /// when interrupted. Returns seconds spent.
  double profile();
  /// Writes the device's facts and the tenants' rows to a file that "sim:FILE" opens. Error{kIo}.
  void record(const std::string& path);
  /// Searches with a policy ("auto": gacer under the never-worse guard), profiling what is missing.
  Plan make_plan(const std::string& policy, const PolicyLimits& limits = {});
  /// Checks the plan against tenants and device (Error{kPlan}) and compiles it; unloads others.
  void load(const Plan& plan);
  /// The same beside the plans that are loaded. Returns its number; that of load() is 0.
  int load_also(const Plan& plan);
  const Plan& plan(int loaded = 0) const;

  /// Inputs hold until set again; unset inputs are seeded random. Error{kUsage} on a wrong name,
  /// type or shape, saying what is expected.
  void set_input(int tenant, const std::string& name, const Tensor& value);
  /// One round of a loaded plan; milliseconds.
  double run_round(int loaded = 0);
  /// Rounds of a loaded plan in which the result of every step is compared with what the same steps
  /// make one after the other. Where they differed first: what follows from that is left out. The
  /// first call needs memory for all results. Error{kUnsupported} on a device that computes
  /// nothing.
  std::vector<StepDifference> check_steps(int rounds, int loaded = 0);
  /// Compiles a loaded plan anew, which assembles its program from what is prepared; runs it.
  LoadCosts measure_costs(int loaded = 0);
  /// Bytes of all buffers on the device (arenas, weights, workspaces); 0 when it does not count.
  std::int64_t allocated_bytes() const;
  Tensor output(int tenant, const std::string& name) const;

  /// Measures policies interleaved and checked. "auto" stands for the simple policies and gacer.
  /// The fastest plan whose outputs match is chosen, a regulated one only if it wins beyond noise.
  Comparison compare(const std::vector<std::string>& policies, const MeasureOptions& measure = {},
                     const PolicyLimits& limits = {});
  /// Measures one given plan beside the simple policies, as compare() does.
  Comparison measure(const Plan& plan, const MeasureOptions& options = {});
  /// Text for `gacer explain`: the plan in words, with predicted and simple-policy times where the
  /// profile has rows. Measures nothing.
  std::string explain(const Plan& plan);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gacer
