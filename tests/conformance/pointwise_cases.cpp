#include "tests/conformance/cases.h"

namespace gacer::conformance {
namespace {

void add_unary(std::vector<Case>& cases, const char* op, float low, float high,
               const std::string& kernel) {
  CaseBuilder builder(std::string("unary_") + op);
  const ValueId x = builder.input({2, 12, 5, 6});
  builder.node(op, {x}).range(low, high).images(kernel);
  cases.push_back(builder.build());
}

void add_binary(std::vector<Case>& cases, const char* op, const Shape& a, const Shape& b,
                const std::string& kernel) {
  CaseBuilder builder(std::string("binary_") + op + a.to_string() + b.to_string());
  const ValueId left = builder.input(a, a[0] == 2 ? 0 : -1);
  const ValueId right = builder.input(b, b.rank() == 4 && b[0] == 2 ? 0 : -1);
  builder.node(op, {left, right}).range(0.5F, 2).images(kernel);
  cases.push_back(builder.build());
}

}  // namespace

std::vector<Case> pointwise_cases() {
  std::vector<Case> cases;
  for (const char* op : {"Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish",
                         "Exp", "Abs", "Neg", "Softplus", "Gelu"})
    add_unary(cases, op, -4, 4, "onednn.eltwise");
  add_unary(cases, "Sqrt", 0.1F, 4, "onednn.eltwise");
  add_unary(cases, "Log", 0.1F, 4, "");
  {
    CaseBuilder builder("unary_Clip");
    const ValueId x = builder.input({2, 12, 5, 6});
    builder
        .node("Clip",
              {x, builder.constant(Tensor::scalar(-0.3F)), builder.constant(Tensor::scalar(0.4F))})
        .images("onednn.eltwise");
    cases.push_back(builder.build());
  }
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Max", "Min"}) {
    add_binary(cases, op, {2, 12, 5, 6}, {2, 12, 5, 6}, "onednn.binary");
    add_binary(cases, op, {2, 12, 5, 6}, {2, 12, 1, 1}, "broadcast");
  }
  add_binary(cases, "Add", {2, 12, 5, 6}, {1, 12, 1, 1}, "onednn.binary");
  add_binary(cases, "Add", {2, 12, 5, 6}, {1}, "onednn.binary");
  add_binary(cases, "Add", {2, 12, 5, 6}, {6}, "onednn.binary");
  add_binary(cases, "Mul", {1, 12, 1, 1}, {2, 12, 5, 6}, "onednn.binary");
  add_binary(cases, "Sub", {1, 12, 1, 1}, {2, 12, 5, 6}, "broadcast");
  add_binary(cases, "Mul", {2, 16, 5, 6}, {2, 1, 5, 6}, "broadcast");
  add_binary(cases, "Div", {2, 16, 5, 6}, {2, 1, 1, 1}, "broadcast");
  {
    CaseBuilder builder("binary_Mul_constant_channels");
    const ValueId a = builder.input({2, 16, 5, 6});
    builder.node("Mul", {a, builder.constant({1, 16, 1, 1})}).images("broadcast");
    cases.push_back(builder.build());
  }
  {
    CaseBuilder builder("binary_Add_relu");
    const ValueId a = builder.input({2, 12, 5, 6});
    const ValueId b = builder.input({2, 12, 5, 6});
    builder.node("Add", {a, b}).activation(Activation::kRelu).images("onednn.binary");
    cases.push_back(builder.build());
  }
  return cases;
}

std::vector<Case> movement_cases() {
  std::vector<Case> cases;
  {
    CaseBuilder builder("reorder");
    const ValueId x = builder.input({2, 20, 5, 6});
    builder.node("Reorder", {x}).images("onednn.reorder");
    cases.push_back(builder.build());
  }
  for (const std::int64_t axis : {std::int64_t{1}, std::int64_t{2}}) {
    CaseBuilder builder("concat_axis" + std::to_string(axis));
    const ValueId a = builder.input({2, 16, 5, 6});
    const ValueId b = builder.input({2, 16, 5, 6});
    const ValueId c = builder.input(axis == 1 ? Shape{2, 20, 5, 6} : Shape{2, 16, 2, 6});
    Attributes attributes;
    attributes.set("axis", axis);
    builder.node("Concat", {a, b, c}, attributes).images("concat");
    cases.push_back(builder.build());
  }
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    CaseBuilder builder(std::string("resize_") + mode);
    const ValueId x = builder.input({2, 20, 5, 6});
    const ValueId scales = builder.constant(Tensor::from<float>(Shape{4}, {1, 1, 2, 1.5F}));
    Attributes attributes;
    attributes.set("mode", std::string(mode));
    builder.node("Resize", {x, kNone, scales}, attributes).images("resize");
    cases.push_back(builder.build());
  }
  for (const auto& perm : {std::vector<std::int64_t>{0, 2, 1, 3}, {0, 3, 1, 2}, {1, 0, 2, 3}}) {
    CaseBuilder builder("transpose" + std::to_string(perm[0] * 100 + perm[1] * 10 + perm[2]));
    const ValueId x = builder.input({3, 4, 5, 6});
    Attributes attributes;
    attributes.set("perm", perm);
    builder.node("Transpose", {x}, attributes).kernel("onednn.reorder");
    cases.push_back(builder.build());
  }
  return cases;
}

}  // namespace gacer::conformance
