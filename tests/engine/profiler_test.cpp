#include "engine/profiler.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/core.h"
#include "engine/profile_bench.h"
#include "ops/op_def.h"
#include "tests/engine/forwarding_device.h"
#include "tests/engine/support.h"
#include "tests/engine/timed_device.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

struct ProfilerTest : ::testing::Test {
  ProfilerTest() {
    core.add_graph(testing::named_spec("net", 4), testing::make_random_net(1, 4, 8));
    limits.min_runs = 1;
    limits.timing.variant = std::chrono::microseconds(200);
  }
  Profiler make_profiler() {
    return {core.device(), core.tenants(), core.compiler().constants(), limits};
  }
  EngineCore core{testing::plain_options()};
  ProfileLimits limits;
};

TEST_F(ProfilerTest, EveryNodeGetsRowsOfEveryWidth) {
  Profiler profiler = make_profiler();
  ProfileTable rows;
  profiler.on_row = [&](const ProfileRow& row) { rows.add(row); };
  for (const ProfileTask& task : find_missing_rows(core.problem(), rows)) profiler.measure(task);
  for (const ProblemNode& node : core.problem().tenants[0].nodes) {
    std::set<int> widths;
    for (const ProfileRow& row : rows.rows(node.signature, node.batch)) {
      EXPECT_GT(row.solo_ms, 0);
      EXPECT_EQ(row.launches, 1);
      EXPECT_DOUBLE_EQ(row.flop, node.flop);
      widths.insert(row.width);
    }
    EXPECT_EQ(static_cast<int>(widths.size()), core.problem().device.num_groups) << node.name;
  }
}

TEST_F(ProfilerTest, WholeNodesComeFirstThenChunksThenNothing) {
  Profiler profiler = make_profiler();
  ProfileTable rows;
  profiler.on_row = [&](const ProfileRow& row) { rows.add(row); };
  std::int64_t last_items = 0;
  for (const ProfileTask& task : find_missing_rows(core.problem(), rows)) {
    EXPECT_EQ(task.items, 4);
    last_items = task.items;
    profiler.measure(task);
  }
  ASSERT_EQ(last_items, 4);
  const auto chunks = find_missing_rows(core.problem(), rows);
  ASSERT_FALSE(chunks.empty());
  for (const ProfileTask& task : chunks) {
    EXPECT_LT(task.items, 4);
    EXPECT_GE(task.items, 1);
    profiler.measure(task);
  }
  EXPECT_TRUE(find_missing_rows(core.problem(), rows).empty());
}

TEST_F(ProfilerTest, MoreWidthsComeLastAndOnlyForPromisingVariants) {
  Profiler profiler = make_profiler();
  ProfileTable rows;
  profiler.on_row = [&](const ProfileRow& row) { rows.add(row); };
  for (int phase = 0; phase < 2; ++phase)
    for (const ProfileTask& task : find_missing_rows(core.problem(), rows)) profiler.measure(task);
  const int width = core.problem().device.num_groups + 1;  // none that the rows have
  const auto tasks = find_missing_rows(core.problem(), rows, {width});
  ASSERT_FALSE(tasks.empty());
  for (const ProfileTask& task : tasks) {
    EXPECT_EQ(task.items, 4);
    EXPECT_EQ(task.widths, std::vector<int>{width});
    for (const std::string& variant : promising_variants(rows, task.signature, task.items)) {
      EXPECT_FALSE(find_missing_rows(core.problem(), rows, {width}).empty());
      ProfileRow row = *rows.rows(task.signature, task.items).begin();
      row.variant = variant;
      row.width = width;
      rows.add(row);
    }
  }
  EXPECT_TRUE(find_missing_rows(core.problem(), rows, {width}).empty());
}

TEST_F(ProfilerTest, OnMoreWidthsAreasAreKnownAndVariantsThatAreGoneAreRejectedOnce) {
  Profiler profiler = make_profiler();
  ProfileTask task = find_missing_rows(core.problem(), {}).back();
  const int groups = core.problem().device.num_groups;
  ProfileTable known;
  std::string variant;
  for (ProfileRow row : profiler.measure(task)) {
    if (row.width != groups || !row.rejected.empty()) continue;
    variant = row.variant;
    row.width = groups + 1;
    row.saturated_ms = 7;
    known.add(row);
    break;
  }
  ASSERT_NE(variant, "");
  profiler.known = &known;
  profiler.on_row = [&](const ProfileRow& row) { known.add(row); };
  task.widths = {groups};
  const auto rows = profiler.measure(task, {variant, "nobody's"});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].width, groups);
  EXPECT_EQ(rows[0].rejected, "");
  EXPECT_GT(rows[0].solo_ms, 0);
  EXPECT_EQ(rows[0].saturated_ms, 7);
  EXPECT_THAT(rows[1].rejected, ::testing::HasSubstr("nobody's"));
  EXPECT_TRUE(profiler.measure(task, {variant, "nobody's"}).empty());
}

