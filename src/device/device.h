#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gacer/device_info.h>
#include <gacer/plan.h>

#include "base/result.h"
#include "device/kernel.h"
#include "device/rows.h"

namespace gacer {

/// Device memory that its owner frees. Move-only through unique_ptr; data() never changes.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() const = 0;
  virtual std::size_t size() const = 0;
};

/// The launches of one kernel on fixed addresses, recorded once, used by any number of programs.
class Capture {
 public:
  virtual ~Capture() = default;
  /// Launches on the device (kernels, among them those that set memory, but none that programs put
  /// in between two uses): programs count them.
  virtual int num_launches() const = 0;
  /// Whether memory is put back between two uses: a program that uses it twice waits for that.
  virtual bool has_state() const { return false; }
  /// One line a launch for profiles and reports ("grid 104x1x1 block 384 smem 196K regs 168").
  virtual std::vector<std::string> footprint() const { return {}; }
};

/// One step of a program: a capture, where and how urgently it runs, and what it waits for.
struct ProgramStep {
  const Capture* capture = nullptr;
  Budget budget;
  int priority = 0;
  int lane = 0;
  /// Earlier steps of the same list (indices), any lane; lanes imply nothing here: all edges are
  /// listed. The list is in a topological order.
  std::vector<int> waits_for;
};

/// When one step ran, for timelines: milliseconds from the round's start, and where.
struct StepTime {
  int step = 0;
  double begin_ms = 0;
  double end_ms = 0;
  int unit = 0;  ///< first core or SM group
};

/// Kernels of one budget in one round, as a profiler of the device's vendor saw them.
struct PlacementRow {
  Budget budget;
  int expected_kernels = 0;  ///< that the program puts there
  int seen_kernels = 0;      ///< that ran there
  double busy_ms = 0;        ///< sum of their times, each timed by itself
};

/// A list of steps compiled for a device. Launched at most once at a time. Not thread-safe.
class Program {
 public:
  virtual ~Program() = default;
  /// Runs once and waits; milliseconds by the device's clock.
  virtual double run() = 0;
  virtual int num_launches() const = 0;
  /// Runs once with time stamps (slower); in the order of the steps.
  virtual std::vector<StepTime> run_traced() = 0;
  /// Runs once under a profiler. A row a budget; one without expected kernels holds what ran
  /// elsewhere. Error{kUnsupported} when the device has no profiler that tells.
  virtual std::vector<PlacementRow> observe_placement();
  /// Host time that the last run() took to start the round, in microseconds; 0 where starting a
  /// round is not apart from running it.
  virtual double last_launch_us() const { return 0; }
};

/// What timing work on a device takes.
struct DeviceTiming {
  std::chrono::microseconds variant{12000};  ///< runs of one variant at one width
  /// Variants close to the best are timed once more after all others: on a machine shared with
  /// others the first time may have been a bad moment.
  bool repeat_close = true;
  /// Plans are compared in turns of at least this long. 0: of one round; more where a plan runs at
  /// the clock that the rounds before it left (a GPU at its power limit).
  std::chrono::milliseconds turn{0};
  /// How long the results of a variant are compared with each other, at most so many, while copies
  /// of it run side by side: kernels of a GPU may hold races that a busy memory brings out. 0: not.
  std::chrono::milliseconds repeats{0};
  int max_repeats = 2000;
  /// How long the steps of a plan that a search has found are compared with lone ones. 0: not.
  std::chrono::milliseconds plan_repeats{0};
};

/// One device of a backend: memory, kernels, captures, programs. Calls are made from one thread.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  /// Error{kOutOfMemory} states the bytes asked for and the bytes free.
  virtual std::unique_ptr<Buffer> allocate(std::size_t bytes) = 0;
  virtual void upload(void* to, const void* from_host, std::size_t bytes) = 0;
  virtual void download(void* to_host, const void* from, std::size_t bytes) = 0;
  /// Between places on the device that do not overlap.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Fills with a byte pattern (poison).
  virtual void fill(void* to, unsigned char byte, std::size_t bytes) = 0;
  virtual std::size_t free_bytes() const = 0;
  /// Bytes that buffers of this device hold now (arenas, weights, workspaces); 0 when not counted.
  virtual std::size_t allocated_bytes() const { return 0; }

  /// False after a failure that nothing on this device survives (a GPU's context is gone with an
  /// illegal access): only a new process can go on.
  virtual bool is_usable() { return true; }

  /// What tells this device from one with other kernels, in a profile: fewer of them ("plain"),
  /// whose rows are no answer where there are more, or, where gacer brings its own, another state
  /// of their code. Empty on a device with all kernels whose libraries' versions say enough.
  virtual std::string kernel_set() const { return {}; }
  /// Implementations in order of preference.
  virtual std::span<const KernelImpl* const> kernels() const = 0;
  /// The layout that image operators prefer for a precision, or kRowMajor to keep what is there.
  virtual Layout image_layout(Precision precision) const = 0;
  /// Whether kernels read and write parts of larger tensors as fast as whole ones, so that Concat
  /// needs no copies.
  virtual bool concats_in_place() const { return false; }
  /// Widths (in groups) at which variants are worth building: {1, 2, …, num_groups} on a CPU.
  virtual std::vector<int> widths() const = 0;
  /// True when a variant key is tied to the size of its budget (threads of a CPU primitive).
  virtual bool is_width_fixed() const = 0;
  /// Widths between those of widths() on which a profile times a node's best variants, too: alone,
  /// for their area is known. Only where variants are not tied to their width.
  virtual std::vector<int> solo_widths() const { return {}; }
  virtual DeviceTiming timing() const { return {}; }
  /// Forgets what KernelImpl::prepare_ahead() asked for and nobody has begun, and waits for the
  /// rest: nothing is built beside rounds that are timed. Asked for again, it is built after all.
  virtual void stop_building() {}
  /// True where building a variant takes long and KernelImpl::prepare_ahead() helps.
  virtual bool compiles_variants() const { return false; }

  virtual std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) = 0;
  /// Kernels that look at what others made. The first copies rows of bytes, side by side: from
  /// inputs {rows} to outputs {copy}; the second adds to a RowDifference: inputs {rows, copy},
  /// outputs {difference}. Error{kUnsupported} where nothing is computed.
  virtual std::unique_ptr<Kernel> make_row_copy(const ByteRows& rows) const;
  virtual std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows) const;
  virtual std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) = 0;
  /// Runs each program `repeats[i]` times, all at once, free of each other; milliseconds until the
  /// last is done. Programs must not share written memory.
  virtual double run_free(std::span<Program* const> programs, std::span<const int> repeats) = 0;
};

/// A backend by name. `open` may throw Error{kDevice}; `find_devices` never does.
struct Backend {
  std::string_view kind;
  std::vector<DeviceInfo> (*find_devices)() = nullptr;
  /// `spec` is what follows "kind:" on the command line ("0", a file for sim), may be empty.
  /// `options`: "impl=plain" and the like, backend-specific, comma-separated.
  std::unique_ptr<Device> (*open)(const std::string& spec, const std::string& options) = nullptr;
};

/// Generated from the list of backends in the build.
std::span<const Backend* const> all_backends();
/// Opens "cpu", "cuda:1", "sim:FILE". Error{kUsage} for an unknown kind, naming those that exist.
std::unique_ptr<Device> open_device(const std::string& name, const std::string& options = {});

}  // namespace gacer
