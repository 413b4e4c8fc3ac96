#include "engine/profiler.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "engine/profile_bench.h"
#include "ops/op_def.h"

namespace gacer {

struct Profiler::Candidate {
  const KernelImpl* impl = nullptr;
  std::string key;
  int width = 1;
  std::string refusal;      ///< why there is no impl, if there is none
  double saturated_ms = 0;  ///< when it is known
};

/// Whether a variant was measured at a width, or found not to work there.
static bool is_measured_at(const ProfileTable& rows, const std::string& signature,
                           std::int64_t items, const std::string& variant, int width) {
  const auto rejected = rows.rejected(signature, items);
  return rows.find(signature, items, variant, width) != nullptr ||
         std::any_of(rejected.begin(), rejected.end(), [&](const ProfileRow& row) {
           return row.variant == variant && row.width == width;
         });
}

std::vector<Profiler::Candidate> Profiler::find_solo_candidates(
    const ProfileTask& task, const KernelCall& call, const std::vector<std::string>& only) const {
  require(known != nullptr, "known variants are measured at more widths");
  std::vector<Candidate> candidates;
  for (const std::string& key : only) {
    double saturated_ms = 0;
    for (const ProfileRow& row : known->rows(task.signature, task.items))
      if (saturated_ms == 0 && row.variant == key) saturated_ms = row.saturated_ms;
    for (const int width : task.widths) {
      if (is_measured_at(*known, task.signature, task.items, key, width)) continue;
      const Result<const KernelImpl*> impl = find_variant(device_, call, key, width);
      candidates.push_back(
          {impl ? *impl : nullptr, key, width, impl ? std::string() : impl.reason(), saturated_ms});
    }
  }
  return candidates;
}

std::vector<Profiler::Candidate> Profiler::find_candidates(
    const ProfileTask& task, const KernelCall& call, const std::vector<std::string>& only) const {
  if (!task.widths.empty()) return find_solo_candidates(task, call, only);
  std::vector<Candidate> all;
  std::vector<Candidate> chosen;
  // Widest first: the fastest times come early and spare hopeless variants their measurement.
  std::vector<int> widths = device_.widths();
  std::sort(widths.rbegin(), widths.rend());
  for (const int width : widths) {
    std::set<std::string> seen;
    for (const KernelImpl* impl : device_.kernels()) {
      if (!impl->supports(call)) continue;
      for (std::string& key : impl->variants(call, width)) {
        if (!seen.insert(key).second) continue;
        all.push_back({impl, key, width, {}, 0});
        if (std::find(only.begin(), only.end(), key) != only.end()) chosen.push_back(all.back());
      }
    }
  }
  return chosen.empty() ? all : chosen;
}

void Profiler::prepare_ahead(const ProfileTask& task, const std::vector<std::string>& only) const {
  const PlacedTenant& tenant = *tenants_[static_cast<std::size_t>(task.tenant)];
  const KernelCall call = make_call(tenant.graph(), task.node, tenant.precision,
                                    tenant.chunk_range(task.node, {0, task.items}));
  std::map<const KernelImpl*, std::vector<std::string>> keys;
  for (const Candidate& candidate : find_candidates(task, call, only))
    if (candidate.impl != nullptr) keys[candidate.impl].push_back(candidate.key);
  for (const auto& [impl, variants] : keys) impl->prepare_ahead(call, variants);
}

bool Profiler::is_hopeless(const Candidate& candidate, const std::string& op,
                           double best_ms) const {
  constexpr double kMuchSlower = 8;
  constexpr double kWorthSkippingMs = 3;
  const auto entry = slowdown_.find({std::string(candidate.impl->name()), op});
  return entry != slowdown_.end() && entry->second > kMuchSlower &&
         entry->second * best_ms > kWorthSkippingMs;
}

bool Profiler::is_set_aside(const ProfileTask& task, const Candidate& candidate) const {
  if (known == nullptr) return false;
  const auto rejected = known->rejected(task.signature, task.items);
  return std::any_of(rejected.begin(), rejected.end(), [&](const ProfileRow& row) {
    if (row.variant != candidate.key) return false;
    return is_unsteady(row) || (is_quarantined(row) && row.width == candidate.width);
  });
}

template <typename Work>
void Profiler::announce(ProfileRow& row, const Work& work) {
  if (on_begin) on_begin(row);
  work();
  if (!row.rejected.empty() && !device_.is_usable()) {
    const std::string reason = row.rejected;
    row.rejected = quarantine_text(reason);
    if (on_row) on_row(row);
    fail(ErrorKind::kDevice,
         "the device is lost since variant '{}' was measured: {}\n"
         "  it is set aside; what was measured before is kept, a repeat goes on from there",
         row.variant, reason);
  }
  if (on_end) on_end();
}

void Profiler::measure_one(ProfileBench& bench, const KernelImpl& impl, const KernelCall& call,
                           double best_ms, ProfileRow& row) {
  announce(row, [&] { bench.measure(impl, call, best_ms, row); });
}

/// Whether another usable row of its width is faster and smaller.
static bool is_dominated(const std::vector<ProfileRow>& rows, const ProfileRow& row) {
  return std::any_of(rows.begin(), rows.end(), [&](const ProfileRow& other) {
    return other.rejected.empty() && other.width == row.width && other.saturated_ms > 0 &&
           other.solo_ms < row.solo_ms && other.saturated_ms < row.saturated_ms;
  });
}

/// Whether others are much faster than a variant on the widest part of the device, and others (or
/// the same) much smaller: then it is not worth a row on a narrower one, neither its own nor what
/// plans estimate from the wider one's. Rows come widest first.
static bool is_outclassed(const std::vector<ProfileRow>& rows, const std::string& variant,
                          int width) {
  // More than variants differ in what they lose on a part: on a quarter of a GPU, where calls side
  // by side take 1 to 1.4 times their area on the whole.
  constexpr double kMuch = 1.6;
  constexpr double kFar = 2.5;  // where the area is not known
  if (rows.empty() || rows[0].width == width) return false;
  const ProfileRow* own = nullptr;
  double fastest = 0;
  double smallest = 0;
  const auto lower = [](double& least, double ms) {
    if (ms > 0 && (least == 0 || ms < least)) least = ms;
  };
  for (const ProfileRow& row : rows) {
    if (!row.rejected.empty() || row.width != rows[0].width) continue;
    if (row.variant == variant) own = &row;
    lower(fastest, row.solo_ms);
    lower(smallest, row.saturated_ms);
  }
  if (own == nullptr) return false;
  if (own->saturated_ms == 0) return own->solo_ms > kFar * fastest;
  return own->solo_ms > kMuch * fastest && own->saturated_ms > kMuch * smallest;
}

void Profiler::reject_races(ProfileBench& bench, std::vector<ProfileRow>& rows) {
  std::set<std::string> checked;
  // What takes the place of a rejected variant is looked at, too.
  for (bool is_done = false; !is_done;) {
    is_done = true;
    for (ProfileRow& row : rows) {
      if (!row.rejected.empty() || row.saturated_ms <= 0 || checked.contains(row.variant) ||
          is_dominated(rows, row))
        continue;
      check_cancelled();
      checked.insert(row.variant);
      announce(row, [&] { bench.check_repeats(row); });
      if (row.rejected.empty()) continue;
      is_done = false;
      for (ProfileRow& other : rows)
        if (other.variant == row.variant && other.rejected.empty()) other.rejected = row.rejected;
    }
  }
}

void Profiler::repeat_if_close(ProfileBench& bench, const KernelImpl& impl, const KernelCall& call,
                               double best_ms, ProfileRow& row) {
  constexpr double kClose = 1.3;
  if (!row.rejected.empty() || row.solo_ms > kClose * best_ms) return;
  ProfileRow again = row;
  again.saturated_ms = 0;
  measure_one(bench, impl, call, best_ms, again);
  if (lacked_memory(again)) return;
  if (!again.rejected.empty()) {
    row.rejected = again.rejected;
    return;
  }
  row.solo_ms = std::min(row.solo_ms, again.solo_ms);
  if (again.saturated_ms > 0) row.saturated_ms = std::min(row.saturated_ms, again.saturated_ms);
}

void Profiler::check_cancelled() const {
  if (is_cancelled != nullptr && is_cancelled->load())
    fail(ErrorKind::kInterrupted, "{}", kProfilingStopped);
}

std::vector<ProfileRow> Profiler::measure(const ProfileTask& task,
                                          const std::vector<std::string>& only) {
  const PlacedTenant& tenant = *tenants_[static_cast<std::size_t>(task.tenant)];
  const Graph& graph = tenant.graph();
  const auto range = tenant.chunk_range(task.node, {0, task.items});
  const KernelCall call = make_call(graph, task.node, tenant.precision, range);
  const Cost cost = cost_of(graph, task.node);
  const double share =
      range ? static_cast<double>(task.items) / static_cast<double>(graph.batch) : 1.0;
  const std::string& op = graph.node(task.node).op;

  std::vector<ProfileRow> rows;
  std::vector<Candidate> measured;  // one a row
  std::map<int, double> best_by_width;
  double best_ms = 0;
  std::map<std::string, double> best_of_impl;
  ProfileBench bench(device_, tenant, task.node, range, constants_, limits_);
  const bool is_solo = !task.widths.empty();
  for (const Candidate& candidate : find_candidates(task, call, only)) {
    check_cancelled();
    if (is_set_aside(task, candidate)) continue;
    if (!is_solo && best_ms > 0 && is_hopeless(candidate, op, best_ms)) continue;
    if (!is_solo && is_outclassed(rows, candidate.key, candidate.width)) continue;
    ProfileRow row;
    row.signature = task.signature;
    row.items = task.items;
    row.variant = candidate.key;
    row.width = candidate.width;
    row.flop = cost.flop * share;
    row.bytes = cost.bytes * share;
    row.saturated_ms = candidate.saturated_ms;
    row.rejected = candidate.refusal;
    if (candidate.impl != nullptr)
      measure_one(bench, *candidate.impl, call, best_by_width[candidate.width], row);
    if (row.rejected.empty()) {
      double& best = best_by_width[candidate.width];
      best = best == 0 ? row.solo_ms : std::min(best, row.solo_ms);
      best_ms = best_ms == 0 ? row.solo_ms : std::min(best_ms, row.solo_ms);
      double& own = best_of_impl[std::string(candidate.impl->name())];
      own = own == 0 ? row.solo_ms : std::min(own, row.solo_ms);
    }
    rows.push_back(std::move(row));
    measured.push_back(candidate);
  }
  if (limits_.timing.repeat_close && !is_solo)
    for (std::size_t i = 0; i < rows.size(); ++i) {
      check_cancelled();
      repeat_if_close(bench, *measured[i].impl, call, best_by_width[rows[i].width], rows[i]);
    }
  // Few plans hold chunks, and what a search finds on the device is looked at again.
  const bool is_whole = !range || task.items == graph.batch;
  if (limits_.timing.repeats.count() > 0 && !is_solo && is_whole) reject_races(bench, rows);
  if (rows.empty() && !is_solo) {
    // An answer too: another attempt would find the same.
    ProfileRow none;
    none.signature = task.signature;
    none.items = task.items;
    none.variant = "none";
    none.width = device_.info().num_groups;
    none.rejected = "no variant can be tried";
    rows.push_back(std::move(none));
  }
  constexpr double kLongEnoughMs = 0.1;
  for (const auto& [name, ms] : best_of_impl) {
    if (is_solo || ms < kLongEnoughMs) continue;
    double& slowdown = slowdown_.emplace(std::pair{name, op}, ms / best_ms).first->second;
    slowdown = std::min(slowdown, ms / best_ms);
  }
  if (on_row)
    for (const ProfileRow& row : rows) on_row(row);
  return rows;
}

std::vector<std::string> promising_variants(const ProfileTable& rows, const std::string& signature,
                                            std::int64_t items) {
  std::vector<std::string> keys;
  const auto add = [&](const std::string& key) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  };
  std::map<int, std::pair<const ProfileRow*, const ProfileRow*>> best;  // fastest, smallest area
  for (const ProfileRow& row : rows.rows(signature, items)) {
    auto& [fastest, smallest] = best[row.width];
    if (fastest == nullptr) fastest = &row;
    if (row.saturated_ms > 0 && (smallest == nullptr || row.saturated_ms < smallest->saturated_ms))
      smallest = &row;
  }
  for (const auto& [width, pair] : best) {
    add(pair.first->variant);
    if (pair.second != nullptr) add(pair.second->variant);
  }
  return keys;
}

