#include "engine/profiler.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core.h"
#include "engine/profile_bench.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

struct ProfilerTest : ::testing::Test {
  ProfilerTest() {
    core.add_graph(testing::named_spec("net", 4), testing::make_random_net(1, 4, 8));
    limits.min_runs = 1;
    limits.time = std::chrono::microseconds(200);
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
    const ProblemNode& node = core.problem().tenants[0].nodes[static_cast<std::size_t>(task.node)];
    for (const std::string& variant : promising_variants(rows, node)) {
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

TEST_F(ProfilerTest, CancellingStopsBetweenVariants) {
  Profiler profiler = make_profiler();
  const std::atomic<bool> is_cancelled{true};
  profiler.is_cancelled = &is_cancelled;
  const auto tasks = find_missing_rows(core.problem(), {});
  testing::expect_error(ErrorKind::kInterrupted, "", [&] { profiler.measure(tasks.front()); });
}

/// Writes half of what it should.
class BrokenKernel final : public Kernel {
 public:
  explicit BrokenKernel(std::unique_ptr<Kernel> inner) : inner_(std::move(inner)) {}
  std::size_t workspace_bytes() const override { return inner_->workspace_bytes() + (1 << 20); }
  bool reads_input(int input) const override { return inner_->reads_input(input); }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    // Outputs go to the workspace instead.
    Bindings wrong = bindings;
    for (void*& output : wrong.outputs) output = static_cast<std::byte*>(wrong.workspace) + 64;
    wrong.workspace = static_cast<std::byte*>(wrong.workspace) + (1 << 20);
    inner_->record(wrong, recorder);
  }

 private:
  std::unique_ptr<Kernel> inner_;
};

class BrokenImpl final : public KernelImpl {
 public:
  explicit BrokenImpl(const KernelImpl& inner) : inner_(inner) {}
  std::string_view name() const override { return "broken"; }
  Result<void> supports(const KernelCall& call) const override { return inner_.supports(call); }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    return inner_.variants(call, width);
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    return std::make_unique<BrokenKernel>(inner_.prepare(call, key));
  }

 private:
  const KernelImpl& inner_;
};

TEST_F(ProfilerTest, AVariantWithWrongOutputsIsRejectedWithTheReason) {
  const PlacedTenant& tenant = *core.tenants()[0];
  ProfileBench bench(core.device(), tenant, 0, ChunkRange{0, 4}, core.compiler().constants(),
                     limits);
  const KernelCall call = make_call(tenant.graph(), 0, tenant.precision, ChunkRange{0, 4});
  const KernelImpl& plain = *core.device().kernels().back();
  ProfileRow row;
  row.variant = plain.variants(call, 1).front();
  bench.measure(plain, call, 0, row);
  EXPECT_EQ(row.rejected, "");
  ProfileRow broken;
  broken.variant = row.variant;
  bench.measure(BrokenImpl(plain), call, 0, broken);
  EXPECT_NE(broken.rejected.find("differs from"), std::string::npos) << broken.rejected;
}

}  // namespace
}  // namespace gacer
