#include "base/dtype.h"
#include "tests/conformance/cases.h"

namespace gacer::conformance {
namespace {

void add_linear(std::vector<Case>& cases, const std::string& name, const Shape& x, std::int64_t n,
                bool trans_b, bool has_bias) {
  CaseBuilder builder("linear_" + name);
  const std::int64_t k = x[x.rank() - 1];
  const ValueId in = builder.input(x);
  const ValueId w = builder.constant(trans_b ? Shape{n, k} : Shape{k, n});
  std::vector<ValueId> inputs = {in, w};
  if (has_bias) inputs.push_back(builder.constant({n}));
  Attributes attributes;
  attributes.set("transB", std::int64_t{trans_b ? 1 : 0});
  builder.node("Linear", inputs, attributes).activation(Activation::kGelu).kernel("onednn.matmul");
  cases.push_back(builder.build());
}

void add_product(std::vector<Case>& cases, const std::string& name, const Shape& a, int a_batch,
                 const Shape& b, int b_batch) {
  CaseBuilder builder("matmul_" + name);
  const ValueId left = builder.input(a, a_batch);
  const ValueId right = builder.input(b, b_batch);
  builder.node("MatMul", {left, right}).kernel("onednn.matmul");
  cases.push_back(builder.build());
}

}  // namespace

std::vector<Case> product_cases() {
  std::vector<Case> cases;
  add_linear(cases, "rows", {5, 64}, 48, false, true);
  add_linear(cases, "transposed", {5, 64}, 48, true, true);
  add_linear(cases, "stack", {3, 7, 32}, 33, true, false);
  add_linear(cases, "one_row", {1, 100}, 10, false, true);
  add_product(cases, "stack", {2, 3, 8, 16}, 0, {2, 3, 16, 5}, 0);
  add_product(cases, "broadcast_right", {4, 8, 16}, 0, {16, 5}, -1);
  add_product(cases, "broadcast_outer", {4, 3, 8, 16}, 0, {1, 3, 16, 5}, -1);
  {
    CaseBuilder builder("linear_residual");
    const ValueId x = builder.input({3, 6, 32});
    const ValueId residual = builder.input({3, 6, 24});
    const ValueId w = builder.constant({32, 24});
    const ValueId bias = builder.constant({24});
    builder.node("Linear", {x, w, bias})
        .post(PostOp::Kind::kAdd, residual)
        .activation(Activation::kRelu)
        .kernel("onednn.matmul");
    cases.push_back(builder.build());
  }
  for (const DType half : {DType::kF16, DType::kBF16}) {
    const std::string name = std::string("_f32_of_") + to_string(half);
    CaseBuilder linear("linear" + name);
    const ValueId x = linear.input({5, 64}, /*batch_axis=*/0, half);
    linear.node("Linear", {x, linear.constant({64, 48}, half), linear.constant({48}, half)})
        .activation(Activation::kRelu)
        .result(DType::kF32);
    cases.push_back(linear.build());
    CaseBuilder matmul("matmul" + name);
    const ValueId a = matmul.input({4, 8, 16}, /*batch_axis=*/0, half);
    matmul.node("MatMul", {a, matmul.input({4, 16, 5}, 0, half)}).result(DType::kF32);
    cases.push_back(matmul.build());
  }
  {
    CaseBuilder builder("linear_batch_inside");
    const ValueId x = builder.input({5, 3, 32}, /*batch_axis=*/1);
    const ValueId w = builder.constant({32, 24});
    const ValueId bias = builder.constant({24});
    builder.node("Linear", {x, w, bias}).kernel("onednn.matmul");
    cases.push_back(builder.build());
  }
  {
    CaseBuilder builder("gemm_transposed");
    const ValueId a = builder.input({12, 7}, /*batch_axis=*/-1);
    const ValueId b = builder.constant({9, 12});
    const ValueId c = builder.constant({9});
    Attributes attributes;
    attributes.set("transA", std::int64_t{1});
    attributes.set("transB", std::int64_t{1});
    builder.node("Gemm", {a, b, c}, attributes).kernel("onednn.matmul");
    cases.push_back(builder.build());
  }
  {
    CaseBuilder builder("gemm_factors");
    const ValueId a = builder.input({7, 12});
    const ValueId b = builder.constant({12, 9});
    const ValueId c = builder.constant({9});
    Attributes attributes;
    attributes.set("alpha", 0.5F);
    attributes.set("beta", 2.0F);
    builder.node("Gemm", {a, b, c}, attributes);
    cases.push_back(builder.build());
  }
  return cases;
}

std::vector<Case> attention_cases() {
  std::vector<Case> cases;
  const auto finish = [&](CaseBuilder& builder, const std::vector<ValueId>& inputs,
                          Attributes attributes, bool causal) {
    attributes.set("scale", 0.25F);
    attributes.set("causal", std::int64_t{causal ? 1 : 0});
    builder.node("Attention", inputs, attributes).range(-2, 2).kernel("attention");
    cases.push_back(builder.build());
  };
  for (const bool causal : {false, true}) {
    CaseBuilder builder(causal ? "attention_causal" : "attention_heads_outside");
    const ValueId q = builder.input({2, 3, 70, 16});
    const ValueId k = builder.input({2, 3, 70, 16});
    const ValueId v = builder.input({2, 3, 70, 8});
    finish(builder, {q, k, v}, {}, causal);
  }
  for (const bool transposed : {false, true}) {
    CaseBuilder builder(transposed ? "attention_k_transposed" : "attention_masked");
    const ValueId q = builder.input({2, 3, 9, 16});
    const ValueId k = builder.input(transposed ? Shape{2, 3, 16, 11} : Shape{2, 3, 11, 16});
    const ValueId v = builder.input({2, 3, 11, 16});
    const ValueId mask = builder.input({2, 1, 1, 11});
    Attributes attributes;
    if (transposed) attributes.set("k_transposed", std::int64_t{1});
    finish(builder, {q, k, v, mask}, attributes, false);
  }
  {
    CaseBuilder builder("attention_heads_inside");
    const ValueId q = builder.input({2, 9, 48});
    const ValueId k = builder.input({2, 13, 48});
    const ValueId v = builder.input({2, 13, 48});
    Attributes attributes;
    attributes.set("layout", std::string("bshd"));
    attributes.set("num_heads", std::int64_t{3});
    finish(builder, {q, k, v}, attributes, false);
  }
  return cases;
}

std::vector<Case> recurrent_cases() {
  struct Setup {
    const char* op;
    const char* direction;
    std::int64_t gates;
    bool has_states = true;
    bool is_linear = false;
    int num_outputs = 3;
  };
  std::vector<Case> cases;
  for (const Setup& setup :
       {Setup{"LSTM", "forward", 4}, Setup{"LSTM", "reverse", 4}, Setup{"LSTM", "bidirectional", 4},
        Setup{"LSTM", "forward", 4, false, false, 1}, Setup{"GRU", "forward", 3, true, false, 2},
        Setup{"GRU", "bidirectional", 3, false, true, 2}, Setup{"GRU", "reverse", 3, true, true, 2},
        Setup{"RNN", "forward", 1, true, false, 2}}) {
    constexpr std::int64_t kSteps = 5, kBatch = 3, kInput = 12, kHidden = 16;
    const std::int64_t directions = std::string(setup.direction) == "bidirectional" ? 2 : 1;
    CaseBuilder builder(std::string(setup.op) + "_" + setup.direction +
                        (setup.has_states ? "_states" : "") + (setup.is_linear ? "_linear" : ""));
    const ValueId x = builder.input({kSteps, kBatch, kInput}, /*batch_axis=*/1);
    const ValueId w = builder.constant({directions, setup.gates * kHidden, kInput});
    const ValueId r = builder.constant({directions, setup.gates * kHidden, kHidden});
    const ValueId b = builder.constant({directions, 2 * setup.gates * kHidden});
    std::vector<ValueId> inputs = {x, w, r, b};
    if (setup.has_states) {
      inputs.push_back(kNone);
      inputs.push_back(builder.input({directions, kBatch, kHidden}, /*batch_axis=*/1));
      if (setup.gates == 4)
        inputs.push_back(builder.input({directions, kBatch, kHidden}, /*batch_axis=*/1));
    }
    Attributes attributes;
    attributes.set("hidden_size", kHidden);
    attributes.set("direction", std::string(setup.direction));
    if (setup.is_linear) attributes.set("linear_before_reset", std::int64_t{1});
    builder.node(setup.op, inputs, attributes, setup.num_outputs).kernel("onednn.rnn");
    cases.push_back(builder.build());
  }
  return cases;
}

std::vector<Case> normalization_cases() {
  std::vector<Case> cases;
  for (const char* op : {"Softmax", "LogSoftmax"})
    for (const std::int64_t axis : {std::int64_t{-1}, std::int64_t{1}}) {
      CaseBuilder builder(std::string(op) + "_axis" + std::to_string(axis + 2));
      const ValueId x = builder.input({3, 10, 37});
      Attributes attributes;
      attributes.set("axis", axis);
      builder.node(op, {x}, attributes).range(-5, 5).kernel(axis == -1 ? "onednn.softmax" : "");
      cases.push_back(builder.build());
    }
  for (const bool has_shift : {true, false}) {
    CaseBuilder builder(has_shift ? "layer_norm" : "layer_norm_scale_only");
    const ValueId x = builder.input({3, 5, 40});
    std::vector<ValueId> inputs = {x, builder.constant({40})};
    if (has_shift) inputs.push_back(builder.constant({40}));
    builder.node("LayerNormalization", inputs).kernel("onednn.layer_norm");
    cases.push_back(builder.build());
  }
  for (const Activation activation : {Activation::kIdentity, Activation::kRelu}) {
    CaseBuilder builder(std::string("batch_norm_") + to_string(activation));
    const ValueId x = builder.input({2, 20, 5, 6});
    const ValueId scale = builder.constant({20});
    const ValueId bias = builder.constant({20});
    const ValueId mean = builder.constant({20});
    Tensor variance(DType::kF32, Shape{20});
    for (std::size_t i = 0; i < 20; ++i)
      variance.mutable_data<float>()[i] = 0.5F + 0.1F * static_cast<float>(i);
    builder.node("BatchNormalization", {x, scale, bias, mean, builder.constant(variance)})
        .activation(activation)
        .images("affine");
    cases.push_back(builder.build());
  }
  {
    CaseBuilder builder("layer_norm_two_axes");
    const ValueId x = builder.input({3, 5, 8});
    Attributes attributes;
    attributes.set("axis", std::int64_t{1});
    builder
        .node("LayerNormalization", {x, builder.constant({5, 8}), builder.constant({5, 8})},
              attributes)
        .kernel("onednn.layer_norm");
    cases.push_back(builder.build());
  }
  return cases;
}

}  // namespace gacer::conformance
