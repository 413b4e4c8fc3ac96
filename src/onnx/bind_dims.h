#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "onnx/reader.h"

namespace gacer {

/// A dimension as a file states it: a size, a symbol, or neither.
struct FileDim {
  std::int64_t size = -1;  ///< negative: dynamic
  std::string symbol;      ///< empty: unnamed
  bool is_dynamic() const { return size < 0; }
};

/// A model input as a file states it.
struct FileInput {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<FileDim> dims;
};

/// Model inputs with static shapes. `batch_axes` of an input are those that the batch was bound to.
struct BoundInput {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<int> batch_axes;
};
struct BoundInputs {
  std::vector<BoundInput> inputs;
  std::int64_t batch = 1;
  bool has_batch = false;

  /// The same inputs at another batch.
  BoundInputs with_batch(std::int64_t other) const;
};

/// Gives every dynamic dimension its size; the rules are those of ReadOptions. In words:
/// - The batch is every dimension named N, batch or batch_size. Without one it is the outermost
///   dynamic dimension, if that is axis 0, or axis 1 behind a fixed axis greater than 1 (sequences
///   of shape [T, N, C]); with it, dimensions on the same axis of other inputs that are unnamed too
///   or numbered alike ("unk__1", "unk__2").
/// - `dims` may bind the batch as well; then it must not contradict `batch`.
/// Errors: kUsage (unknown key, a fixed dimension given another size, a batch for a model that has
/// none), kModel (dimensions left without a size, all of them listed with what would bind them).
BoundInputs bind_dims(const std::vector<FileInput>& inputs, const ReadOptions& options);

}  // namespace gacer
