#include "tests/backend/cuda/on_cpu/simt.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <ucontext.h>

namespace gacer::simt {
namespace {

constexpr std::size_t kStackBytes = 128 << 10;
constexpr unsigned kWarp = 32;

/// Threads that wait for each other.
class Barrier {
 public:
  explicit Barrier(unsigned threads) : expected_(threads) {}
  unsigned arrive() {
    const unsigned generation = generation_;
    ++arrived_;
    open_if_full();
    return generation;
  }
  bool is_open(unsigned generation) const { return generation_ != generation; }
  /// A thread has ended: nobody waits for it.
  void leave() {
    --expected_;
    open_if_full();
  }

 private:
  void open_if_full() {
    if (arrived_ < expected_ || arrived_ == 0) return;
    arrived_ = 0;
    ++generation_;
  }
  unsigned expected_;
  unsigned arrived_ = 0;
  unsigned generation_ = 0;
};

struct Warp {
  explicit Warp(unsigned threads) : barrier(threads) {}
  Barrier barrier;
  alignas(64) std::byte exchange[2][kWarp * kExchangeBytes] = {};
};

struct Block {
  Block(unsigned threads, std::size_t bytes)
      : barrier(threads), shared_bytes(bytes), shared(bytes / 64 + 2) {
    std::memset(static_cast<void*>(shared.data()), 0xFF, shared.size() * sizeof(shared[0]));
    for (unsigned first = 0; first < threads; first += kWarp)
      warps.emplace_back(std::min(kWarp, threads - first));
  }
  /// Whether nothing was written behind the shared memory.
  bool is_end_intact() const {
    const std::byte* const begin = shared[0].bytes;
    return std::all_of(begin + shared_bytes, begin + shared.size() * sizeof(shared[0]),
                       [](std::byte b) { return b == std::byte{0xFF}; });
  }
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  Barrier barrier;
  std::vector<Warp> warps;
  std::size_t shared_bytes;
  std::vector<Line> shared;  ///< and some more
};

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  int group;
};

struct Fiber {
  ucontext_t context = {};
  Place place;
  Block* block = nullptr;
  Warp* warp = nullptr;
  unsigned exchanges = 0;
  std::vector<Copy> copies;  ///< that are under way
  int groups = 0;            ///< of copies, so far
  bool has_ended = false;
};

/// What runs now; launches follow each other.
struct State {
  const Launch* launch = nullptr;
  const std::function<void()>* body = nullptr;
  std::vector<std::unique_ptr<Block>> cluster;
  std::unique_ptr<Barrier> cluster_barrier;
  Fiber* fiber = nullptr;
  ucontext_t scheduler = {};
  bool has_moved = false;  ///< since the scheduler looked: a barrier opened or a thread ended
};
State state;

void wait(Barrier& barrier) {
  const unsigned generation = barrier.arrive();
  if (barrier.is_open(generation)) state.has_moved = true;
  while (!barrier.is_open(generation)) swapcontext(&state.fiber->context, &state.scheduler);
}

void run_fiber() {
  (*state.body)();
  Fiber& fiber = *state.fiber;
  fiber.has_ended = true;
  fiber.warp->barrier.leave();
  fiber.block->barrier.leave();
  state.cluster_barrier->leave();
  state.has_moved = true;
}

/// Memory for stacks, kept for the launches that follow.
std::byte* stack_of(std::size_t thread) {
  static std::vector<std::unique_ptr<std::byte[]>> stacks;
  while (stacks.size() <= thread)
    stacks.push_back(std::make_unique_for_overwrite<std::byte[]>(kStackBytes));
  return stacks[thread].get();
}

/// The blocks from (x, y, z) to (x, y, z + cluster - 1).
void run_cluster(Dim first) {
  const Launch& launch = *state.launch;
  const unsigned threads = launch.block.x * launch.block.y * launch.block.z;
  state.cluster.clear();
  state.cluster_barrier = std::make_unique<Barrier>(threads * launch.cluster);
  std::vector<Fiber> fibers(std::size_t{threads} * launch.cluster);
  for (unsigned rank = 0; rank < launch.cluster; ++rank) {
    Block& block =
        *state.cluster.emplace_back(std::make_unique<Block>(threads, launch.shared_bytes));
    for (unsigned t = 0; t < threads; ++t) {
      const std::size_t number = std::size_t{rank} * threads + t;
      Fiber& fiber = fibers[number];
      fiber.place.thread = {t % launch.block.x, t / launch.block.x % launch.block.y,
                            t / launch.block.x / launch.block.y};
      fiber.place.block = {first.x, first.y, first.z + rank};
      fiber.place.lane = t % kWarp;
      fiber.block = &block;
      fiber.warp = &block.warps[t / kWarp];
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = stack_of(number);
      fiber.context.uc_stack.ss_size = kStackBytes;
      fiber.context.uc_link = &state.scheduler;
      makecontext(&fiber.context, run_fiber, 0);
    }
  }
  for (bool is_done = false; !is_done;) {
    is_done = true;
    state.has_moved = false;
    for (Fiber& fiber : fibers) {
      if (fiber.has_ended) continue;
      is_done = false;
      state.fiber = &fiber;
      swapcontext(&state.scheduler, &fiber.context);
    }
    if (!is_done && !state.has_moved) {
      std::fputs("the threads of a kernel wait for each other for ever\n", stderr);
      std::abort();
    }
  }
  for (const auto& block : state.cluster) {
    if (block->is_end_intact()) continue;
    std::fputs("a kernel wrote behind its shared memory\n", stderr);
    std::abort();
  }
}

}  // namespace

const Place& place() { return state.fiber->place; }
const Launch& launch() { return *state.launch; }
std::byte* shared_memory() { return state.fiber->block->shared[0].bytes; }
std::byte* shared_memory(int rank) {
  return state.cluster[static_cast<std::size_t>(rank)]->shared[0].bytes;
}
void sync_block() { wait(state.fiber->block->barrier); }
void sync_warp() { wait(state.fiber->warp->barrier); }
void sync_cluster() { wait(*state.cluster_barrier); }
std::byte* next_exchange() { return state.fiber->warp->exchange[state.fiber->exchanges++ % 2]; }

void begin_copy(void* to, const void* from, std::size_t bytes) {
  Fiber& fiber = *state.fiber;
  fiber.copies.push_back({to, from, bytes, fiber.groups});
}
void end_copies() { ++state.fiber->groups; }
void wait_for_copies(int later) {
  Fiber& fiber = *state.fiber;
  std::erase_if(fiber.copies, [&](const Copy& copy) {
    if (copy.group >= fiber.groups - later) return false;
    std::memcpy(copy.to, copy.from, copy.bytes);
    return true;
  });
}

void run(const Launch& launch, const std::function<void()>& body) {
  state.launch = &launch;
  state.body = &body;
  for (unsigned z = 0; z < launch.grid.z; z += launch.cluster)
    for (unsigned y = 0; y < launch.grid.y; ++y)
      for (unsigned x = 0; x < launch.grid.x; ++x) run_cluster({x, y, z});
}

std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

}  // namespace gacer::simt
