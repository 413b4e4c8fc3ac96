// The profile of an engine: where its rows come from and who measures them.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>

#include <fmt/ranges.h>

#include <gacer/version.h>

#include "base/clock.h"
#include "base/error.h"
#include "engine/core.h"
#include "engine/profiler.h"
#include "engine/row_advice.h"
#include "profile/recording.h"

namespace gacer {
namespace {

constexpr std::string_view kSimPrefix = "sim:";
/// Variants that may take a process down before that counts as the device's own trouble.
constexpr int kMostQuarantined = 16;
/// Crashes between two variants, of a process that is started again all the same.
constexpr int kMostUnexplained = 2;

/// Beside the rows, unless these go with the process.
std::string failed_plan_path(const ProfileDb& db) {
  if (!db.is_temporary()) return db.path() + ".failed.plan.json";
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  return error ? "" : (folder / "gacer.failed.plan.json").string();
}

std::size_t count_quarantined(const ProfileTable& rows) {
  const std::vector<ProfileRow> all = rows.all();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), is_quarantined));
}

/// Whether there is a node without any row, rejected ones counted.
bool has_unmeasured_node(const Problem& problem, const ProfileTable& rows) {
  for (const ProblemTenant& tenant : problem.tenants)
    for (const ProblemNode& node : tenant.nodes)
      if (!rows.has(node.signature, node.batch) &&
          rows.rejected(node.signature, node.batch).empty())
        return true;
  return false;
}

ErrorKind kind_of(const MeasuringEnd& end) {
  for (const ErrorKind kind :
       {ErrorKind::kUsage, ErrorKind::kModel, ErrorKind::kOutOfMemory, ErrorKind::kIo})
    if (end.exit_code == exit_code(kind)) return kind;
  return ErrorKind::kDevice;
}

}  // namespace

std::string default_profile_path() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return std::string(cache) + "/gacer/profile.sqlite";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::string(home) + "/.cache/gacer/profile.sqlite";
}

std::string EngineCore::profile_key() const {
  const std::string set = device_->kernel_set();
  return fmt::format("{}|gacer={}{}{}", problem_.device.profile_id(), version(),
                     set.empty() ? "" : "|kernels=", set);
}

std::string EngineCore::recording_path() const {
  return options_.device.starts_with(kSimPrefix) ? options_.device.substr(kSimPrefix.size())
                                                 : std::string();
}

void EngineCore::open_profile() {
  if (is_profile_open_) return;
  is_profile_open_ = true;
  if (const std::string recording = recording_path(); !recording.empty()) {
    rows_ = load_recording(recording).rows;
    return;
  }
  if (!options_.use_profile) return;
  // Who names a file wants it kept; the usual place may be missing (a container, a service).
  if (options_.profile_path.empty())
    db_.emplace(default_profile_path(), ProfileDb::Unwritable::kCopy);
  else
    db_.emplace(options_.profile_path);
  if (db_->is_temporary() && !options_.measuring_command.empty())
    options_.measuring_command.insert(options_.measuring_command.end(), {"--db", db_->path()});
  compiler_.keep_failed_plan(failed_plan_path(*db_));
  for (const std::string& warning : db_->warnings()) warn(warning);
  rows_ = db_->load(profile_key());
}

std::vector<ProfileTask> EngineCore::missing_rows() const {
  return find_missing_rows(problem_, rows_, device_->solo_widths());
}