/// Also when nothing works for a chunk of that size: another attempt would find the same.
static bool is_measured(const ProfileTable& rows, const ProfileTask& task, std::int64_t items) {
  const auto rejected = rows.rejected(task.signature, items);
  return rows.has(task.signature, items) ||
         std::any_of(rejected.begin(), rejected.end(),
                     [](const ProfileRow& row) { return !is_quarantined(row); });
}

namespace {

/// Milliseconds of the fastest variant on Device::widths(): those on other widths come and go.
double fastest_ms(const ProfileTable& rows, const ProfileTask& task,
                  const std::vector<int>& solo_widths) {
  for (const ProfileRow& row : rows.rows(task.signature, task.items))
    if (std::find(solo_widths.begin(), solo_widths.end(), row.width) == solo_widths.end())
      return row.solo_ms;
  return 0;
}

/// Chunks of a node that lack rows.
void add_chunks(const ProblemNode& node, const ProfileTable& rows, const ProfileTask& whole,
                std::vector<ProfileTask>& missing) {
  for (const std::int64_t items : chunk_sizes(node)) {
    if (items == node.batch || items < node.batch / 4 || is_measured(rows, whole, items)) continue;
    missing.push_back(whole);
    missing.back().items = items;
    missing.back().work *= static_cast<double>(items) / static_cast<double>(node.batch);
  }
}

/// Widths on which a promising variant of a node lacks a row.
std::vector<int> missing_widths(const ProblemNode& node, const ProfileTable& rows,
                                const std::vector<int>& solo_widths) {
  const std::vector<std::string> variants = promising_variants(rows, node.signature, node.batch);
  std::vector<int> missing;
  for (const int width : solo_widths)
    if (!std::all_of(variants.begin(), variants.end(), [&](const std::string& variant) {
          return is_measured_at(rows, node.signature, node.batch, variant, width);
        }))
      missing.push_back(width);
  return missing;
}

}  // namespace

