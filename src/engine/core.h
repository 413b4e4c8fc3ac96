#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gacer/engine.h>

#include "base/precision.h"
#include "cost/contention.h"
#include "engine/check.h"
#include "engine/compile.h"
#include "engine/evaluator.h"
#include "engine/measuring_process.h"
#include "engine/placed_tenant.h"
#include "engine/profiler.h"
#include "engine/tenant_io.h"
#include "plan/problem.h"
#include "profile/profile.h"
#include "profile/profile_db.h"
#include "search/search.h"

namespace gacer {

/// What Engine is made of, open to tests: one device, its tenants, their rows, plans and programs.
class EngineCore {
 public:
  explicit EngineCore(EngineOptions options);
  /// The same on a device of the caller's; the options' own is not opened.
  EngineCore(EngineOptions options, std::unique_ptr<Device> device);

  Device& device() { return *device_; }
  const Device& device() const { return *device_; }
  const EngineOptions& options() const { return options_; }
  const std::vector<std::unique_ptr<PlacedTenant>>& tenants() const { return tenants_; }
  const std::vector<TenantInfo>& infos() const { return infos_; }
  const Problem& problem() const { return problem_; }
  const ProfileTable& rows() const { return rows_; }
  /// Whose rows they are in the profile: the device with its libraries, gacer's own version and the
  /// set of kernels.
  std::string profile_key() const;
  Compiler& compiler() { return compiler_; }

  int add_tenant(const TenantSpec& spec);
  /// The same for a graph in memory; `spec.model` only names it and must be new.
  int add_graph(const TenantSpec& spec, Graph graph);
  /// Error{kUsage} when the index is not a tenant's.
  const PlacedTenant& tenant(int index) const;

  /// Measures missing rows; seconds.
  double profile();
  /// Reads the rows that there are and measures nothing.
  void load_rows();
  /// Nodes that have no row that can be used.
  std::size_t count_nodes_without_rows() const;
  /// A policy's plan from these rows and the model alone. Every node must have a row.
  Plan plan_from_rows(const std::string& policy);
  /// Any policy but "auto". What it measures is kept for the searches that follow, until
  /// forget_measurements().
  Plan search(const std::string& policy, const PolicyLimits& limits);
  /// Whether a variant of the plan was usable once and is rejected now: a later search has found it
  /// to be wrong beside others.
  bool names_rejected(const Plan& plan) const;
  /// gacer, unless the best simple policy is as fast.
  Plan search_guarded(const PolicyLimits& limits);
  void forget_measurements() { evaluator_.reset(); }
  Plan baseline() { return make_baseline(); }

  std::unique_ptr<CompiledPlan> compile(const Plan& plan);
  /// A checker that has its reference outputs.
  Checker& checker();
  /// Whether a plan computes what the baseline computes, up to what rounding does to the models.
  CheckResult check(CompiledPlan& compiled);
  /// Measures the device's peaks in this engine's precision, once, where it does not know them.
  void find_peaks();
  bool can_check() const { return !is_recorded(); }
  bool is_recorded() const { return device_->info().kind == "sim"; }
  std::optional<double> predict(const Plan& plan);

  void set_input(int tenant, const std::string& name, const Tensor& value);
  /// Puts the inputs back after checks, which use their own.
  void restore_inputs();

  void report(const std::string& phase, std::int64_t done, std::int64_t total,
              const std::string& detail = {}) const;
  void warn(const std::string& text) const;
  void check_cancelled(const char* what) const;
  void require_tenants() const;

 private:
  struct Opened {
    ModelReader reader;  ///< begins before the device is opened
    std::unique_ptr<Device> device;
  };
  EngineCore(EngineOptions options, Opened opened);
  Plan make_baseline() const;
  /// Begins to build the variants that searches choose from.
  void build_ahead();
  Plan search_once(const Policy& found, const std::string& policy, const PolicyLimits& limits);
  /// Drops the rows of steps whose variant no kernel offers; false when there are none.
  bool forget_stale_rows(const Plan& plan);
  /// Compares the steps of a plan with lone ones. Drops the rows of variants that were found to
  /// give other results beside others; false when there are none.
  bool reject_races(const Plan& plan);
  int place(const TenantSpec& named, const LoadedModel& model);
  /// Of a simulated device; else empty.
  std::string recording_path() const;
  void open_profile();
  /// Once, before the first row is measured: of rows that other versions have left.
  void warn_of_unused_rows();
  /// Missing rows come from processes that may crash; what crashed them is quarantined.
  void profile_in_child();
  void profile_here();
  std::vector<ProfileTask> missing_rows() const;
  void profile_tasks(const std::string& phase);
  void require_rows() const;

  EngineOptions options_;
  Precision precision_;
  std::unique_ptr<Device> device_;
  ModelLoader loader_;
  std::vector<std::unique_ptr<PlacedTenant>> tenants_;
  std::vector<TenantInfo> infos_;
  Problem problem_;
  std::optional<Announcer> announcer_;
  std::optional<ProfileDb> db_;
  ProfileTable rows_;
  bool is_profile_open_ = false;
  bool has_measured_peaks_ = false;
  bool are_unused_rows_said_ = false;
  bool is_measured_out_ = false;       ///< a child had its turn: what is missing cannot be measured
  std::shared_ptr<RoundWatch> watch_;  ///< null: nobody wants to be told
  Compiler compiler_;
  std::optional<Checker> checker_;
  std::optional<Contention> contention_;      ///< that a search was fitted to last
  std::optional<DeviceEvaluator> evaluator_;  ///< of the searches of these tenants
  RoundInputs inputs_;
};

/// Policies that need no regulation: what the guard compares with.
const std::vector<std::string>& simple_policies();
bool is_simple(const std::string& policy);

/// XDG_CACHE_HOME, or ~/.cache, with gacer/profile.sqlite. Empty when neither is known.
std::string default_profile_path();

}  // namespace gacer
