// Runs the threads of kernels on a CPU: each is a fiber, and one at a time runs until it waits for
// others. Who comes first is drawn at random (blocks, warps, lanes), and a warp goes on until it
// waits for others, so that a result that hangs on a barrier which is missing differs sooner or
// later. Within a stretch between two barriers threads do not take turns.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gacer::simt {

struct Dim {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

struct Launch {
  Dim grid;
  Dim block;
  unsigned cluster = 1;  ///< blocks along z that run together
  std::size_t shared_bytes = 0;
};

/// Where the thread that runs is.
struct Place {
  Dim thread;
  Dim block;
  unsigned lane = 0;  ///< of its warp
};
const Place& place();
const Launch& launch();

/// The memory of block `rank` of the thread's cluster; of its own block without a rank.
std::byte* shared_memory();
std::byte* shared_memory(int rank);

/// Wait for the threads of the block, the warp or the cluster that have not ended.
void sync_block();
void sync_warp();
void sync_cluster();

/// What the lanes of a warp show each other: 64 bytes a lane. Of two exchanges in turn, so that
/// nobody's is overwritten while others look: a sync_warp() lies between writing and reading.
std::byte* next_exchange();
constexpr std::size_t kExchangeBytes = 64;

/// Copies of a thread that are done when it waits for them, in groups.
void begin_copy(void* to, const void* from, std::size_t bytes);
void end_copies();
/// For all groups but the last `later`.
void wait_for_copies(int later);

/// Runs `body` as every thread of a launch. The shared memory that it asked for is no numbers
/// before; the program ends when something is written behind that.
void run(const Launch& launch, const std::function<void()>& body);

struct Kernel {
  std::vector<std::size_t> argument_bytes;
  std::function<void(void** arguments)> call;  ///< as one thread
  unsigned most_threads = 1024;                ///< of a block
  std::size_t most_shared_bytes = 48 << 10;
};

/// Kernels by name.
std::map<std::string, Kernel>& kernels();

template <typename... Arguments, std::size_t... kIndices>
Kernel make_kernel(void (*function)(Arguments...), std::index_sequence<kIndices...>) {
  Kernel kernel;
  kernel.argument_bytes = {sizeof(Arguments)...};
  kernel.call = [function](void** arguments) {
    function(*static_cast<std::remove_reference_t<Arguments>*>(arguments[kIndices])...);
  };
  return kernel;
}

/// A kernel of this program, at start-up.
struct Registered {
  template <typename... Arguments>
  Registered(const char* name, void (*function)(Arguments...), unsigned most_threads = 1024) {
    Kernel& kernel = kernels()[name];
    kernel = make_kernel(function, std::index_sequence_for<Arguments...>());
    kernel.most_threads = most_threads;
  }
};

}  // namespace gacer::simt