void EngineCore::profile_tasks(const std::string& phase) {
  const std::vector<ProfileTask> tasks = missing_rows();
  ProfileLimits limits;
  limits.timing = device_->timing();
  Profiler profiler(*device_, tenants_, compiler_.constants(), limits);
  profiler.is_cancelled = options_.is_cancelled;
  profiler.known = &rows_;
  if (announcer_) {
    profiler.on_begin = [&](const ProfileRow& row) { announcer_->begin(row); };
    profiler.on_end = [&] { announcer_->end(); };
  }
  const std::string key = profile_key();
  std::set<std::string> without_memory;
  profiler.on_row = [&](const ProfileRow& row) {
    rows_.add(row);
    // Memory may be there another time.
    if (lacked_memory(row))
      without_memory.insert(row.variant);
    else if (db_)
      db_->store(key, row);
  };
  const auto node_of = [&](const ProfileTask& task) -> const ProblemNode& {
    return problem_.tenants[static_cast<std::size_t>(task.tenant)]
        .nodes[static_cast<std::size_t>(task.node)];
  };
  const auto only_of = [&](const ProfileTask& task) {
    const ProblemNode& node = node_of(task);
    const bool is_whole = task.items == node.batch && task.widths.empty();
    return is_whole ? std::vector<std::string>{}
                    : promising_variants(rows_, node.signature, node.batch);
  };
  if (device_->compiles_variants())
    for (const ProfileTask& task : tasks) profiler.prepare_ahead(task, only_of(task));
  std::int64_t done = 0;
  try {
    for (const ProfileTask& task : tasks) {
      const ProblemNode& node = node_of(task);
      report(phase, done++, static_cast<std::int64_t>(tasks.size()),
             fmt::format("{} '{}', {} items", node.op, node.name, task.items));
      profiler.measure(task, only_of(task));
      // A task is kept whole: a crash in the next one must not leave a part of it.
      if (db_) db_->flush();
    }
  } catch (...) {
    if (db_) db_->flush();
    throw;
  }
  if (!tasks.empty()) report(phase, done, done);
  if (!without_memory.empty())
    warn(
        fmt::format("{} variants of these models found no memory on {} and are left out, {} first; "
                    "a new profile with more memory free has them",
                    without_memory.size(), problem_.device.name, *without_memory.begin()));
}

void EngineCore::require_rows() const {
  for (const ProblemTenant& tenant : problem_.tenants) {
    for (const ProblemNode& node : tenant.nodes) {
      if (rows_.has(node.signature, node.batch)) continue;
      std::string reasons;
      const auto rejected = rows_.rejected(node.signature, node.batch);
      for (const ProfileRow& row : rejected)
        reasons += fmt::format("\n  {}: {}", row.variant, row.rejected);
      if (is_recorded() && rejected.empty())
        fail(ErrorKind::kUsage,
             "the recording '{}' of {} has no rows for tenant '{}' (batch {}, {}): none for node "
             "'{}' ({}); {}",
             recording_path(), problem_.device.name, tenant.identity.name, tenant.identity.batch,
             tenant.identity.precision, node.name, node.op,
             advise_recording(tenant.identity.model, tenant.identity.batch, tenant.identity.dims,
                              tenant.identity.precision));
      // With memory another variant might work.
      const bool lacks_memory = std::any_of(rejected.begin(), rejected.end(), lacked_memory);
      fail(lacks_memory ? ErrorKind::kOutOfMemory : ErrorKind::kUnsupported,
           "node '{}' ({}) of tenant '{}' has no variant that works on {}{}", node.name, node.op,
           tenant.identity.name, problem_.device.name,
           reasons.empty() ? " (no row in the profile)" : reasons);
    }
  }
}

void EngineCore::profile_here() {
  profile_tasks("profile");
  require_rows();
  profile_tasks("profile chunks");
  profile_tasks("profile widths");
}

