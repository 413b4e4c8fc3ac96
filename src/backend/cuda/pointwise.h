#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/cuda/module.h"
#include "backend/cuda/services.h"
#include "device/kernel.h"

namespace gacer::cuda {

/// A kernel to generate: one result element a position of an index space, made from one element of
/// each input by an expression.
struct PointwiseSpec {
  struct Operand {
    DType dtype = DType::kF32;
    /// In elements, one an axis of `dims`; 0 where the element is repeated.
    std::vector<std::int64_t> strides;
    /// Not empty: C code of the element's index in coordinates c0, c1, … instead of the strides.
    std::string index;
    /// Not empty: C code of a condition on c0, c1, …; where it is false, the element is `fill`.
    std::string guard;
    std::string fill = "0";
  };
  std::vector<std::int64_t> dims;
  Operand out;  ///< index and guard are not used
  std::vector<Operand> in;
  /// C code over x0, x1, … (of type `compute`), stored in the result's type.
  std::string expression = "x0";
  /// "float", "double" or "long long".
  std::string compute = "float";
};

/// A generated kernel, compiled and loaded. Shared by equal specs.
class PointwiseProgram {
 public:
  PointwiseProgram(const Services& services, const PointwiseSpec& spec);
  /// Begins to compile what the constructor will need, beside other work.
  static void compile_ahead(const Services& services, const PointwiseSpec& spec);
  void record(CUstream stream, void* out, std::span<void* const> in) const;

 private:
  struct Form {
    CUkernel kernel = nullptr;
    std::int64_t threads = 0;
  };
  Form make_form(const Services& services, const PointwiseSpec& spec, int vector);

  std::vector<std::shared_ptr<const CompiledModule>> modules_;
  Form scalar_;
  Form vector_;
  int vector_width_ = 1;
  std::vector<std::size_t> alignments_;  ///< of out, then of each input, for the vector form
};

/// The C code of an activation of `x`, which is evaluated more than once.
std::string activation_code(Activation activation, float alpha, float beta, const std::string& x);
/// A float as exact C code.
std::string literal(float value);

/// Strides of an operand along the axes of an output of `rank`, aligned from the right; 0 where it
/// is repeated.
std::vector<std::int64_t> aligned_strides(const OperandDesc& desc, const Shape& out);
/// Its own strides, dense or not.
std::vector<std::int64_t> own_strides(const OperandDesc& desc);

/// Appends post-ops [first, …) to a spec whose expression is the value so far: expression and extra
/// inputs. `post_inputs` receives the node input behind each appended operand.
Result<void> append_post_ops(const KernelCall& call, std::size_t first, PointwiseSpec& spec,
                             std::vector<int>& post_inputs);

}  // namespace gacer::cuda