TEST_F(ProfilerTest, AChunkThatNothingCanRunIsAskedForOnce) {
  Profiler profiler = make_profiler();
  ProfileTable rows;
  profiler.on_row = [&](const ProfileRow& row) { rows.add(row); };
  for (const ProfileTask& task : find_missing_rows(core.problem(), rows)) profiler.measure(task);
  const auto chunks = find_missing_rows(core.problem(), rows);
  ASSERT_FALSE(chunks.empty());
  const ProfileTask& task = chunks.front();
  for (ProfileRow row : rows.all()) {
    if (row.signature != task.signature) continue;
    row.items = task.items;
    row.rejected = quarantine_text("signal 11");
    rows.add(row);
  }
  profiler.known = &rows;
  const auto answer = profiler.measure(task);
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].rejected, "no variant can be tried");
  EXPECT_EQ(find_missing_rows(core.problem(), rows).size(), chunks.size() - 1);
}

TEST_F(ProfilerTest, CancellingStopsBetweenVariants) {
  Profiler profiler = make_profiler();
  const std::atomic<bool> is_cancelled{true};
  profiler.is_cancelled = &is_cancelled;
  const auto tasks = find_missing_rows(core.problem(), {});
  testing::expect_error(ErrorKind::kInterrupted, "", [&] { profiler.measure(tasks.front()); });
}

enum class Fault { kWritesElsewhere, kWritesBehind, kWritesNothing, kNoMemory };

class BrokenKernel final : public Kernel {
 public:
  BrokenKernel(std::unique_ptr<Kernel> inner, Fault fault)
      : inner_(std::move(inner)), fault_(fault) {}
  std::size_t workspace_bytes() const override { return inner_->workspace_bytes() + kOwnBytes; }
  bool reads_input(int input) const override { return inner_->reads_input(input); }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    if (fault_ == Fault::kWritesNothing) return;
    Bindings wrong = bindings;
    wrong.workspace = static_cast<std::byte*>(wrong.workspace) + kOwnBytes;
    for (void*& output : wrong.outputs)
      output =
          static_cast<std::byte*>(fault_ == Fault::kWritesBehind ? output : bindings.workspace) +
          64;
    inner_->record(wrong, recorder);
  }

 private:
  static constexpr std::size_t kOwnBytes = 1 << 20;
  std::unique_ptr<Kernel> inner_;
  Fault fault_;
};

/// Another's variants under names of its own.
class BrokenImpl final : public KernelImpl {
 public:
  BrokenImpl(const KernelImpl& inner, Fault fault) : inner_(inner), fault_(fault) {}
  std::string_view name() const override { return "broken"; }
  Result<void> supports(const KernelCall& call) const override { return inner_.supports(call); }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    std::vector<std::string> keys = inner_.variants(call, width);
    for (std::string& key : keys) key = kPrefix + key;
    return keys;
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    if (fault_ == Fault::kNoMemory) fail(ErrorKind::kOutOfMemory, "8 bytes asked for, 7 free");
    return std::make_unique<BrokenKernel>(inner_.prepare(call, key.substr(kPrefix.size())), fault_);
  }

 private:
  inline static const std::string kPrefix = "broken+";
  const KernelImpl& inner_;
  Fault fault_;
};

TEST_F(ProfilerTest, AVariantThatWritesWrongIsRejectedWithTheReason) {
  const PlacedTenant& tenant = *core.tenants()[0];
  const KernelImpl& plain = *core.device().kernels().back();
  const auto measure = [&](ProfileBench& bench, const KernelCall& call, const KernelImpl& impl) {
    ProfileRow row;
    row.variant = impl.variants(call, 1).front();
    bench.measure(impl, call, 0, row);
    return row.rejected;
  };
  {
    const KernelCall call = make_call(tenant.graph(), 0, tenant.precision, ChunkRange{0, 4});
    ProfileBench bench(core.device(), tenant, 0, ChunkRange{0, 4}, core.compiler().constants(),
                       limits);
    ProfileRow row;
    row.rejected = measure(bench, call, BrokenImpl(plain, Fault::kNoMemory));
    EXPECT_TRUE(lacked_memory(row)) << row.rejected;
    EXPECT_THAT(row.rejected, ::testing::HasSubstr("7 free"));
  }
  for (const ChunkRange range : {ChunkRange{0, 4}, ChunkRange{0, 2}, ChunkRange{1, 3}}) {
    const KernelCall call = make_call(tenant.graph(), 0, tenant.precision, range);
    for (const auto& [fault, reason] :
         {std::pair(Fault::kWritesElsewhere, "differs from"),
          std::pair(Fault::kWritesBehind, "writes behind the end of its output")}) {
      ProfileBench bench(core.device(), tenant, 0, range, core.compiler().constants(), limits);
      EXPECT_EQ(measure(bench, call, plain), "");
      EXPECT_THAT(measure(bench, call, BrokenImpl(plain, fault)), ::testing::HasSubstr(reason));
    }
  }
}