void EngineCore::profile_in_child() {
  using How = MeasuringEnd::How;
  MeasuringOptions listening;
  listening.on_progress = options_.on_progress;
  listening.on_warning = options_.on_warning;
  listening.is_cancelled = options_.is_cancelled;
  int set_aside = 0;
  int unexplained = 0;
  bool was_asked_again = false;
  while (!is_measured_out_ && !missing_rows().empty()) {
    const MeasuringEnd end = run_measuring_process(options_.measuring_command, listening);
    const std::size_t before = count_quarantined(rows_);
    rows_ = db_->load(profile_key());
    // A node that nothing runs is reported by the one who asked.
    if (end.how == How::kDone || end.exit_code == exit_code(ErrorKind::kUnsupported)) {
      // Rows that it found may since have been forgotten by another user of the file.
      if (!was_asked_again && has_unmeasured_node(problem_, rows_)) {
        was_asked_again = true;
        continue;
      }
      is_measured_out_ = true;
      return;
    }
    if (end.how == How::kInterrupted) fail(ErrorKind::kInterrupted, "{}", kProfilingStopped);
    if (end.how != How::kFailed && end.last) {
      ProfileRow row = *end.last;
      row.rejected = quarantine_text(end.text);
      db_->store(profile_key(), row);
      db_->flush();
      rows_.add(std::move(row));
    }
    // Where the device was lost, the process itself has set the variant aside.
    const bool is_explained = count_quarantined(rows_) > before;
    ++(is_explained ? set_aside : unexplained);
    // A device that is nearly full or lets one process in has no room for another.
    const bool lacks_memory = end.exit_code == exit_code(ErrorKind::kOutOfMemory);
    if (end.how == How::kFailed && (!end.has_begun || lacks_memory)) {
      warn(fmt::format("another process cannot measure, so this one does: {}", end.text));
      return profile_here();
    }
    const bool may_go_on = is_explained || end.how != How::kFailed;
    if (!may_go_on || set_aside > kMostQuarantined || unexplained > kMostUnexplained)
      fail(kind_of(end), "the process that measures failed: {}\n  command: {}", end.text,
           fmt::join(options_.measuring_command, " "));
    warn(is_explained
             ? fmt::format("a variant took its process down and is set aside: {}", end.text)
             : fmt::format("measuring starts anew after a crash: {}", end.text));
  }
}

void EngineCore::warn_of_unused_rows() {
  // A process that measures for another one leaves it to that one.
  if (!db_ || announcer_ || are_unused_rows_said_) return;
  const std::vector<ProfileTask> tasks = missing_rows();
  if (tasks.empty()) return;
  are_unused_rows_said_ = true;
  if (const std::string text = describe_unused_rows(*db_, profile_key(), tasks); !text.empty())
    warn(text);
}

double EngineCore::profile() {
  require_tenants();
  const auto begin = std::chrono::steady_clock::now();
  open_profile();
  if (!is_recorded()) {
    warn_of_unused_rows();
    if (db_ && !options_.measuring_command.empty())
      profile_in_child();
    else
      profile_here();
  }
  require_rows();
  return seconds_since(begin);
}

void EngineCore::load_rows() {
  require_tenants();
  open_profile();
}

std::size_t EngineCore::count_nodes_without_rows() const {
  std::size_t missing = 0;
  for (const ProblemTenant& tenant : problem_.tenants)
    for (const ProblemNode& node : tenant.nodes)
      if (!rows_.has(node.signature, node.batch)) ++missing;
  return missing;
}

bool EngineCore::forget_stale_rows(const Plan& plan) {
  if (is_recorded()) return false;  // could not be measured anew
  const std::vector<StepRef> unknown = compiler_.find_unknown(problem_, plan);
  for (const StepRef ref : unknown) {
    const Step& step = plan.step(ref);
    const ProblemNode& node = problem_.tenants[static_cast<std::size_t>(step.tenant)]
                                  .nodes[static_cast<std::size_t>(step.node)];
    warn(fmt::format("no kernel offers '{}' any more: '{}' is measured anew", step.variant,
                     node.name));
    rows_.erase(node.signature, step.chunk.size());
    if (db_) db_->erase(profile_key(), node.signature, step.chunk.size());
  }
  if (!unknown.empty()) {
    evaluator_.reset();
    is_measured_out_ = false;
  }
  return !unknown.empty();
}

}  // namespace gacer
