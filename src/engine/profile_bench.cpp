#include "engine/profile_bench.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

#include "base/dtype.h"
#include "base/error.h"
#include "engine/check.h"
#include "engine/inputs.h"
#include "engine/tenant_io.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

/// Of what is so much slower than the best, two runs are enough to know. Those of a short kernel
/// are longer than later ones.
constexpr double kFarFromBest = 2.5;
constexpr double kShortMs = 0.02;
/// What lies behind every operand: no number, which nothing may read or overwrite.
constexpr std::size_t kTailBytes = 256;

std::size_t storage_bytes(const Graph& graph, ValueId root) {
  return static_cast<std::size_t>(std::max<std::int64_t>(value_bytes(graph.value(root)), 1));
}

std::byte* tail_of(const Buffer& buffer) {
  return static_cast<std::byte*>(buffer.data()) + buffer.size() - kTailBytes;
}

/// Why a variant is rejected that cannot be built or run: a fact about the variant. Other errors
/// are not, and thrown again.
std::string reason_of(const Error& error) {
  if (error.kind() == ErrorKind::kOutOfMemory) return lack_of_memory_text(error.message());
  if (error.kind() == ErrorKind::kDevice || error.kind() == ErrorKind::kUnsupported)
    return error.message();
  throw;
}

/// How many calls make a program long enough that starting it does not count.
int count_repeats(double call_ms, int most = 32) {
  constexpr double kProgramMs = 0.5;
  return std::clamp(static_cast<int>(std::ceil(kProgramMs / std::max(call_ms, 1e-4))), 1, most);
}

std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

double flop_of(const Graph& graph, NodeId node, const std::optional<ChunkRange>& range) {
  const double flop = cost_of(graph, node).flop;
  return range ? flop * static_cast<double>(range->end - range->begin) / graph.batch : flop;
}

}  // namespace

ProfileBench::ProfileBench(Device& device, const PlacedTenant& tenant, NodeId node,
                           std::optional<ChunkRange> range, ConstantStore& constants,
                           const ProfileLimits& limits)
    : device_(device),
      tenant_(tenant),
      graph_(tenant.graph()),
      node_(graph_.node(node)),
      range_(range),
      constants_(constants),
      limits_(limits),
      call_(make_call(graph_, node, tenant.precision, range)),
      oracle_(device, tenant, node, range, flop_of(graph_, node, range)) {}

ProfileBench::Operands& ProfileBench::operands(std::size_t copy) {
  while (copies_.size() <= copy) {
    auto made = std::make_unique<Operands>();
    for (const ValueId input : node_.inputs) {
      if (input == kNone || graph_.is_constant(graph_.root_of(input))) continue;
      const ValueId root = graph_.root_of(input);
      auto& buffer = made->inputs[root];
      if (buffer) continue;
      buffer = device_.allocate(storage_bytes(graph_, root) + kTailBytes);
      if (copies_.empty()) {
        fill_random(graph_.value(root), input, *buffer);
        device_.fill(tail_of(*buffer), kPoison, kTailBytes);
      } else {
        device_.copy(buffer->data(), copies_[0]->inputs.at(root)->data(), buffer->size());
      }
    }
    for (const ValueId output : node_.outputs) {
      if (output == kNone) continue;
      auto& buffer = made->outputs[graph_.root_of(output)];
      const std::size_t bytes = storage_bytes(graph_, graph_.root_of(output));
      if (!buffer) buffer = device_.allocate(bytes + kTailBytes);
    }
    copies_.push_back(std::move(made));
  }
  return *copies_[copy];
}

