#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gacer/device_info.h>
#include <gacer/plan.h>

#include "backend/cuda/driver.h"

namespace gacer::cuda {

/// Keeps a GPU's primary context alive.
class PrimaryContext {
 public:
  explicit PrimaryContext(CUdevice device);
  ~PrimaryContext();
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;
  CUcontext get() const { return context_; }

 private:
  CUdevice device_;
  CUcontext context_ = nullptr;
};

/// One GPU's primary context and its green contexts.
///
/// The streaming multiprocessors are split once into groups of 8 (the smallest that compute
/// capability 9.0 allows); a budget is an interval of those groups and becomes one green context,
/// made on first use and kept. What the split leaves over belongs to the budget "all" alone, which
/// is the primary context. Not thread-safe.
class Context {
 public:
  explicit Context(int ordinal);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  CUdevice device() const { return device_; }
  CUcontext primary() const { return primary_.get(); }
  int num_groups() const { return static_cast<int>(groups_.size()); }
  int sms_per_group() const { return sms_per_group_; }
  const std::string& name() const { return name_; }  ///< of the GPU
  int num_sms() const { return num_sms_; }
  int compute_capability() const { return compute_capability_; }  ///< 90 for 9.0
  /// Whether own kernels may be launched with clusters: their code for them is Hopper's alone.
  bool has_clusters() const { return compute_capability_ == 90; }
  /// Most shared memory that a block may ask for.
  std::size_t max_shared_bytes() const { return max_shared_bytes_; }

  /// The context of a budget; the primary one for "all" or for every group.
  CUcontext budget_context(const Budget& budget);
  /// Multiprocessors inside a budget.
  int budget_sms(const Budget& budget) const;

  /// Makes the primary context current on the calling thread.
  void make_current() const;

  /// The driver value of a priority rank: rank 0 is the least urgent, each higher rank more urgent,
  /// up to what the driver offers.
  int driver_priority(int rank) const;

  /// Buffers report what they take and, negative, what they give back.
  void count_bytes(std::ptrdiff_t change) const { allocated_bytes_ += change; }
  std::size_t allocated_bytes() const { return static_cast<std::size_t>(allocated_bytes_); }

 private:
  struct Green {
    CUgreenCtx handle = nullptr;
    CUcontext context = nullptr;
  };

  CUdevice device_;
  PrimaryContext primary_;
  std::string name_;
  int num_sms_ = 0;
  int sms_per_group_ = 0;
  int compute_capability_ = 0;
  std::size_t max_shared_bytes_ = 0;
  int least_priority_ = 0;
  int greatest_priority_ = 0;
  std::vector<CUdevResource> groups_;
  std::map<std::pair<int, int>, Green> greens_;
  mutable std::ptrdiff_t allocated_bytes_ = 0;
};

/// A non-blocking stream of the primary context. Move-only owner.
class Stream {
 public:
  explicit Stream(const Context& context);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  CUstream get() const { return stream_; }
  void synchronize() const;

 private:
  CUstream stream_ = nullptr;
};

/// A timing event. Move-only owner.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  CUevent get() const { return event_; }
  void record(const Stream& stream) const;
  /// Milliseconds from `start` to this event; both must have happened.
  double since(const Event& start) const;

 private:
  CUevent event_ = nullptr;
};

/// Facts of a GPU, libraries excluded (those are added by whoever links them).
DeviceInfo describe_device(int ordinal);
/// 0 when there is no driver or no GPU; `reason` then says why.
int count_devices(std::string* reason = nullptr);

}  // namespace gacer::cuda
