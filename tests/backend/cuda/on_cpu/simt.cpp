#include "tests/backend/cuda/on_cpu/simt.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>

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
  explicit Warp(unsigned lanes) : threads(lanes), barrier(lanes) {}
  unsigned threads;
  Barrier barrier;
  alignas(64) std::byte exchange[2][kWarp * kExchangeBytes] = {};
};

struct Block {
  Block(unsigned threads, std::size_t bytes, std::size_t turn_number)
      : barrier(threads),
        running(threads),
        turn(turn_number),
        shared_bytes(bytes),
        shared(bytes / 64 + 2) {
    fill_shared();
    for (unsigned first = 0; first < threads; first += kWarp)
      warps.emplace_back(std::min(kWarp, threads - first));
  }
  bool is_filled() const {
    return std::ranges::all_of(shared, [](const Line& line) {
      return std::ranges::all_of(line.bytes, [](std::byte b) { return b == std::byte{0xFF}; });
    });
  }
  void fill_shared() {
    std::memset(static_cast<void*>(shared.data()), 0xFF, shared.size() * sizeof(shared[0]));
  }
  /// A thread has ended. After the last one the shared memory is another block's: who still reads
  /// it finds no numbers.
  void leave() {
    barrier.leave();
    if (--running > 0) return;
    const std::byte* const begin = shared[0].bytes;
    if (std::any_of(begin + shared_bytes, begin + shared.size() * sizeof(shared[0]),
                    [](std::byte b) { return b != std::byte{0xFF}; })) {
      std::fputs("a kernel wrote behind its shared memory\n", stderr);
      std::abort();
    }
    fill_shared();
  }
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  Barrier barrier;
  unsigned running;  ///< threads
  std::size_t turn;  ///< some number
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
  jmp_buf* context = nullptr;  ///< where it goes on
  Place place;
  Block* block = nullptr;
  Warp* warp = nullptr;
  unsigned exchanges = 0;
  std::vector<Copy> copies;  ///< that are under way
  int groups = 0;            ///< of copies, so far
  const Barrier* awaited = nullptr;
  unsigned awaited_generation = 0;
  bool has_ended = false;

  bool can_run() const {
    return !has_ended && (awaited == nullptr || awaited->is_open(awaited_generation));
  }
};

/// What runs now; launches follow each other.
struct State {
  const Launch* launch = nullptr;
  const std::function<void()>* body = nullptr;
  std::vector<std::unique_ptr<Block>> cluster;
  std::unique_ptr<Barrier> cluster_barrier;
  Fiber* fiber = nullptr;
  jmp_buf scheduler = {};
  std::mt19937 random;
};
State state;

void return_to_scheduler() {
  if (_setjmp(*state.fiber->context) == 0) _longjmp(state.scheduler, 1);
}

void wait(Barrier& barrier) {
  Fiber& fiber = *state.fiber;
  fiber.awaited_generation = barrier.arrive();
  fiber.awaited = &barrier;
  if (!fiber.can_run()) return_to_scheduler();
  fiber.awaited = nullptr;
}

/// One fiber after the other.
void run_fibers() {
  for (;;) {
    (*state.body)();
    Fiber& fiber = *state.fiber;
    fiber.has_ended = true;
    fiber.warp->barrier.leave();
    fiber.block->leave();
    state.cluster_barrier->leave();
    return_to_scheduler();
  }
}

/// A stack, for one fiber at a time; kept for those that follow. Contexts are only made by
/// makecontext(): to switch by it takes two calls of the system.
struct Stack {
  std::byte bytes[kStackBytes];
  jmp_buf context;
};
jmp_buf* context_of(std::size_t thread) {
  static std::vector<std::unique_ptr<Stack>> stacks;
  while (stacks.size() <= thread) {
    Stack& stack = *stacks.emplace_back(std::make_unique_for_overwrite<Stack>());
    static Fiber first;
    first.context = &stack.context;
    state.fiber = &first;
    ucontext_t made = {};
    getcontext(&made);
    made.uc_stack.ss_sp = stack.bytes;
    made.uc_stack.ss_size = kStackBytes;
    makecontext(
        &made,
        [] {
          return_to_scheduler();
          run_fibers();
        },
        0);
    if (_setjmp(state.scheduler) == 0) setcontext(&made);
  }
  return &stacks[thread]->context;
}

