#pragma once

#include "backend/cpu/workers.h"

namespace gacer::cpu {

/// oneDNN is built on GNU OpenMP, whose threads know nothing of our budgets. These hooks bind the
/// OpenMP calls of libdnnl (and of nothing else in the process) to ours: inside a scope below, a
/// parallel region runs on the members of the step's team; outside, the calls go on to libgomp, so
/// an application's own use of oneDNN is as before.
///
/// Error{kDevice} when libdnnl is built in another way and imports something unknown. Idempotent,
/// thread-safe.
void install_openmp_hooks();

/// While it lives, oneDNN's parallel regions on this thread run on `team`, which it leads.
class TeamScope {
 public:
  explicit TeamScope(StepTeam& team);
  ~TeamScope();
  TeamScope(const TeamScope&) = delete;
  TeamScope& operator=(const TeamScope&) = delete;

 private:
  StepTeam* previous_;
};

/// While it lives, oneDNN on this thread is told that there are `num_threads`, so that primitives
/// are built for a team of that size; regions run on the calling thread alone.
class ThreadCountScope {
 public:
  explicit ThreadCountScope(int num_threads);
  ~ThreadCountScope();
  ThreadCountScope(const ThreadCountScope&) = delete;
  ThreadCountScope& operator=(const ThreadCountScope&) = delete;

 private:
  int previous_;
};

}  // namespace gacer::cpu