/// Numbers repeat with a period that no shape shares, which is quick and random enough.
void ProfileBench::fill_random(const Value& storage, ValueId id, Buffer& buffer) {
  constexpr std::int64_t kPeriod = 16381;
  InputRange range{0, 1};
  if (node_.op.starts_with("Gather") && node_.inputs.size() > 1 && node_.inputs[1] == id) {
    const Shape& table = graph_.value(node_.inputs[0]).shape;
    std::int64_t axis = node_.attributes.get_int("axis", 0);
    if (axis < 0) axis += table.rank();
    range.high = std::max<std::int64_t>(table[static_cast<int>(axis)] - 1, 0);
  }
  const std::int64_t count = storage.shape.num_elements();
  const Tensor block = make_random_tensor(storage.dtype, Shape{std::min(count, kPeriod)}, range,
                                          static_cast<std::uint64_t>(id) + 17);
  Tensor dense(storage.dtype, storage.shape);
  const std::size_t total = dense.size_bytes();
  for (std::size_t done = 0; done < total; done += block.size_bytes())
    std::copy_n(block.bytes(), std::min(block.size_bytes(), total - done),
                dense.mutable_bytes() + done);
  OperandDesc desc;
  desc.dtype = storage.dtype;
  desc.shape = storage.shape;
  desc.layout = storage.layout;
  const std::int64_t block_size = channel_block(storage.layout);
  if (block_size == 1 || storage.shape[1] % block_size == 0) {
    // Any order of random numbers is as good.
    device_.upload(buffer.data(), dense.bytes(), total);
    return;
  }
  std::vector<std::byte> placed(extent_bytes(desc));  // channel padding is zero
  scatter_row_major(desc, dense.bytes(), placed.data());
  device_.upload(buffer.data(), placed.data(), placed.size());
}

Bindings ProfileBench::bind(Operands& operands, const Kernel& kernel) const {
  const std::int64_t first = range_ ? range_->begin : 0;
  const auto offset = [&](ValueId id) { return chunk_offset_bytes(graph_, id, first); };
  Bindings bindings;
  bindings.workspace = operands.workspace ? operands.workspace->data() : nullptr;
  for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
    const ValueId id = node_.inputs[i];
    std::byte* base = nullptr;
    if (id != kNone) {
      const ValueId root = graph_.root_of(id);
      if (!graph_.is_constant(root))
        base = static_cast<std::byte*>(operands.inputs.at(root)->data());
      else if (kernel.reads_input(static_cast<int>(i)))
        base = static_cast<std::byte*>(constants_.address(*graph_.value(root).constant));
    }
    bindings.inputs.push_back(base == nullptr ? nullptr : base + offset(id));
  }
  for (const ValueId id : node_.outputs)
    bindings.outputs.push_back(
        id == kNone ? nullptr
                    : static_cast<std::byte*>(operands.outputs.at(graph_.root_of(id))->data()) +
                          offset(id));
  return bindings;
}

std::unique_ptr<Capture> ProfileBench::capture(std::size_t copy, const Kernel& kernel) {
  Operands& own = operands(copy);
  const std::size_t bytes = kernel.workspace_bytes();
  if (bytes > 0 && (!own.workspace || own.workspace->size() < bytes)) {
    own.workspace.reset();  // not both at once
    own.workspace = device_.allocate(bytes);
  }
  return device_.capture(kernel, bind(own, kernel));
}

void ProfileBench::capture_copies(std::int64_t count, const Kernel& kernel,
                                  std::vector<std::unique_ptr<Capture>>& captures) {
  try {
    while (std::ssize(captures) < count) captures.push_back(capture(captures.size(), kernel));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kOutOfMemory) throw;
  }
}

Budget ProfileBench::budget_of(std::size_t copy, int width) const {
  const int num_groups = device_.info().num_groups;
  if (width >= num_groups) return {};
  const int place = static_cast<int>(copy) % std::max(1, num_groups / width);
  return {place * width, (place + 1) * width};
}

