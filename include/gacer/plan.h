#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gacer {

/// An interval [begin, end) of the device's groups (cores; groups of SMs). Empty means all.
struct Budget {
  int begin = 0;
  int end = 0;
  bool is_all() const { return end <= begin; }
  int size(int num_groups) const { return is_all() ? num_groups : end - begin; }
  friend bool operator==(const Budget&, const Budget&) = default;
};

/// A range [begin, end) of a node's batch items.
struct Chunk {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

/// One node or chunk of one tenant, run in one prepared way.
struct Step {
  int tenant = 0;
  int node = 0;       ///< index in the tenant's graph
  int iteration = 0;  ///< below the tenant's `repeat`
  Chunk chunk;
  std::string variant;  ///< variant key
  Budget budget;
  int priority = 0;  ///< higher first
  friend bool operator==(const Step&, const Step&) = default;
};

/// Steps of one tenant that run in order, each after the one before it has finished.
struct Lane {
  int tenant = 0;
  std::vector<Step> steps;
  friend bool operator==(const Lane&, const Lane&) = default;
};

/// Names a step: lanes[lane].steps[index].
struct StepRef {
  int lane = 0;
  int index = 0;
  friend auto operator<=>(const StepRef&, const StepRef&) = default;
};

/// `after` starts only when `before` has finished. Edges that follow from data (a node reads what
/// another wrote) are implied and not listed.
struct SyncPoint {
  StepRef before;
  StepRef after;
  /// Edges of one barrier (the paper's pointer) share a number >= 0; a single edge has -1.
  int barrier = -1;
  friend bool operator==(const SyncPoint&, const SyncPoint&) = default;
};

/// How a plan is launched.
enum class LaunchMode : std::uint8_t {
  kMerged,      ///< one round program of all tenants
  kFreeRunning  ///< a tenant program each, side by side, left to the device to share
};

/// What a plan was made for, per tenant; a mismatch is refused.
struct PlanTenant {
  std::string name;
  std::string model;  ///< as given: "zoo:resnet50"
  std::string mode = "infer";
  std::string precision = "f32";
  std::int64_t batch = 1;
  std::map<std::string, std::int64_t> dims;  ///< other dynamic dimensions, by name
  int priority = 0;                          ///< as given
  int repeat = 1;
  std::string fingerprint;
  /// Per node: output name and op signature, so that a plan can be read and checked by itself.
  std::vector<std::string> node_names;
  std::vector<std::string> node_signatures;
  friend bool operator==(const PlanTenant&, const PlanTenant&) = default;
};

/// All lanes, steps and sync points of a round. A plain value with a JSON form.
struct Plan {
  std::string policy;
  std::uint64_t seed = 0;
  LaunchMode mode = LaunchMode::kMerged;
  std::string device_id;  ///< DeviceInfo::profile_id()
  int num_groups = 1;
  std::vector<PlanTenant> tenants;
  std::vector<Lane> lanes;
  std::vector<SyncPoint> sync_points;
  /// Free text for people: what the search did, predicted time, what each knob bought.
  std::map<std::string, std::string> notes;

  const Step& step(StepRef ref) const {
    return lanes[static_cast<std::size_t>(ref.lane)].steps[static_cast<std::size_t>(ref.index)];
  }
  std::size_t num_steps() const;
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// Counts that reports and `explain` show.
struct PlanSummary {
  std::size_t steps = 0;
  std::size_t chunks = 0;   ///< steps that run less than their node's whole batch
  std::size_t budgets = 0;  ///< distinct budgets other than "all"
  std::size_t sync_points = 0;
  std::size_t barriers = 0;
  std::size_t priorities = 0;  ///< distinct priorities
};
PlanSummary summarize(const Plan& plan);

/// JSON text of a plan (stable order, pretty-printed) and back. Error{kPlan} names the JSON path
/// of what is missing, of the wrong type, or out of range.
std::string to_json(const Plan& plan);
Plan parse_plan(const std::string& json);

/// Reads or writes (temporary name, then renamed) a plan file. Error{kIo}.
Plan load_plan(const std::string& path);
void save_plan(const Plan& plan, const std::string& path);

}  // namespace gacer