/// More numbers than plain loops compute whole.
Graph large_relu(std::int64_t batch) {
  Graph graph;
  graph.name = "large";
  graph.batch = batch;
  const ValueId x = graph.add_input("x", DType::kF32, {batch, 3, 1200, 1200});
  graph.value(x).batch = BatchAxis{0, 1};
  Node node;
  node.op = "Relu";
  node.name = "relu";
  node.inputs = {x};
  node.num_op_inputs = 1;
  Value y;
  y.name = "y";
  node.outputs = {graph.add_value(std::move(y))};
  graph.outputs = node.outputs;
  infer_node(graph, graph.add_node(std::move(node)));
  infer_batch_axes(graph);
  return graph;
}

TEST_F(ProfilerTest, AWrongVariantOfALargeNodeIsRejectedThoughItIsTheFirst) {
  for (const std::int64_t batch : {1, 2}) {
    EngineCore large(testing::plain_options());
    large.add_graph(testing::named_spec("large", batch), large_relu(batch));
    const PlacedTenant& tenant = *large.tenants()[0];
    const KernelImpl& plain = *large.device().kernels().back();
    const BrokenImpl broken(plain, Fault::kWritesNothing);
    const KernelCall call = make_call(tenant.graph(), 0, tenant.precision, ChunkRange{0, batch});
    ProfileBench bench(large.device(), tenant, 0, ChunkRange{0, batch},
                       large.compiler().constants(), limits);
    const auto measure = [&](const KernelImpl& impl) {
      ProfileRow row;
      row.variant = impl.variants(call, 1).front();
      bench.measure(impl, call, 0, row);
      return row.rejected;
    };
    EXPECT_THAT(measure(broken), ::testing::HasSubstr("differs from plain loops"));
    EXPECT_EQ(measure(plain), "");
  }
}

/// Another's variants; copies beside the first read nothing but zeros.
class RacyImpl final : public KernelImpl {
 public:
  explicit RacyImpl(const KernelImpl& inner) : inner_(inner) {}
  std::string_view name() const override { return "racy"; }
  Result<void> supports(const KernelCall& call) const override { return inner_.supports(call); }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    return inner_.variants(call, width);
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    return std::make_unique<RacyKernel>(inner_.prepare(call, key), call.inputs[0].shape);
  }

 private:
  class RacyKernel final : public Kernel {
   public:
    RacyKernel(std::unique_ptr<Kernel> inner, const Shape& input)
        : inner_(std::move(inner)), zeros_(static_cast<std::size_t>(input.num_elements())) {}
    std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
    bool reads_input(int input) const override { return inner_->reads_input(input); }
    void record(const Bindings& bindings, Recorder& recorder) const override {
      if (first_ == nullptr) first_ = bindings.outputs[0];
      Bindings wrong = bindings;
      if (bindings.outputs[0] != first_) wrong.inputs[0] = zeros_.data();
      inner_->record(wrong, recorder);
    }

   private:
    std::unique_ptr<Kernel> inner_;
    mutable std::vector<float> zeros_;
    mutable const void* first_ = nullptr;
  };
  const KernelImpl& inner_;
};

TEST_F(ProfilerTest, AVariantWhoseResultsAreNotAlwaysTheSameIsRejected) {
  limits.timing.repeats = std::chrono::milliseconds(5);
  const PlacedTenant& tenant = *core.tenants()[0];
  const KernelImpl& plain = *core.device().kernels().back();
  const KernelCall call = make_call(tenant.graph(), 0, tenant.precision, ChunkRange{0, 4});
  for (const bool is_racy : {true, false}) {
    const RacyImpl racy(plain);
    const KernelImpl& impl = is_racy ? static_cast<const KernelImpl&>(racy) : plain;
    ProfileBench bench(core.device(), tenant, 0, ChunkRange{0, 4}, core.compiler().constants(),
                       limits);
    ProfileRow row;
    row.variant = impl.variants(call, 1).front();
    bench.measure(impl, call, 0, row);
    ASSERT_EQ(row.rejected, "");
    ASSERT_GT(row.saturated_ms, 0);
    bench.check_repeats(row);
    if (is_racy)
      EXPECT_THAT(row.rejected, ::testing::HasSubstr("gave another result beside copies"));
    else
      EXPECT_EQ(row.rejected, "");
  }
}

/// Has memory until told otherwise.
class FullDevice final : public testing::ForwardingDevice {
 public:
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    if (is_full) fail(ErrorKind::kOutOfMemory, "{} bytes asked for, 0 free", bytes);
    return ForwardingDevice::allocate(bytes);
  }
  bool is_full = false;
};