std::vector<ProgramStep> ProfileBench::make_steps(
    std::span<const std::unique_ptr<Capture>> captures, int width, int repeats) const {
  std::vector<ProgramStep> steps;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (std::size_t copy = 0; copy < captures.size(); ++copy) {
      ProgramStep step;
      step.capture = captures[copy].get();
      step.budget = budget_of(copy, width);
      step.lane = static_cast<int>(copy);
      if (repeat > 0)
        step.waits_for = {static_cast<int>(steps.size()) - static_cast<int>(captures.size())};
      steps.push_back(std::move(step));
    }
  }
  return steps;
}

double ProfileBench::time_copies(const Kernel& kernel,
                                 const std::vector<std::unique_ptr<Capture>>& captures, int width,
                                 double estimate_ms) {
  const int repeats = count_repeats(estimate_ms);
  std::vector<ProgramStep> steps = make_steps(captures, width, repeats);
  // What one call of a copy needs put back is put back beside its next.
  std::vector<std::unique_ptr<Capture>> others;
  if (captures[0]->has_state()) {
    while (others.size() < captures.size()) others.push_back(capture(others.size(), kernel));
    for (std::size_t i = 0; i < steps.size(); ++i)
      if (i / captures.size() % 2 == 1) steps[i].capture = others[i % captures.size()].get();
  }
  return time_steps(steps, estimate_ms) / repeats / static_cast<double>(captures.size());
}

double ProfileBench::time_alone(const Kernel& kernel, const Capture& first, int width,
                                double estimate_ms) {
  const int repeats = count_repeats(estimate_ms);
  // As in a round, where nothing is used a second time.
  std::vector<std::unique_ptr<Capture>> others;
  std::vector<ProgramStep> steps(static_cast<std::size_t>(repeats));
  for (int i = 0; i < repeats; ++i) {
    ProgramStep& step = steps[static_cast<std::size_t>(i)];
    if (i > 0 && first.has_state()) others.push_back(capture(0, kernel));
    step.capture = others.empty() ? &first : others.back().get();
    step.budget = budget_of(0, width);
    if (i > 0) step.waits_for = {i - 1};
  }
  return time_steps(steps, estimate_ms) / repeats;
}

double ProfileBench::time_steps(std::span<const ProgramStep> steps, double estimate_ms) {
  constexpr double kSlowMs = 100;
  const auto program = device_.assemble(steps);
  const int min_runs = estimate_ms > kSlowMs ? 1 : limits_.min_runs;
  const double limit_ms = std::chrono::duration<double, std::milli>(limits_.timing.variant).count();
  if (estimate_ms <= kSlowMs) program->run();
  double best = 0;
  double spent = 0;
  for (int run = 0; run < min_runs || (spent < limit_ms && run < 20); ++run) {
    const double ms = program->run();
    spent += ms;
    best = run == 0 ? ms : std::min(best, ms);
  }
  return best;
}

void ProfileBench::poison() {
  const Operands& own = operands(0);
  const auto fill = [&](const Buffer& buffer) {
    device_.fill(buffer.data(), kPoison, buffer.size());
  };
  for (const auto& [id, buffer] : own.outputs) fill(*buffer);
  if (own.workspace) fill(*own.workspace);
}

Result<void> ProfileBench::check_tails() const {
  const std::int64_t first = range_ ? range_->begin : 0;
  for (std::size_t i = 0; i < node_.outputs.size(); ++i) {
    const ValueId id = node_.outputs[i];
    if (id == kNone) continue;
    const ValueId root = graph_.root_of(id);
    // What lies behind one result of a node may be another's.
    if (std::count_if(node_.outputs.begin(), node_.outputs.end(), [&](ValueId other) {
          return other != kNone && graph_.root_of(other) == root;
        }) > 1)
      continue;
    const Buffer& buffer = *copies_[0]->outputs.at(root);
    const std::size_t end = static_cast<std::size_t>(chunk_offset_bytes(graph_, id, first)) +
                            extent_bytes(call_.outputs[i]);
    std::array<unsigned char, kTailBytes> tail;
    device_.download(tail.data(), static_cast<std::byte*>(buffer.data()) + end, kTailBytes);
    if (std::any_of(tail.begin(), tail.end(), [](unsigned char x) { return x != kPoison; }))
      return refuse("writes behind the end of its output");
  }
  return {};
}

