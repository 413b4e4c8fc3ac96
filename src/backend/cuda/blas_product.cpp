// Products of matrices by cuBLASLt: the variants are algorithms that it suggests, also for fewer
// SMs.

#include "backend/cuda/blas_plan.h"
#include "backend/cuda/kernel_list.h"
#include "base/dtype.h"

namespace gacer::cuda {
namespace {

/// How many algorithms to try at most.
struct VariantCounts {
  std::size_t whole_device = 0;
  std::size_t narrow = 0;  ///< at less than the whole width
  std::size_t sm_target = 0;
};

class BlasProductImpl final : public KernelImpl {
 public:
  BlasProductImpl(const Services& services, ProductPlanner planner, VariantCounts counts)
      : services_(services), blas_(services), planner_(planner), counts_(counts) {}
  std::string_view name() const override { return "cublaslt"; }
  Result<void> supports(const KernelCall& call) const override {
    const Result<BlasCall> plan = planner_(call);
    if (!plan) return Refusal{plan.reason()};
    // Results of another type are not taken with every size and epilogue: ask.
    const BlasProduct& product = plan->product;
    if (product.result != product.dtype && blas_.variants(product, 0, 1).empty())
      return refuse("cuBLASLt has no algorithm from {} to {}", to_string(product.dtype),
                    to_string(product.result));
    return {};
  }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    const Context& context = services_.context();
    const bool is_all = width >= context.num_groups();
    const BlasProduct product = planner_(call)->product;
    std::vector<std::string> keys =
        blas_.variants(product, 0, is_all ? counts_.whole_device : counts_.narrow);
    const int sms = is_all ? context.num_sms() / 2 : width * context.sms_per_group();
    for (std::string& key : blas_.variants(product, sms, counts_.sm_target))
      keys.push_back(std::move(key));
    return keys;
  }
  std::optional<bool> knows(const std::string& key) const override { return Blas::knows(key); }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const Result<BlasCall> plan = planner_(call);
    if (!plan) fail(ErrorKind::kUnsupported, "{}", plan.reason());
    return blas_.prepare(call, *plan, key);
  }

 private:
  Services services_;
  Blas blas_;
  ProductPlanner planner_;
  VariantCounts counts_;
};

}  // namespace

// cuDNN offers 1x1 convolutions as well, so fewer are tried here.
std::unique_ptr<KernelImpl> make_blas_conv(const Services& services) {
  return std::make_unique<BlasProductImpl>(services, plan_conv_product, VariantCounts{3, 2, 1});
}

std::unique_ptr<KernelImpl> make_blas_matmul(const Services& services) {
  return std::make_unique<BlasProductImpl>(services, plan_matmul_product, VariantCounts{5, 2, 2});
}

}  // namespace gacer::cuda
