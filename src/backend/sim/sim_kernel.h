#pragma once

#include <memory>
#include <string>

#include "device/device.h"
#include "device/kernel.h"
#include "profile/recording.h"

namespace gacer::sim {

/// A variant by name; its times are rows of the recording.
class SimKernel final : public Kernel {
 public:
  SimKernel(std::string signature, std::int64_t items, std::string variant,
            std::int64_t workspace_bytes, int launches)
      : signature_(std::move(signature)),
        items_(items),
        variant_(std::move(variant)),
        workspace_bytes_(static_cast<std::size_t>(workspace_bytes)),
        launches_(launches) {}

  const std::string& signature() const { return signature_; }
  std::int64_t items() const { return items_; }
  const std::string& variant() const { return variant_; }
  int launches() const { return launches_; }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  void record(const Bindings&, Recorder&) const override {}

 private:
  std::string signature_;
  std::int64_t items_;
  std::string variant_;
  std::size_t workspace_bytes_;
  int launches_;
};

/// Offers what was recorded. To the passes, which ask about forms on the way to the final one, it
/// says yes to whatever leads to a recorded form (and to operators that the recording lacks).
class SimKernels final : public KernelImpl {
 public:
  explicit SimKernels(std::shared_ptr<const Recording> recording)
      : recording_(std::move(recording)) {}

  std::string_view name() const override { return "recorded"; }
  Result<void> supports(const KernelCall& call) const override;
  std::vector<std::string> variants(const KernelCall& call, int width) const override;
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override;

 private:
  std::shared_ptr<const Recording> recording_;
};

}  // namespace gacer::sim