Result<void> ProfileBench::check_outputs() {
  if (auto intact = check_tails(); !intact) return intact;
  const Operands& own = operands(0);
  return oracle_.check(
      [&](ValueId root) { return static_cast<const std::byte*>(own.inputs.at(root)->data()); },
      [&](ValueId root) { return static_cast<const std::byte*>(own.outputs.at(root)->data()); });
}

std::int64_t ProfileBench::count_copies(const ProfileRow& row) const {
  constexpr std::int64_t kCopies = 8;
  std::int64_t bytes = row.workspace_bytes;
  for (const auto& [id, buffer] : copies_[0]->inputs)
    bytes += static_cast<std::int64_t>(buffer->size());
  for (const auto& [id, buffer] : copies_[0]->outputs)
    bytes += static_cast<std::int64_t>(buffer->size());
  const std::int64_t fit = limits_.copies_bytes / std::max<std::int64_t>(bytes, 1);
  const std::int64_t wanted =
      device_.is_width_fixed() ? device_.info().num_groups / row.width : kCopies;
  return std::min(wanted, std::max<std::int64_t>(fit, 1));
}

Budget ProfileBench::budget_to_compare(std::size_t copy, int width) const {
  return budget_of(copy, device_.is_width_fixed() ? 1 : width);
}

std::vector<std::unique_ptr<Capture>> ProfileBench::capture_comparisons(const Kernel& kernel,
                                                                        int width, std::size_t copy,
                                                                        RowDifference* found) {
  std::vector<std::unique_ptr<Capture>> comparisons;
  const std::vector<void*> addresses = bind(operands(copy), kernel).outputs;
  for (std::size_t output = 0; output < addresses.size(); ++output) {
    if (addresses[output] == nullptr) continue;
    const Result<ByteRows> rows = rows_of(call_.outputs[output]);
    if (!rows) continue;
    auto& kept = kept_[output];
    if (!kept) kept = device_.allocate(std::max<std::size_t>(rows->size(), 1));
    if (copy == 0) {
      const auto keep = device_.capture(*device_.make_row_copy(*rows),
                                        {{addresses[output]}, {kept->data()}, nullptr});
      ProgramStep step;
      step.capture = keep.get();
      step.budget = budget_to_compare(0, width);
      device_.assemble({&step, 1})->run();
    }
    comparisons.push_back(device_.capture(*device_.make_row_comparison(*rows),
                                          {{addresses[output], kept->data()}, {found}, nullptr}));
  }
  return comparisons;
}

