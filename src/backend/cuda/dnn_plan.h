#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gacer/tensor.h>

#include "backend/cuda/dnn.h"
#include "backend/cuda/services.h"

namespace gacer::cuda {

/// One pointwise operation after a convolution inside a cuDNN operation graph.
struct DnnPointwise {
  cudnnPointwiseMode_t mode = CUDNN_POINTWISE_IDENTITY;
  double lower_clip = 0;
  double upper_clip = 0;  ///< 0: none
  double slope = 0;       ///< below the lower clip; alpha of ELU
  /// x * min(max(x + 3, 0), 6) / 6, made of three operations; `mode` is not used.
  bool is_hard_swish = false;
  /// The second operand is a tensor of y's shape.
  bool is_binary = false;
  std::int64_t operand = 0;  ///< its unique id
  std::vector<std::int64_t> operand_strides;
};

/// A convolution and what is fused into it. All tensors have one type; accumulation is f32.
struct DnnConv {
  DType dtype = DType::kF16;
  std::vector<std::int64_t> x, x_strides, w, w_strides, y, y_strides;
  std::vector<std::int64_t> pads_begin, pads_end, strides, dilations;
  bool has_bias = false;
  bool allow_tf32 = false;
  std::vector<DnnPointwise> pointwise;
  /// Stable text of everything above.
  std::string text() const;
};

/// Unique ids of the tensors of a DnnConv; post-op operands follow kOperand.
enum DnnTensor : std::int64_t { kDnnX = 1, kDnnW = 2, kDnnY = 3, kDnnBias = 4, kDnnOperand = 16 };

/// An engine with its knobs: what identifies one way to run an operation graph.
struct DnnEngine {
  std::int64_t index = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> knobs;  ///< type, value
  int sm_target = 0;                                         ///< 0: all
  /// "eng12,k2=3,k5=1"
  std::string text() const;
};
/// Inverse of text(); nothing when the text is no engine.
std::optional<DnnEngine> parse_dnn_engine(const std::string& text, int sm_target);

/// A built execution plan. Shared between kernels; const.
class DnnPlan {
 public:
  virtual ~DnnPlan() = default;
  virtual std::size_t workspace_bytes() const = 0;
  /// Enqueues on `stream`. Error{kDevice} when cuDNN refuses.
  virtual void execute(CUstream stream, const std::vector<std::pair<std::int64_t, void*>>& tensors,
                       void* workspace) const = 0;
};

/// cuDNN on one device: heuristics and plans, each kept by its text.
class Dnn {
 public:
  /// Errors of opening cuDNN are thrown by who first needs it.
  explicit Dnn(const Services& services);
  ~Dnn();
  Dnn(const Dnn&) = delete;
  Dnn& operator=(const Dnn&) = delete;

  /// "9.19.0"
  static std::string version();
  /// Engines that cuDNN suggests, best guess first; those of its fallback list when it has no
  /// other. `sm_target` 0 is the whole device. Empty when the graph is not supported.
  const std::vector<DnnEngine>& engines(const DnnConv& conv, int sm_target);
  /// Error{kUnsupported} when the engine cannot be built for this graph.
  std::shared_ptr<const DnnPlan> plan(const DnnConv& conv, const DnnEngine& engine);
  /// Begins to build plans side by side that plan() will soon be asked for, in this order. A plan
  /// may be compiled, which takes up to a second.
  void build_ahead(const std::vector<std::pair<DnnConv, DnnEngine>>& wanted);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gacer::cuda