TEST(ProfileBench, AVariantWhoseResultsCannotBeKeptStaysAsItIs) {
  auto owned = std::make_unique<FullDevice>();
  FullDevice& device = *owned;
  EngineCore core(testing::plain_options(), std::move(owned));
  core.add_graph(testing::named_spec("net", 4), testing::make_random_net(1, 4, 8));
  ProfileLimits limits;
  limits.min_runs = 1;
  limits.timing.variant = std::chrono::microseconds(200);
  limits.timing.repeats = std::chrono::milliseconds(5);
  const PlacedTenant& tenant = *core.tenants()[0];
  const RacyImpl racy(*device.kernels().back());
  const KernelCall call = make_call(tenant.graph(), 0, tenant.precision, ChunkRange{0, 4});
  ProfileBench bench(device, tenant, 0, ChunkRange{0, 4}, core.compiler().constants(), limits);
  ProfileRow row;
  row.variant = racy.variants(call, 1).front();
  bench.measure(racy, call, 0, row);
  ASSERT_EQ(row.rejected, "");
  const ProfileRow before = row;
  device.is_full = true;
  bench.check_repeats(row);
  EXPECT_EQ(row, before) << row.rejected;
  device.is_full = false;
  bench.check_repeats(row);
  EXPECT_THAT(row.rejected, ::testing::HasSubstr("gave another result beside copies"));
}

/// Variants by name: milliseconds alone and per copy side by side.
struct OfKnownTimes final : testing::TimedDevice {
  OfKnownTimes() {
    std::vector<std::string> names;
    for (const auto& [name, ms] : times) names.push_back(name);
    add_kernels(
        names, [](const KernelCall&) -> Result<void> { return {}; },
        [](const std::string& name, const KernelCall&, std::unique_ptr<Kernel> kernel) {
          return std::make_unique<testing::NamedKernel>(name, std::move(kernel));
        });
  }
  double time_of(std::span<const ProgramStep> steps) const override {
    const bool is_side_by_side = steps.back().lane > 0;
    double ms = 0;
    for (const ProgramStep& step : steps) {
      const auto found = times.find(name_of(step.capture));
      if (found == times.end()) continue;
      ms += is_side_by_side ? found->second.second : found->second.first;
    }
    return ms;
  }
  std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows) const override {
    ++num_comparisons;
    return TimedDevice::make_row_comparison(rows);
  }
  std::map<std::string, std::pair<double, double>> times{
      {"fair", {1.5, 0.9}},
      {"poor", {1.7, 0.7}},
      {"quick", {1, 1}},
      {"small", {2.2, 0.4}},
  };
  mutable int num_comparisons = 0;
};

struct ProfilerOfKnownTimes : ::testing::Test {
  ProfilerOfKnownTimes() {
    core.add_graph(testing::named_spec("net", 4), testing::make_random_net(1, 4, 8));
    limits.min_runs = 1;
    limits.timing.variant = std::chrono::microseconds(1);
    limits.timing.repeat_close = false;
    task = find_missing_rows(core.problem(), {}).back();
  }
  std::vector<ProfileRow> measure(const ProfileTask& what) {
    return Profiler(device, core.tenants(), core.compiler().constants(), limits).measure(what);
  }
  std::set<std::string> names_at(const std::vector<ProfileRow>& rows, int width) {
    std::set<std::string> names;
    for (const ProfileRow& row : rows)
      if (row.width == width && row.rejected.empty())
        names.insert(row.variant.substr(0, row.variant.find('+')));
    return names;
  }
  std::unique_ptr<OfKnownTimes> owned = std::make_unique<OfKnownTimes>();
  OfKnownTimes& device = *owned;
  EngineCore core{testing::plain_options(), std::move(owned)};
  ProfileLimits limits;
  ProfileTask task;
};

TEST_F(ProfilerOfKnownTimes, NarrowWidthsHaveWhatIsNotBeatenByFarOnTheWidest) {
  const std::vector<ProfileRow> rows = measure(task);
  EXPECT_THAT(names_at(rows, 16), ::testing::ElementsAre("fair", "poor", "quick", "small"));
  EXPECT_THAT(names_at(rows, 4), ::testing::ElementsAre("fair", "quick", "small"))
      << "poor takes 1.7 times as long as quick and 1.75 times the area of small";
}

TEST_F(ProfilerOfKnownTimes, OnlyVariantsOfWholeNodesAreComparedWithCopies) {
  limits.timing.repeats = std::chrono::milliseconds(1);
  ProfileTask chunk = task;
  chunk.items = 2;
  measure(chunk);
  EXPECT_EQ(device.num_comparisons, 0);
  measure(task);
  EXPECT_GT(device.num_comparisons, 0);
}

}  // namespace
}  // namespace gacer
