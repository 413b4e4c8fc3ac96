#pragma once

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "device/device.h"
#include "graph/graph.h"

namespace gacer::conformance {

/// One operator with its operands: a graph of one node. The same case serves every backend.
struct Case {
  std::string name;
  Graph graph;
  /// Layouts that image values are tried in besides row-major (values of rank 3 to 5 only).
  bool has_image_layouts = false;
  /// A kernel that the CPU backend must offer for it in at least one layout; empty: plain loops do.
  std::string cpu_kernel;
  /// Tolerance as a part of the result's scale.
  double tolerance = 1e-4;
  /// Uniform random inputs lie in [low, high].
  float low = -1;
  float high = 1;
};
/// Test names show the case's own.
inline void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

/// Small helper to state cases: values, then one node.
class CaseBuilder {
 public:
  explicit CaseBuilder(std::string name) { case_.name = std::move(name); }
  /// An activation whose axis 0 is the batch (`batch_axis` -1: it carries none).
  ValueId input(Shape shape, int batch_axis = 0, DType dtype = DType::kF32);
  /// A constant with seeded random values.
  ValueId constant(Shape shape, DType dtype = DType::kF32);
  ValueId constant(Tensor tensor);
  CaseBuilder& node(std::string op, std::vector<ValueId> inputs, Attributes attributes = {},
                    int num_outputs = 1);
  CaseBuilder& activation(Activation activation, float alpha = 0, float beta = 0);
  CaseBuilder& post(PostOp::Kind kind, ValueId operand);
  CaseBuilder& images(std::string cpu_kernel) {
    case_.has_image_layouts = true;
    case_.cpu_kernel = std::move(cpu_kernel);
    return *this;
  }
  CaseBuilder& kernel(std::string cpu_kernel) {
    case_.cpu_kernel = std::move(cpu_kernel);
    return *this;
  }
  /// A type of the result that is not the inferred one.
  CaseBuilder& result(DType dtype) {
    result_ = dtype;
    return *this;
  }
  CaseBuilder& range(float low, float high) {
    case_.low = low;
    case_.high = high;
    return *this;
  }
  CaseBuilder& tolerance(double value) {
    case_.tolerance = value;
    return *this;
  }
  Case build();

 private:
  Case case_;
  Node node_;
  int num_outputs_ = 1;
  std::optional<DType> result_;
  std::int64_t batch_ = 1;
};

/// What running a case on a device came to.
struct Outcome {
  int num_runs = 0;  ///< variants × chunks × layouts × widths that ran and matched
  std::vector<std::string> kernels;  ///< that took part
  std::vector<std::string> failures;
  std::vector<std::string> refusals;
};

/// Runs the node with every kernel that supports it: in each layout, whole and in chunks, at each
/// width, each variant; buffers and workspaces hold NaN before. Results are compared with the
/// reference evaluation.
Outcome run_case(const Case& test, Device& device, unsigned seed);

/// The same with every operand a window on a larger value.
Case with_slices(const Case& test);

}  // namespace gacer::conformance
