#include "base/device_id.h"

#include <gtest/gtest.h>

#include <gacer/device_info.h>

namespace gacer {
namespace {

DeviceInfo gpu(const std::string& cudnn) {
  DeviceInfo info;
  info.kind = "cuda";
  info.name = "NVIDIA H200";
  info.num_groups = 15;
  info.units_per_group = 8;
  info.libraries = {{"cublaslt", "130100"}, {"cudnn", cudnn}};
  return info;
}

TEST(DeviceId, HasTheFieldsOfAProfileId) {
  const DeviceId id = parse_device_id(gpu("9.19.0").profile_id() + "|gacer=0.1.0");
  EXPECT_EQ(id.kind, "cuda");
  EXPECT_EQ(id.name, "NVIDIA H200");
  EXPECT_EQ(id.groups, "15x8");
  EXPECT_EQ(id.versions, (std::map<std::string, std::string>{
                             {"cublaslt", "130100"}, {"cudnn", "9.19.0"}, {"gacer", "0.1.0"}}));
}

TEST(DeviceId, TakesAnyText) {
  for (const char* text : {"", "|", "cuda", "cuda|", "a|b|c|d", "a|b|c|=|==|", "||||"})
    EXPECT_EQ(parse_device_id(text).kind, std::string(text).substr(0, std::string(text).find('|')));
}

TEST(DeviceId, NamesTheVersionsThatDiffer) {
  const DeviceId here = parse_device_id(gpu("9.19.0").profile_id() + "|kernels=b");
  const DeviceId older = parse_device_id(gpu("9.18.0").profile_id());
  EXPECT_TRUE(here.is_same_device(older));
  EXPECT_EQ(describe_versions(older, here), "cudnn 9.18.0 (here 9.19.0), kernels none (here b)");
  EXPECT_EQ(describe_versions(here, here), "");
}

}  // namespace
}  // namespace gacer
