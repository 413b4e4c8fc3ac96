#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/precision.h"
#include "base/result.h"
#include "graph/graph.h"

namespace gacer {

/// An operand as a kernel meets it: a chunk's window on a value. Strides count elements and are in
/// the order of the logical axes; they are empty when the operand is dense in its layout.
struct OperandDesc {
  DType dtype = DType::kF32;
  Shape shape;  ///< of the chunk
  Layout layout = Layout::kRowMajor;
  std::vector<std::int64_t> strides;
  bool is_constant = false;
  bool is_absent = false;  ///< an optional operand that the node does not have
  bool is_dense() const { return strides.empty(); }
};

/// One node on one chunk: what kernels decide by. References must outlive the call.
struct KernelCall {
  const Graph& graph;
  const Node& node;
  Precision precision = Precision::kF32;
  std::vector<OperandDesc> inputs;  ///< one per node input, absent ones have is_absent
  std::vector<OperandDesc> outputs;

  /// The constant tensor behind an input, or nullptr.
  const Tensor* constant(int input) const;
};

/// Addresses for one recording. Constant inputs that a kernel packed at prepare() may be null.
struct Bindings {
  std::vector<void*> inputs;
  std::vector<void*> outputs;
  void* workspace = nullptr;
};

/// Where a kernel records its launches. Each backend has one subclass, which only that backend's
/// kernels know.
class Recorder {
 public:
  virtual ~Recorder() = default;
};

/// A variant of one call, prepared: weights packed, primitive built. Const and shareable between
/// programs; recording it twice with other bindings is allowed.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Scratch bytes that each concurrent recording needs for itself (64-byte aligned). A device may
  /// give it memory of its own instead of the bindings'.
  virtual std::size_t workspace_bytes() const { return 0; }
  /// Whether input i is read from Bindings at run time (false: packed at prepare, or unused).
  virtual bool reads_input(int /*input*/) const { return true; }
  virtual void record(const Bindings& bindings, Recorder& recorder) const = 0;
};

/// One way to run operators on a backend: supports → variants → prepare. Backends keep an ordered
/// list; the first that supports a call is its default, all that do contribute variants. Stateless
/// but for caches; one thread asks at a time.
class KernelImpl {
 public:
  virtual ~KernelImpl() = default;
  virtual std::string_view name() const = 0;
  /// True for what runs almost every operator slowly: passes do not rewrite a model to suit it.
  virtual bool is_fallback() const { return false; }
  /// Yes, or the reason why not.
  virtual Result<void> supports(const KernelCall& call) const = 0;
  /// Variant keys for a call at a width (groups of the device), best guess first. Text, stable
  /// across processes. Precondition: supports(call).
  virtual std::vector<std::string> variants(const KernelCall& call, int width) const = 0;
  /// Whether prepare() would try this key, by its text alone; empty when only variants() can tell.
  virtual std::optional<bool> knows(const std::string& /*key*/) const { return std::nullopt; }
  /// These variants will be asked for soon, and may not be after all: what takes long to build may
  /// begin now, side by side. The call need not outlive this.
  virtual void prepare_ahead(const KernelCall& /*call*/,
                             const std::vector<std::string>& /*keys*/) const {}
  /// Builds the variant. Error{kDevice} or {kUnsupported} when it cannot be built after all.
  virtual std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const = 0;
};

/// The KernelCall of a node's chunk (the whole batch when the chunk is empty).
struct ChunkRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
KernelCall make_call(const Graph& graph, NodeId node, Precision precision,
                     std::optional<ChunkRange> chunk = std::nullopt);
/// The same for a node that is not (yet) in the graph, but reads and writes its values.
KernelCall make_call(const Graph& graph, const Node& node, Precision precision,
                     std::optional<ChunkRange> chunk = std::nullopt);

/// Profile rows of a node are found by this: op_signature(), the batch when the node cannot be cut
/// (its signature is per item, but it always runs whole), and the arithmetic where the types do not
/// tell it (tf32).
std::string row_signature(const Graph& graph, NodeId node, Precision precision);

/// Bytes from a value's storage to the first element of a chunk. A slice's storage is its root's:
/// the slice's own place is part of the result.
std::size_t chunk_offset_bytes(const Graph& graph, ValueId value, std::int64_t first_item);

/// Element strides of a dense tensor, in the order of the logical axes. In a blocked layout the
/// stride of axis 1 is that between neighbouring *blocks*; inside a block channels are neighbours.
std::vector<std::int64_t> dense_strides(const Shape& shape, Layout layout);
/// Whether strides mean the same places as dense_strides() (axes of size one do not matter).
bool has_dense_strides(const Shape& shape, Layout layout, std::span<const std::int64_t> strides);
/// The strides of a value: its own dense ones, or its root's when it is a slice.
std::vector<std::int64_t> value_strides(const Graph& graph, ValueId value);

}  // namespace gacer
