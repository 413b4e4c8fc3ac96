#include "engine/model_loader.h"

#include <filesystem>

#include <gtest/gtest.h>

#include <gacer/engine.h>

#include "graph/graph.h"
#include "onnx/writer.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

TenantSpec spec_of(const std::string& model, std::int64_t batch = 1) {
  TenantSpec spec;
  spec.model = model;
  spec.batch = batch;
  return spec;
}

TEST(ModelReader, AModelThatWasReadAheadIsTheSame) {
  const std::vector<TenantSpec> ahead = {spec_of("zoo:alexnet", 2), spec_of("zoo:resnet18"),
                                         spec_of("zoo:alexnet", 2)};
  ModelReader reader(ahead);
  ModelReader moved = std::move(reader);
  ModelReader cold;
  for (const TenantSpec& spec : ahead)
    EXPECT_EQ(fingerprint(moved.read(spec)), fingerprint(cold.read(spec)));
  const TenantSpec other = spec_of("zoo:alexnet", 3);
  EXPECT_EQ(fingerprint(moved.read(other)), fingerprint(cold.read(other)))
      << "of another batch than what was read ahead";
}

TEST(ModelReader, ReadsAheadOneAfterTheOther) {
  const testing::TempDir folder;
  const std::string file = (folder.path / "model.onnx").string();
  write_onnx(testing::make_random_net(1, 1), file);
  const std::vector<TenantSpec> ahead = {spec_of(file), spec_of("zoo:alexnet")};
  ModelReader reader(ahead);
  reader.read(ahead[1]);
  std::filesystem::remove(file);
  EXPECT_GT(reader.read(ahead[0]).num_nodes(), 0) << "it was read when there was a file";
  testing::expect_error(ErrorKind::kIo, "model.onnx", [&] { reader.read(ahead[0]); });
}

TEST(ModelReader, WhatCannotBeReadTroublesOnlyWhoAsksForIt) {
  const std::vector<TenantSpec> ahead = {spec_of("no/such.onnx"), spec_of("zoo:resnet18", -1),
                                         spec_of("zoo:alexnet")};
  ModelReader reader(ahead);
  EXPECT_GT(reader.read(ahead[2]).num_nodes(), 0);
  testing::expect_error(ErrorKind::kIo, "no/such.onnx", [&] { reader.read(ahead[0]); });
  const ModelReader unread(ahead);
}

TEST(Engine, SaysWhatIsWrongWithATenantThatWasReadAheadWhenItIsAdded) {
  EngineOptions options;
  options.use_profile = false;
  options.read_ahead = {spec_of("no/such.onnx"), spec_of("zoo:alexnet")};
  Engine engine(options);
  testing::expect_error(ErrorKind::kIo, "no/such.onnx",
                        [&] { engine.add_tenant(options.read_ahead[0]); });
  EXPECT_EQ(engine.add_tenant(options.read_ahead[1]), 0);
  EXPECT_EQ(engine.add_tenant(options.read_ahead[1]), 1);
}

}  // namespace
}  // namespace gacer