void resume(Fiber& fiber) {
  state.fiber = &fiber;
  if (_setjmp(state.scheduler) == 0) _longjmp(*fiber.context, 1);
}

/// Lanes of a warp until each has ended or waits for other warps. Whether any ran.
bool run_warp(std::span<Fiber> lanes) {
  bool has_run = false;
  std::vector<Fiber*> order;
  for (;;) {
    order.clear();
    for (Fiber& fiber : lanes)
      if (fiber.can_run()) order.push_back(&fiber);
    if (order.empty()) return has_run;
    std::ranges::shuffle(order, state.random);
    for (Fiber* fiber : order) resume(*fiber);
    has_run = true;
  }
}

/// Each warp as far as it gets, always the first that can go on: by an order drawn at random, which
/// keeps the warps of a block together every other time.
void run_in_some_order(std::span<Fiber> fibers) {
  std::vector<std::span<Fiber>> warps;
  for (std::size_t first = 0; first < fibers.size(); first += warps.back().size())
    warps.push_back(fibers.subspan(first, fibers[first].warp->threads));
  std::ranges::shuffle(warps, state.random);
  if (state.random() % 2 == 0)
    std::ranges::stable_sort(warps, {}, [](std::span<Fiber> warp) { return warp[0].block->turn; });
  while (std::ranges::any_of(warps, run_warp)) {
  }
  if (std::ranges::all_of(fibers, &Fiber::has_ended)) return;
  std::fputs("the threads of a kernel wait for each other for ever\n", stderr);
  std::abort();
}

/// The blocks from (x, y, z) to (x, y, z + cluster - 1).
void run_cluster(Dim first) {
  const Launch& launch = *state.launch;
  const unsigned threads = launch.block.x * launch.block.y * launch.block.z;
  state.cluster.clear();
  state.cluster_barrier = std::make_unique<Barrier>(threads * launch.cluster);
  std::vector<Fiber> fibers(std::size_t{threads} * launch.cluster);
  for (unsigned rank = 0; rank < launch.cluster; ++rank) {
    Block& block = *state.cluster.emplace_back(
        std::make_unique<Block>(threads, launch.shared_bytes, state.random()));
    for (unsigned t = 0; t < threads; ++t) {
      const std::size_t number = std::size_t{rank} * threads + t;
      Fiber& fiber = fibers[number];
      fiber.place.thread = {t % launch.block.x, t / launch.block.x % launch.block.y,
                            t / launch.block.x / launch.block.y};
      fiber.place.block = {first.x, first.y, first.z + rank};
      fiber.place.lane = t % kWarp;
      fiber.block = &block;
      fiber.warp = &block.warps[t / kWarp];
      fiber.context = context_of(number);
    }
  }
  run_in_some_order(fibers);
  for (const auto& block : state.cluster) {
    if (block->is_filled()) continue;
    std::fputs("a kernel wrote to the shared memory of a block that had ended\n", stderr);
    std::abort();
  }
}

/// Drawn from a launch's numbers alone, so that a case by itself runs as among others.
std::uint32_t seed_of(const Launch& launch) {
  std::seed_seq numbers{
      launch.grid.x,  launch.grid.y,  launch.grid.z,  launch.block.x,
      launch.block.y, launch.block.z, launch.cluster, static_cast<unsigned>(launch.shared_bytes)};
  std::uint32_t seed = 0;
  numbers.generate(&seed, &seed + 1);
  return seed;
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
  state.random.seed(seed_of(launch));
  std::vector<Dim> clusters;
  for (unsigned z = 0; z < launch.grid.z; z += launch.cluster)
    for (unsigned y = 0; y < launch.grid.y; ++y)
      for (unsigned x = 0; x < launch.grid.x; ++x) clusters.push_back({x, y, z});
  std::ranges::shuffle(clusters, state.random);
  for (const Dim& first : clusters) run_cluster(first);
}

std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

}  // namespace gacer::simt
