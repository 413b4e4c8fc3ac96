#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"
#include "engine/compile.h"
#include "engine/placed_tenant.h"
#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

class ProfileBench;

/// What who stops profiling is told.
inline constexpr const char* kProfilingStopped = "profiling was stopped; what was measured is kept";

/// How long to measure one variant. Cheap steps of large models need no more.
struct ProfileLimits {
  int min_runs = 3;
  DeviceTiming timing;
  /// Bytes of operands that side-by-side copies may take.
  std::int64_t copies_bytes = std::int64_t{1} << 30;
};

/// One kind of work to measure: any node with this signature stands for all of them.
struct ProfileTask {
  int tenant = 0;
  NodeId node = 0;
  std::string signature;
  std::int64_t items = 1;
  int count = 1;  ///< runs of it in a round
  double work = 0;
  std::vector<int> widths = {};  ///< of Device::solo_widths(); empty: all of Device::widths()
};

/// Measures variants of nodes alone and side by side, on memory of their own.
class Profiler {
 public:
  /// References outlive the profiler.
  Profiler(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
           ConstantStore& constants, ProfileLimits limits = {})
      : device_(device), tenants_(tenants), constants_(constants), limits_(limits) {}

  /// Lets kernels begin to build what measure() will ask for, side by side.
  void prepare_ahead(const ProfileTask& task, const std::vector<std::string>& only = {}) const;

  std::function<void(const ProfileRow&)> on_row;  ///< called for each row, rejected ones too
  /// Called around the work on one variant, with nothing but its name; the second call only if the
  /// device survived it.
  std::function<void(const ProfileRow&)> on_begin;
  std::function<void()> on_end;
  /// Rows so far: variants that are quarantined or unsteady there are left out.
  const ProfileTable* known = nullptr;
  const std::atomic<bool>* is_cancelled = nullptr;

  /// All variants at all widths of a task, without those on narrow widths that others beat by far
  /// on the widest. `only` restricts them to these keys when not empty and one of them exists. A
  /// task with widths of its own takes exactly these keys, as far as `known` has no row of them
  /// there, and their areas from `known`. Returns the rows. Error{kInterrupted} between two
  /// variants: then nothing of the task is reported. Error{kDevice} when a variant leaves the
  /// device unusable: then that row alone is reported, quarantined.
  std::vector<ProfileRow> measure(const ProfileTask& task,
                                  const std::vector<std::string>& only = {});

 private:
  struct Candidate;

  /// Work on one variant, which may reject its row. Error{kDevice} when the device is lost by it.
  template <typename Work>
  void announce(ProfileRow& row, const Work& work);
  /// One variant at one width, in its row.
  void measure_one(ProfileBench& bench, const KernelImpl& impl, const KernelCall& call,
                   double best_ms, ProfileRow& row);
  /// Rejects variants of a whole node whose results are not the same in every run: of those that
  /// plans may choose, for no other is as fast and as small.
  void reject_races(ProfileBench& bench, std::vector<ProfileRow>& rows);
  bool is_set_aside(const ProfileTask& task, const Candidate& candidate) const;
  std::vector<Candidate> find_candidates(const ProfileTask& task, const KernelCall& call,
                                         const std::vector<std::string>& only) const;
  std::vector<Candidate> find_solo_candidates(const ProfileTask& task, const KernelCall& call,
                                              const std::vector<std::string>& only) const;
  bool is_hopeless(const Candidate& candidate, const std::string& op, double best_ms) const;
  void repeat_if_close(ProfileBench& bench, const KernelImpl& impl, const KernelCall& call,
                       double best_ms, ProfileRow& row);
  void check_cancelled() const;

  Device& device_;
  const std::vector<std::unique_ptr<PlacedTenant>>& tenants_;
  ConstantStore& constants_;
  ProfileLimits limits_;
  /// How much slower than the best variant an implementation was at least, by its name and the
  /// operator; from tasks that were long enough to tell.
  std::map<std::pair<std::string, std::string>, double> slowdown_;
};

/// What the tenants' nodes need that `rows` lack. First all nodes whole, smallest work first; when
/// none of those is missing, also chunks (halves and quarters) of the nodes that take at least one
/// percent of the tenants' time; then those nodes whole on `solo_widths` (Device::solo_widths()).
std::vector<ProfileTask> find_missing_rows(const Problem& problem, const ProfileTable& rows,
                                           const std::vector<int>& solo_widths = {});

/// The variants of so many items of a node that are worth measuring on chunks and on more widths,
/// or building before they are asked for: the best of each width, alone or by area.
std::vector<std::string> promising_variants(const ProfileTable& rows, const std::string& signature,
                                            std::int64_t items);

}  // namespace gacer
