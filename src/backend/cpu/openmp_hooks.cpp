#include "backend/cpu/openmp_hooks.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "backend/cpu/import_table.h"
#include "base/error.h"

namespace gacer::cpu {
namespace {

/// The part of a parallel region that this thread runs.
struct Region {
  StepTeam* team = nullptr;  ///< nullptr: alone
  int member = 0;
  int size = 1;
  // The static loop that the member is in.
  long next = 0;
  long end = 0;
  long step = 1;
  long chunk = 0;
  long trip = 0;  ///< chunks taken so far; -1: none are left
};

/// What the leader hands to the members of a region.
struct ParallelCall {
  void (*function)(void*) = nullptr;
  void* data = nullptr;
  StepTeam* team = nullptr;
  int size = 1;
};

struct ThreadState {
  StepTeam* team = nullptr;
  int num_threads = 0;  ///< 0: not ours
  ParallelCall call;
  std::vector<Region> regions;
  bool is_ours() const { return team != nullptr || num_threads != 0 || !regions.empty(); }
  int max_threads() const {
    if (team != nullptr) return team->size();
    return std::max(num_threads, 1);
  }
};

ThreadState& state() {
  thread_local ThreadState state;
  return state;
}

/// libgomp's own functions, for calls that are not ours.
struct Originals {
  void (*barrier)() = nullptr;
  bool (*loop_start)(long, long, long, long, long*, long*) = nullptr;
  bool (*loop_next)(long*, long*) = nullptr;
  void (*loop_end)() = nullptr;
  void (*parallel_start)(void (*)(void*), void*, unsigned) = nullptr;
  void (*parallel_end)() = nullptr;
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*max_threads)() = nullptr;
  int (*num_threads)() = nullptr;
  int (*thread_num)() = nullptr;
  int (*in_parallel)() = nullptr;
};

Originals& originals() {
  static Originals table;
  return table;
}

void run_member(void* context, int member) {
  const auto* call = static_cast<const ParallelCall*>(context);
  ThreadState& self = state();
  self.regions.push_back({call->team, member, call->size});
  call->function(call->data);
  self.regions.pop_back();
}

void hook_parallel_start(void (*function)(void*), void* data, unsigned requested) {
  ThreadState& self = state();
  if (!self.is_ours()) return originals().parallel_start(function, data, requested);
  int size = 1;
  if (self.team != nullptr && self.regions.empty()) {
    size = self.team->size();
    if (requested != 0) size = std::min(size, static_cast<int>(requested));
  }
  StepTeam* team = size > 1 ? self.team : nullptr;
  if (team != nullptr) {
    self.call = {function, data, team, size};
    team->begin_region(run_member, &self.call, size);
  }
  self.regions.push_back({team, 0, size});
}

void hook_parallel_end() {
  ThreadState& self = state();
  if (!self.is_ours()) return originals().parallel_end();
  StepTeam* team = self.regions.back().team;
  if (team != nullptr) team->end_region();
  self.regions.pop_back();
}

void hook_parallel(void (*function)(void*), void* data, unsigned requested, unsigned flags) {
  if (!state().is_ours()) return originals().parallel(function, data, requested, flags);
  hook_parallel_start(function, data, requested);
  function(data);
  hook_parallel_end();
}

void hook_barrier() {
  ThreadState& self = state();
  if (!self.is_ours()) return originals().barrier();
  if (!self.regions.empty() && self.regions.back().team != nullptr)
    self.regions.back().team->barrier();
}

/// The next run of iterations of a statically scheduled loop, as OpenMP divides them.
bool take_iterations(Region& region, long* begin, long* end) {
  if (region.trip < 0) return false;
  const long rounding = region.step + (region.step > 0 ? -1 : 1);
  const long count = (region.end - region.next + rounding) / region.step;
  long first = 0;
  long last = 0;
  if (region.chunk == 0) {
    const long quotient = count / region.size;
    const long rest = count % region.size;
    first = region.member * quotient + std::min<long>(region.member, rest);
    last = first + quotient + (region.member < rest ? 1 : 0);
    region.trip = -1;
  } else {
    first = (region.trip * region.size + region.member) * region.chunk;
    last = std::min(first + region.chunk, count);
    ++region.trip;
  }
  if (first >= last) return false;
  *begin = region.next + first * region.step;
  *end = region.next + last * region.step;
  return true;
}

bool hook_loop_start(long begin, long end, long step, long chunk, long* run_begin, long* run_end) {
  ThreadState& self = state();
  if (!self.is_ours()) return originals().loop_start(begin, end, step, chunk, run_begin, run_end);
  if (self.regions.empty()) self.regions.push_back({});  // an orphaned loop
  Region& region = self.regions.back();
  region.next = begin;
  region.end = end;
  region.step = step;
  region.chunk = chunk;
  region.trip = 0;
  return take_iterations(region, run_begin, run_end);
}

bool hook_loop_next(long* run_begin, long* run_end) {
  ThreadState& self = state();
  if (!self.is_ours()) return originals().loop_next(run_begin, run_end);
  return take_iterations(self.regions.back(), run_begin, run_end);
}

void hook_loop_end() {
  if (!state().is_ours()) originals().loop_end();
}

int hook_max_threads() {
  const ThreadState& self = state();
  return self.is_ours() ? self.max_threads() : originals().max_threads();
}

int hook_num_threads() {
  const ThreadState& self = state();
  if (!self.is_ours()) return originals().num_threads();
  return self.regions.empty() ? 1 : self.regions.back().size;
}

int hook_thread_num() {
  const ThreadState& self = state();
  if (!self.is_ours()) return originals().thread_num();
  return self.regions.empty() ? 0 : self.regions.back().member;
}

int hook_in_parallel() {
  const ThreadState& self = state();
  if (!self.is_ours()) return originals().in_parallel();
  return std::any_of(self.regions.begin(), self.regions.end(),
                     [](const Region& region) { return region.size > 1; })
             ? 1
             : 0;
}

template <typename Function>
Import import_of(const char* name, Function* hook, Function*& original) {
  return {name, reinterpret_cast<void*>(hook), reinterpret_cast<void**>(&original)};
}

}  // namespace

void install_openmp_hooks() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    Originals& real = originals();
    const std::vector<Import> imports = {
        import_of("GOMP_barrier", hook_barrier, real.barrier),
        import_of("GOMP_loop_static_start", hook_loop_start, real.loop_start),
        import_of("GOMP_loop_static_next", hook_loop_next, real.loop_next),
        import_of("GOMP_loop_end_nowait", hook_loop_end, real.loop_end),
        import_of("GOMP_parallel_start", hook_parallel_start, real.parallel_start),
        import_of("GOMP_parallel_end", hook_parallel_end, real.parallel_end),
        import_of("GOMP_parallel", hook_parallel, real.parallel),
        import_of("omp_get_max_threads", hook_max_threads, real.max_threads),
        import_of("omp_get_num_threads", hook_num_threads, real.num_threads),
        import_of("omp_get_thread_num", hook_thread_num, real.thread_num),
        import_of("omp_in_parallel", hook_in_parallel, real.in_parallel),
    };
    bind_imports("libdnnl.so", imports, {"GOMP_", "omp_", "__kmpc_"});
  });
}

TeamScope::TeamScope(StepTeam& team) : previous_(std::exchange(state().team, &team)) {}
TeamScope::~TeamScope() { state().team = previous_; }

ThreadCountScope::ThreadCountScope(int num_threads)
    : previous_(std::exchange(state().num_threads, num_threads)) {}
ThreadCountScope::~ThreadCountScope() { state().num_threads = previous_; }

}  // namespace gacer::cpu
