#include "graph/attributes.h"

#include <gtest/gtest.h>

#include <gacer/error.h>

namespace gacer {
namespace {

TEST(Attributes, GivesTheFallbackOnlyForMissingNames) {
  Attributes attributes;
  attributes.set("group", std::int64_t{3});
  attributes.set("alpha", 0.5F);
  attributes.set("pads", std::vector<std::int64_t>{1, 2});
  attributes.set("mode", std::string("linear"));
  EXPECT_EQ(attributes.get_int("group", 1), 3);
  EXPECT_EQ(attributes.get_int("axis", -1), -1);
  EXPECT_EQ(attributes.get_float("alpha", 1), 0.5F);
  EXPECT_EQ(attributes.get_ints("pads"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(attributes.get_ints("strides", {1, 1}), (std::vector<std::int64_t>{1, 1}));
  EXPECT_EQ(attributes.get_string("mode", "nearest"), "linear");
  EXPECT_EQ(attributes.find_tensor("value"), nullptr);
}

TEST(Attributes, RefusesAnAttributeOfAnotherType) {
  Attributes attributes;
  attributes.set("group", 3.0F);
  try {
    attributes.get_int("group", 1);
    FAIL() << "a float was read as an int";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    EXPECT_NE(error.message().find("'group'"), std::string::npos);
    EXPECT_NE(error.message().find("float"), std::string::npos);
  }
}

TEST(Attributes, EraseForgetsTheName) {
  Attributes attributes;
  attributes.set("axis", std::int64_t{1});
  attributes.erase("axis");
  attributes.erase("never there");
  EXPECT_FALSE(attributes.has("axis"));
}

}  // namespace
}  // namespace gacer
