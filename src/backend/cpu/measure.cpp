#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#include "backend/cpu/cpu_device.h"
#include "backend/cpu/workers.h"

namespace gacer::cpu {
namespace {

/// Best of several runs of `body(member)` on all workers at once, in seconds. The first run is not
/// counted: libraries generate their code in it.
template <typename Body>
double best_time(WorkerGroup& workers, std::chrono::milliseconds budget, const Body& body) {
  using Clock = std::chrono::steady_clock;
  struct Call {
    WorkerGroup& workers;
    const Body& body;
    Clock::duration budget;
    double best = 1e30;
    std::mutex mutex = {};
    std::condition_variable done_signal = {};
    bool is_done = false;
    void run() {
      StepTeam& team = workers.team(0, workers.size());
      const std::function<void(int)> part = [&](int member) { body(member); };
      team.run(part);
      const auto deadline = Clock::now() + budget;
      do {
        const auto begin = Clock::now();
        team.run(part);
        best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
      } while (Clock::now() < deadline);
      const std::lock_guard lock(mutex);
      is_done = true;
      done_signal.notify_one();
    }
  } call{.workers = workers, .body = body, .budget = budget};
  workers.post(0, Task{[](void* context, int) { static_cast<Call*>(context)->run(); }, &call, 0});
  std::unique_lock lock(call.mutex);
  call.done_signal.wait(lock, [&] { return call.is_done; });
  return call.best;
}

}  // namespace

double measure_peak_flops(WorkerGroup& workers) {
  constexpr dnnl_dim_t kSize = 384;  // three matrices of 576 KiB: out of the second-level cache
  const auto count = static_cast<std::size_t>(kSize * kSize);
  const auto size = static_cast<std::size_t>(workers.size());
  std::vector<std::vector<float>> results(size, std::vector<float>(count));
  const std::vector<float> a(count, 0.5F);
  const std::vector<float> b(count, 0.25F);
  const double seconds = best_time(workers, std::chrono::milliseconds(30), [&](int member) {
    dnnl_sgemm('N', 'N', kSize, kSize, kSize, 1.0F, a.data(), kSize, b.data(), kSize, 0.0F,
               results[static_cast<std::size_t>(member)].data(), kSize);
  });
  return 2.0 * static_cast<double>(kSize * kSize * kSize) * static_cast<double>(size) / seconds;
}

double measure_peak_bandwidth(WorkerGroup& workers) {
  // 48 MiB together: more than most last-level caches hold, less than a small model needs anyway.
  constexpr std::size_t kTotal = std::size_t{4} << 20;
  const std::size_t count = kTotal / static_cast<std::size_t>(workers.size());
  std::vector<std::vector<float>> arrays(static_cast<std::size_t>(workers.size()) * 3,
                                         std::vector<float>(count, 1.0F));
  const double seconds = best_time(workers, std::chrono::milliseconds(30), [&](int member) {
    float* to = arrays[static_cast<std::size_t>(member) * 3].data();
    const float* x = arrays[static_cast<std::size_t>(member) * 3 + 1].data();
    const float* y = arrays[static_cast<std::size_t>(member) * 3 + 2].data();
    for (std::size_t i = 0; i < count; ++i) to[i] = x[i] + 0.5F * y[i];
  });
  return 3.0 * sizeof(float) * static_cast<double>(count) * workers.size() / seconds;
}

}  // namespace gacer::cpu