std::vector<ProfileTask> find_missing_rows(const Problem& problem, const ProfileTable& rows,
                                           const std::vector<int>& solo_widths) {
  std::map<std::string, ProfileTask> kinds;  // by signature and batch
  for (std::size_t t = 0; t < problem.tenants.size(); ++t) {
    const ProblemTenant& tenant = problem.tenants[t];
    for (std::size_t n = 0; n < tenant.nodes.size(); ++n) {
      const ProblemNode& node = tenant.nodes[n];
      const auto [kind, is_new] =
          kinds.try_emplace(fmt::format("{}@{}", node.signature, node.batch),
                            ProfileTask{static_cast<int>(t), static_cast<NodeId>(n), node.signature,
                                        node.batch, 0, node.flop + node.bytes});
      kind->second.count += tenant.repeat;
    }
  }
  std::vector<ProfileTask> whole;
  std::vector<ProfileTask> chunks;
  std::vector<ProfileTask> narrow;
  for (const auto& [key, task] : kinds)
    if (!rows.has(task.signature, task.items)) whole.push_back(task);
  if (whole.empty()) {
    double total_ms = 0;
    for (const auto& [key, task] : kinds)
      total_ms += task.count * fastest_ms(rows, task, solo_widths);
    for (const auto& [key, task] : kinds) {
      if (task.count * fastest_ms(rows, task, solo_widths) < 0.01 * total_ms) continue;
      const ProblemNode& node = problem.tenants[static_cast<std::size_t>(task.tenant)]
                                    .nodes[static_cast<std::size_t>(task.node)];
      add_chunks(node, rows, task, chunks);
      const std::vector<int> widths = missing_widths(node, rows, solo_widths);
      if (widths.empty()) continue;
      narrow.push_back(task);
      narrow.back().widths = widths;
    }
  }
  std::vector<ProfileTask>& missing = !whole.empty() ? whole : !chunks.empty() ? chunks : narrow;
  std::stable_sort(missing.begin(), missing.end(),
                   [](const ProfileTask& a, const ProfileTask& b) { return a.work < b.work; });
  return missing;
}

}  // namespace gacer
