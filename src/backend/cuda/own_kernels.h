#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/cuda/services.h"
#include "base/error.h"
#include "base/result.h"
#include "device/kernel.h"

namespace gacer::cuda {

/// Own kernels for one kind of operator. What a call asks of them is a Plan, made anew whenever
/// somebody asks: subclasses say how it is made or why not, which variants it has, and build them.
template <typename Plan>
class OwnKernels : public KernelImpl {
 public:
  Result<void> supports(const KernelCall& call) const final {
    const Result<Plan> plan = make_plan(call);
    if (!plan) return Refusal{plan.reason()};
    return {};
  }
  std::vector<std::string> variants(const KernelCall& call, int /*width*/) const final {
    return keys(call, *make_plan(call));
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const final {
    Result<Plan> plan = make_plan(call);
    if (!plan) fail(ErrorKind::kUnsupported, "'{}': {}", key, plan.reason());
    std::unique_ptr<Kernel> kernel = build(call, std::move(plan.value()), key);
    if (kernel == nullptr)
      fail(ErrorKind::kUnsupported, "'{}' is no variant of this {}", key, call.node.op);
    return kernel;
  }

 protected:
  explicit OwnKernels(const Services& services) : services_(services) {}

  virtual Result<Plan> make_plan(const KernelCall& call) const = 0;
  /// Variants that are worth measuring, the best guess first.
  virtual std::vector<std::string> keys(const KernelCall& call, const Plan& plan) const = 0;
  /// nullptr for a key that is nothing here.
  virtual std::unique_ptr<Kernel> build(const KernelCall& call, Plan plan,
                                        const std::string& key) const = 0;
  const Services& services() const { return services_; }

 private:
  Services services_;
};

/// The keys of a plan's forms.
template <typename Form>
std::vector<std::string> keys_of(const std::vector<Form>& forms) {
  std::vector<std::string> keys;
  for (const Form& form : forms) keys.push_back(form.key());
  return keys;
}

/// Own kernels with a single variant.
template <typename Plan>
class OwnKernel : public OwnKernels<Plan> {
 public:
  std::optional<bool> knows(const std::string& key) const final { return key == key_; }

 protected:
  OwnKernel(const Services& services, std::string_view key)
      : OwnKernels<Plan>(services), key_(key) {}

  virtual std::unique_ptr<Kernel> build_only(const KernelCall& call, Plan plan) const = 0;

 private:
  std::vector<std::string> keys(const KernelCall& /*call*/, const Plan& /*plan*/) const final {
    return {key_};
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, Plan plan,
                                const std::string& key) const final {
    return key == key_ ? build_only(call, std::move(plan)) : nullptr;
  }

  std::string key_;
};

}  // namespace gacer::cuda
