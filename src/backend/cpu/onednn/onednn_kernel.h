#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/onednn/descriptors.h"
#include "backend/cpu/onednn/packed_constants.h"
#include "backend/cpu/recorder.h"

namespace gacer::cpu {

/// Where an argument of a primitive lies when a kernel is recorded.
struct Place {
  enum class Kind { kInput, kOutput, kWorkspace, kConstant };
  Kind kind = Kind::kInput;
  int index = 0;           ///< of the input, output or constant
  std::size_t offset = 0;  ///< bytes from there
};

/// Puts a kernel together: primitives in order, their operands, scratchpads and packed constants.
class KernelBuilder {
 public:
  KernelBuilder(const KernelCall& call, int threads);

  const KernelCall& call() const { return call_; }
  /// Bytes of the workspace that nothing else of the kernel uses.
  Place workspace(std::size_t bytes);
  Place input(int index) const { return {Place::Kind::kInput, index, 0}; }
  Place output(int index) const { return {Place::Kind::kOutput, index, 0}; }
  /// An input that lies as `from`, brought to `to`: a constant once, now; anything else by a
  /// reorder that runs first. Constants that need no packing are kept by the kernel too.
  Place packed(int input, const memory::desc& from, const memory::desc& to);
  /// Values that the kernel brings along.
  Place constant(const Tensor& tensor);
  /// The same, packed from one description to another.
  Place constant(const Tensor& tensor, const memory::desc& from, const memory::desc& to);

  struct Argument {
    int id = 0;
    Place place;
  };
  /// Appends a primitive. The scratchpad and the operands of the node's post-ops (which `desc`
  /// then has) are added here when `has_posts`.
  void add(const dnnl::primitive_desc_base& desc, std::vector<Argument> arguments,
           bool has_posts = false);
  /// Appends work of our own.
  using Work = std::function<void(StepTeam& team, const std::vector<void*>& places)>;
  void add(std::string name, std::vector<Place> places, Work work);

  std::unique_ptr<Kernel> finish();

 private:
  friend class OnednnKernel;
  struct Stage {
    std::string name;
    dnnl::primitive primitive;  ///< empty: `work`
    std::vector<int> ids;
    std::vector<memory::desc> descs;
    std::vector<Place> places;
    Work work;
  };
  const KernelCall& call_;
  int threads_;
  std::size_t workspace_bytes_ = 0;
  std::vector<Stage> stages_;
  std::vector<std::shared_ptr<const PackedConstant>> constants_;
};

/// A oneDNN operator: which primitive a call becomes and how its operands are bound. Variants are
/// oneDNN's implementations of the primitive, by the names it gives them.
class OnednnImpl : public KernelImpl {
 public:
  Result<void> supports(const KernelCall& call) const final;
  std::vector<std::string> variants(const KernelCall& call, int width) const final;
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const final;

 protected:
  /// The primitive that runs the node, or why there is none. `option` is one of options().
  virtual Result<dnnl::primitive_desc_base> describe_primitive(const KernelCall& call,
                                                               std::string_view option) const = 0;
  virtual void bind(KernelBuilder& builder, const dnnl::primitive_desc_base& desc) const = 0;
  /// Ways to set the primitive up that are worth trying; variants of other than "" are named by
  /// them.
  virtual std::vector<std::string_view> options(const KernelCall& /*call*/) const { return {""}; }
  /// Whether what oneDNN calls a reference implementation is worth having.
  virtual bool takes_reference() const { return false; }
  /// The call as the primitive sees it: operands may be given other axes on the same memory.
  virtual KernelCall adapt(const KernelCall& call) const { return call; }

 private:
  /// Calls `visit(detail, desc)` for each implementation until it returns true.
  template <typename Visit>
  Result<void> for_each_implementation(const KernelCall& call, int threads,
                                       const Visit& visit) const;
};

}  // namespace gacer::cpu