Result<void> ProfileBench::compare_repeats(const ProfileRow& row) {
  const Kernel& kernel = *kernel_of_.at(row.variant);
  std::vector<std::unique_ptr<Capture>> calls;
  capture_copies(count_copies(row), kernel, calls);
  if (calls.size() < 2) return {};
  device_.assemble(make_steps({calls.data(), 1}, row.width, 1))->run();
  const auto found_there = device_.allocate(calls.size() * sizeof(RowDifference));
  std::vector<std::vector<std::unique_ptr<Capture>>> comparisons;
  for (std::size_t copy = 0; copy < calls.size(); ++copy)
    comparisons.push_back(capture_comparisons(
        kernel, row.width, copy, static_cast<RowDifference*>(found_there->data()) + copy));

  // Chains of calls with their comparisons, as long as a program is worth it.
  const double all_ms = row.saturated_ms * static_cast<double>(calls.size());
  const int repeats = count_repeats(all_ms, /*most=*/16);
  std::vector<ProgramStep> steps;
  for (std::size_t copy = 0; copy < calls.size(); ++copy) {
    bool is_first = true;
    const auto add = [&](const Capture& capture, Budget budget) {
      ProgramStep step;
      step.capture = &capture;
      step.budget = budget;
      step.lane = static_cast<int>(copy);
      if (!is_first) step.waits_for = {static_cast<int>(steps.size()) - 1};
      is_first = false;
      steps.push_back(std::move(step));
    };
    for (int repeat = 0; repeat < repeats; ++repeat) {
      add(*calls[copy], budget_of(copy, row.width));
      for (const auto& comparison : comparisons[copy])
        add(*comparison, budget_to_compare(copy, row.width));
    }
  }
  const auto program = device_.assemble(steps);

  const std::vector<RowDifference> none(calls.size());
  std::vector<RowDifference> found = none;
  const std::size_t bytes = none.size() * sizeof(RowDifference);
  const double limit_ms = std::chrono::duration<double, std::milli>(limits_.timing.repeats).count();
  int runs = 0;
  double spent = 0;
  while (spent < limit_ms && runs < limits_.timing.max_repeats) {
    device_.upload(found_there->data(), none.data(), bytes);
    spent += program->run();
    runs += repeats * static_cast<int>(calls.size());
    device_.download(found.data(), found_there->data(), bytes);
    for (const RowDifference& one : found)
      if (one.bytes > 0)
        return refuse(
            "gave another result beside copies of itself than alone: {} bytes, within {} runs",
            one.bytes, runs);
  }
  return {};
}

void ProfileBench::measure(const KernelImpl& impl, const KernelCall& call, double best_ms,
                           ProfileRow& row) {
  try {
    // Kept while the node is measured: variants share packed weights, which go with the last.
    const Kernel* kernel = kernels_.emplace_back(impl.prepare(call, row.variant)).get();
    kernel_of_[row.variant] = kernel;
    row.workspace_bytes = static_cast<std::int64_t>(kernel->workspace_bytes());
    std::vector<std::unique_ptr<Capture>> captures;
    captures.push_back(capture(0, *kernel));
    row.launches = captures[0]->num_launches();
    row.footprint = join(captures[0]->footprint());

    // Where a width is only a part of the device, a variant's launches are the same on all.
    const std::pair<std::string, int> checked(row.variant,
                                              device_.is_width_fixed() ? row.width : 0);
    const bool is_new = !checked_.contains(checked);
    if (is_new) poison();
    const auto once = device_.assemble(make_steps(captures, row.width, 1));
    row.solo_ms = once->run();
    if (is_new) {
      if (const Result<void> matches = check_outputs(); !matches) {
        row.rejected = matches.reason();
        return;
      }
      checked_.insert(checked);
    }
    const double far_ms = kFarFromBest * std::max(best_ms, kShortMs);
    if (best_ms > 0 && row.solo_ms > far_ms) {
      row.solo_ms = std::min(row.solo_ms, once->run());
      if (row.solo_ms > far_ms) return;
    }
    row.solo_ms = time_alone(*kernel, *captures[0], row.width, row.solo_ms);
    if (row.saturated_ms > 0) return;

    const std::int64_t copies = count_copies(row);
    if (copies * row.width < device_.info().num_groups && device_.is_width_fixed()) return;
    capture_copies(copies, *kernel, captures);
    row.saturated_ms =
        captures.size() == 1 ? row.solo_ms : time_copies(*kernel, captures, row.width, row.solo_ms);
  } catch (const Error& error) {
    row.rejected = reason_of(error);
  }
}

void ProfileBench::check_repeats(ProfileRow& row) {
  try {
    if (const Result<void> same = compare_repeats(row); !same)
      row.rejected = unsteady_text(same.reason());
  } catch (const Error& error) {
    // No place for what is compared says nothing about the variant.
    if (error.kind() != ErrorKind::kOutOfMemory) row.rejected = reason_of(error);
  }
}

}  // namespace gacer
