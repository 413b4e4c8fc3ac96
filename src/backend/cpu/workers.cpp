#include "backend/cpu/workers.h"

#include <pthread.h>
#include <sched.h>

#include <system_error>

#include "backend/cpu/openmp_hooks.h"
#include "base/error.h"

namespace gacer::cpu {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Fails silently where a container forbids it: placement is then the system's.
void bind_thread(std::thread& thread, const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core : cores) CPU_SET(static_cast<unsigned>(core), &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof(set), &set);
}

}  // namespace

template <typename T>
void WorkerGroup::wait_while(const std::atomic<T>& value, T old) const {
  constexpr int kChecks = 64;  // between looks at the clock
  const auto deadline = std::chrono::steady_clock::now() + options_.spin;
  do {
    for (int i = 0; i < kChecks; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  value.wait(old, std::memory_order_acquire);
}

WorkerGroup::WorkerGroup(int size, WorkerOptions options) : options_(std::move(options)) {
  require(
      size > 0 && (!options_.is_pinned || options_.cores.size() >= static_cast<std::size_t>(size)),
      "{} workers on {} cores", size, options_.cores.size());
  for (int i = 0; i < size; ++i) slots_.push_back(std::make_unique<Slot>());
  try {
    for (int i = 0; i < size; ++i) {
      Slot& slot = *slots_[static_cast<std::size_t>(i)];
      slot.thread = std::thread([this, &slot] { work(slot); });
      if (options_.is_pinned)
        bind_thread(slot.thread, {options_.cores[static_cast<std::size_t>(i)]});
      else if (!options_.cores.empty())
        bind_thread(slot.thread, options_.cores);
    }
  } catch (const std::system_error& error) {
    stop();
    fail(ErrorKind::kDevice, "cannot start {} worker threads: {}", size, error.what());
  }
}

WorkerGroup::~WorkerGroup() { stop(); }

void WorkerGroup::stop() {
  for (int i = 0; i < size(); ++i)
    if (slots_[static_cast<std::size_t>(i)]->thread.joinable()) post(i, Task{});
  for (auto& slot : slots_)
    if (slot->thread.joinable()) slot->thread.join();
}

void WorkerGroup::post(int worker, const Task& task) {
  Slot& slot = *slots_[static_cast<std::size_t>(worker)];
  slot.task = task;
  slot.state.store(1, std::memory_order_release);
  slot.state.notify_one();
}

void WorkerGroup::work(Slot& slot) {
  const ThreadCountScope serial(1);  // oneDNN outside a team's step: on this thread alone
  for (;;) {
    wait_while(slot.state, 0);
    const Task task = slot.task;
    slot.state.store(0, std::memory_order_release);
    if (task.run == nullptr) return;
    task.run(task.context, task.argument);
  }
}

StepTeam& WorkerGroup::team(int first, int size) {
  StepTeam& team = slots_[static_cast<std::size_t>(first)]->team;
  team.group_ = this;
  team.first_ = first;
  team.size_ = size;
  return team;
}

void StepTeam::run_member(void* context, int member) {
  auto* team = static_cast<StepTeam*>(context);
  team->function_(team->context_, member);
  if (team->running_.fetch_sub(1, std::memory_order_acq_rel) == 1) team->running_.notify_one();
}

void StepTeam::begin_region(void (*function)(void*, int), void* context, int num_members) {
  function_ = function;
  context_ = context;
  region_size_ = num_members;
  running_.store(num_members - 1, std::memory_order_relaxed);
  for (int member = 1; member < num_members; ++member)
    group_->post(first_ + member, Task{run_member, this, member});
}

void StepTeam::end_region() {
  for (int left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire))
    group_->wait_while(running_, left);
}

void StepTeam::barrier() {
  const unsigned phase = barrier_phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == region_size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    barrier_phase_.store(phase + 1, std::memory_order_release);
    barrier_phase_.notify_all();
  } else {
    group_->wait_while(barrier_phase_, phase);
  }
}

void StepTeam::run(const std::function<void(int)>& body) {
  if (size_ == 1) return body(0);
  struct Call {
    const std::function<void(int)>& body;
    std::mutex mutex;
    std::exception_ptr error;
    void run_caught(int member) {
      try {
        body(member);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    }
  } call{body, {}, {}};
  begin_region([](void* context, int member) { static_cast<Call*>(context)->run_caught(member); },
               &call, size_);
  call.run_caught(0);
  end_region();
  if (call.error) std::rethrow_exception(call.error);
}

}  // namespace gacer::cpu
