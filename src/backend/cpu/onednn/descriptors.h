#pragma once

#include <optional>
#include <string>

#include <oneapi/dnnl/dnnl.hpp>

#include "base/result.h"
#include "device/kernel.h"

namespace gacer::cpu {

using dnnl::memory;

/// The one CPU engine of oneDNN and a stream on it; both without state of their own.
const dnnl::engine& onednn_engine();
const dnnl::stream& onednn_stream();
/// "onednn/3.2": the family of variant keys.
const std::string& onednn_family();

/// Empty when oneDNN has no such type.
std::optional<memory::data_type> to_onednn(DType dtype);

/// An operand's window as oneDNN describes it, or why it cannot.
Result<memory::desc> describe(const OperandDesc& operand);
/// Row-major strides over the operand's memory with another shape of the same elements.
Result<memory::desc> describe_as(const OperandDesc& operand, const memory::dims& dims);
/// The operand read as having `rank` axes, new ones of size one in front. Row-major only.
Result<memory::desc> describe_with_rank(const OperandDesc& operand, int rank);
/// A dense row-major tensor of a type.
memory::desc dense_desc(memory::data_type type, const memory::dims& dims);

/// Post-ops of the node as attributes with user scratchpads, or why not. `out` describes the output
/// that they apply to (its logical axes are those of the operands).
Result<dnnl::primitive_attr> make_attributes(const KernelCall& call, const memory::desc& out);
/// How the operand of a post-op lies in the memory that is bound.
Result<memory::desc> describe_post_source(const KernelCall& call, const PostOp& post,
                                          const memory::desc& out);
/// How the primitive reads it: constants of the output's shape are packed as the output lies.
Result<memory::desc> describe_post_operand(const KernelCall& call, const PostOp& post,
                                           const memory::desc& out);

}  // namespace gacer::cpu
