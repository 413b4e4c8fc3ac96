#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "backend/cuda/capture.h"
#include "backend/cuda/context.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/owner.h"
#include "device/device.h"

namespace gacer::cuda {

/// What one node of a program must be, for the check against the plan.
struct PlacedLaunch {
  int step = 0;
  Budget budget;
  CUgraphNode node = nullptr;
  CUcontext context = nullptr;
  int priority = 0;
  unsigned cluster_blocks = 1;
};

/// A plan's steps as one CUDA graph with explicit edges; each kernel node has its step's priority
/// and SM set. One launch runs the round. What captures want reset after a use is done before the
/// next use in the program or, in one launch a lane, after the last: beside the steps that follow.
class CudaProgram final : public Program {
 public:
  /// Assembles and instantiates. Error{kUnsupported} when a kernel does not fit its SM set (some
  /// clusters need more than a small set offers). `reset`: kernels/fill.cu.
  CudaProgram(Context& context, const Stream& stream, std::span<const ProgramStep> steps,
              CUkernel reset);
  CudaProgram(const CudaProgram&) = delete;
  CudaProgram& operator=(const CudaProgram&) = delete;

  double run() override;
  /// Without resets.
  int num_launches() const override { return num_launches_; }
  std::vector<StepTime> run_traced() override;
  std::vector<PlacementRow> observe_placement() override;
  double last_launch_us() const override { return last_launch_us_; }

  /// Enqueues one round; host cost is one graph launch.
  void launch(CUstream stream);

 private:
  /// Of captures with resets: the step that used each last.
  using LastUses = std::map<const CudaCapture*, std::size_t>;

  /// Reads the graph back and compares it with the steps, node by node: number of kernels, context,
  /// priority. Throws Error{kInternal} naming the step.
  void verify(CUgraph graph) const;
  void assemble(CUgraph graph, bool with_events);
  /// Gives a kernel node the priority of step s. `is_placed`: verify() expects it there.
  void place(CUgraphNode node, std::size_t s, unsigned cluster_blocks, bool is_placed);
  /// A node that does resets where step s runs, after other nodes.
  CUgraphNode add_reset(CUgraph graph, std::span<const Reset> resets,
                        const std::vector<CUgraphNode>& after, std::size_t s, bool is_placed);
  /// `ends`: nodes that end each step.
  void add_last_resets(CUgraph graph, const LastUses& last_use,
                       const std::vector<std::vector<CUgraphNode>>& ends, bool is_placed);
  /// A program of its own that runs once.
  void run_once(CUgraph graph);
  ExecOwner instantiate(CUgraph graph) const;

  Context& context_;
  const Stream& stream_;
  std::vector<ProgramStep> steps_;
  std::vector<int> priorities_;  ///< the driver's, of each step
  CUkernel reset_;
  GraphOwner graph_;
  ExecOwner exec_;
  int num_launches_ = 0;
  int num_resets_ = 0;
  int num_reset_launches_ = 0;
  double last_launch_us_ = 0;
  std::vector<PlacedLaunch> placed_;
  Event begin_;
  Event end_;
  std::vector<std::unique_ptr<Event>> step_events_;  ///< two a step, only for a traced round
};

}  // namespace gacer::cuda
