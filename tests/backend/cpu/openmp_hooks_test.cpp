#include "backend/cpu/openmp_hooks.h"

#include <cmath>
#include <filesystem>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "backend/cpu/program.h"

namespace gacer::cpu {
namespace {

std::size_t num_process_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

/// A convolution built for `threads`, run as a step of that width on a fresh group of workers.
std::vector<float> convolve(int threads) {
  using dnnl::memory;
  using Tag = memory::format_tag;
  const memory::dims from_dims = {2, 16, 24, 24};
  const memory::dims weights_dims = {32, 16, 3, 3};
  const memory::dims to_dims = {2, 32, 24, 24};
  const auto f32 = memory::data_type::f32;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const ThreadCountScope scope(threads);
  dnnl::primitive_attr attributes;  // oneDNN's own scratchpads belong to the creating thread
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::convolution_forward::primitive_desc desc(
      engine, dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      {from_dims, f32, Tag::nchw}, {weights_dims, f32, Tag::oihw}, {to_dims, f32, Tag::nchw},
      {1, 1}, {1, 1}, {1, 1}, attributes);
  const dnnl::convolution_forward convolution(desc);
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> from(2 * 16 * 24 * 24);
  std::vector<float> weights(32 * 16 * 9);
  for (float& x : from) x = uniform(random);
  for (float& x : weights) x = uniform(random);
  std::vector<float> to(2 * 32 * 24 * 24, NAN);
  std::vector<std::byte> scratchpad(desc.scratchpad_desc().get_size());
  const std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SCRATCHPAD, {desc.scratchpad_desc(), engine, scratchpad.data()}},
      {DNNL_ARG_SRC, {desc.src_desc(), engine, from.data()}},
      {DNNL_ARG_WEIGHTS, {desc.weights_desc(), engine, weights.data()}},
      {DNNL_ARG_DST, {desc.dst_desc(), engine, to.data()}}};

  WorkerGroup workers(threads, {.cores = {}, .is_pinned = false});
  CpuRecorder recorder;
  recorder.set_team_size(threads);
  recorder.add("conv", [&](StepTeam& team) {
    const TeamScope team_scope(team);
    convolution.execute(stream, arguments);
    stream.wait();
  });
  const CpuCapture capture(std::move(recorder));
  const std::vector<ProgramStep> steps = {{.capture = &capture, .budget = {}, .waits_for = {}}};
  CpuProgram program(workers, steps);
  const std::size_t before = num_process_threads();
  for (int round = 0; round < 20; ++round) program.run();
  EXPECT_EQ(num_process_threads(), before) << "OpenMP made threads of its own";
  return to;
}

TEST(OpenMpHooks, OneDnnRunsOnTheTeamAndMakesNoThreads) {
  install_openmp_hooks();
  const std::vector<float> alone = convolve(1);
  for (int threads : {2, 3, 4}) {
    const std::vector<float> team = convolve(threads);
    ASSERT_EQ(team.size(), alone.size());
    for (std::size_t i = 0; i < team.size(); ++i) ASSERT_NEAR(team[i], alone[i], 1e-4) << i;
  }
}

TEST(OpenMpHooks, ProductIsRightOnTeamsOfAnySize) {
  install_openmp_hooks();
  constexpr dnnl_dim_t kSize = 256;
  const auto count = static_cast<std::size_t>(kSize * kSize);
  const std::vector<float> a(count, 0.5F);
  const std::vector<float> b(count, 0.25F);
  for (int threads : {1, 2, 4}) {
    std::vector<float> c(count, NAN);
    WorkerGroup workers(threads, {.cores = {}, .is_pinned = false});
    CpuRecorder recorder;
    recorder.set_team_size(threads);
    recorder.add("gemm", [&](StepTeam& team) {
      const TeamScope team_scope(team);
      dnnl_sgemm('N', 'N', kSize, kSize, kSize, 1.0F, a.data(), kSize, b.data(), kSize, 0.0F,
                 c.data(), kSize);
    });
    const CpuCapture capture(std::move(recorder));
    const std::vector<ProgramStep> steps = {{.capture = &capture, .budget = {}, .waits_for = {}}};
    CpuProgram program(workers, steps);
    const std::size_t before = num_process_threads();
    program.run();
    EXPECT_EQ(num_process_threads(), before);
    for (float x : c) ASSERT_FLOAT_EQ(x, 0.125F * kSize);
  }
}

TEST(OpenMpHooks, OutsideOfAScopeCallsGoToLibgomp) {
  install_openmp_hooks();
  // As an application that uses oneDNN by itself: its threads are libgomp's, if it has several.
  constexpr dnnl_dim_t kSize = 64;
  const auto count = static_cast<std::size_t>(kSize * kSize);
  const std::vector<float> a(count, 1);
  std::vector<float> c(count, NAN);
  dnnl_sgemm('N', 'N', kSize, kSize, kSize, 1.0F, a.data(), kSize, a.data(), kSize, 0.0F, c.data(),
             kSize);
  for (float x : c) ASSERT_FLOAT_EQ(x, kSize);
}

}  // namespace
}  // namespace gacer::cpu
