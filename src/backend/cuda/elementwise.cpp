// Operators that make each result element from one element of each operand: arithmetic,
// activations, comparisons, and everything that only moves data. Each call becomes one or a few
// generated kernels.

#include <algorithm>
#include <map>
#include <set>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/pointwise.h"
#include "base/dtype.h"
#include "ops/common.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kKey = "generated/1";

/// One generated kernel of a call: which operands it reads and where they begin.
struct Piece {
  PointwiseSpec spec;
  int output = 0;
  std::vector<int> inputs;
  std::size_t out_offset = 0;  ///< bytes
  std::vector<std::size_t> in_offsets;
};
using Pieces = std::vector<Piece>;

class GeneratedKernel final : public Kernel {
 public:
  GeneratedKernel(const Services& services, const Pieces& pieces) : pieces_(pieces) {
    for (const Piece& piece : pieces_) {
      programs_.push_back(std::make_unique<PointwiseProgram>(services, piece.spec));
      used_.insert(piece.inputs.begin(), piece.inputs.end());
    }
  }
  bool reads_input(int input) const override { return used_.count(input) != 0; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
      const Piece& piece = pieces_[p];
      std::vector<void*> in;
      for (std::size_t i = 0; i < piece.inputs.size(); ++i)
        in.push_back(
            static_cast<std::byte*>(bindings.inputs[static_cast<std::size_t>(piece.inputs[i])]) +
            piece.in_offsets[i]);
      programs_[p]->record(
          stream,
          static_cast<std::byte*>(bindings.outputs[static_cast<std::size_t>(piece.output)]) +
              piece.out_offset,
          in);
    }
  }

 private:
  Pieces pieces_;
  std::vector<std::unique_ptr<PointwiseProgram>> programs_;
  std::set<int> used_;
};

const OperandDesc& input(const KernelCall& call, std::size_t i) { return call.inputs[i]; }

/// A piece that copies input 0 to output 0 under strides yet to be set.
Piece make_copy(const KernelCall& call, int from, int to) {
  Piece piece;
  const OperandDesc& in = call.inputs[static_cast<std::size_t>(from)];
  const OperandDesc& out = call.outputs[static_cast<std::size_t>(to)];
  piece.output = to;
  piece.inputs = {from};
  piece.in_offsets = {0};
  piece.spec.dims = out.shape.dims();
  piece.spec.out = {out.dtype, own_strides(out), "", "", "0"};
  piece.spec.in.push_back({in.dtype, own_strides(in), "", "", "0"});
  if (!is_float(in.dtype) && !is_float(out.dtype)) piece.spec.compute = "long long";
  if (in.dtype == DType::kF64 || out.dtype == DType::kF64) piece.spec.compute = "double";
  return piece;
}

/// What the code of an expression is right for.
enum class Numbers {
  kAny,
  kFloat,  ///< of any float type
  kF32     ///< it calls functions of 32 bits
};

struct Expression {
  int arity = 1;
  const char* code = "";
  Numbers numbers = Numbers::kAny;
};

/// Expressions over x0, x1, x2 of operators that broadcast their operands.
const std::map<std::string, Expression, std::less<>>& expressions() {
  static const std::map<std::string, Expression, std::less<>> table = {
      {"Add", {2, "x0 + x1"}},
      {"Sub", {2, "x0 - x1"}},
      {"Mul", {2, "x0 * x1"}},
      {"Div", {2, "x0 / x1"}},
      {"Pow", {2, "powf((float)x0, (float)x1)", Numbers::kF32}},
      {"PRelu", {2, "x0 < 0 ? x0 * x1 : x0", Numbers::kFloat}},
      {"Equal", {2, "x0 == x1"}},
      {"Greater", {2, "x0 > x1"}},
      {"GreaterOrEqual", {2, "x0 >= x1"}},
      {"Less", {2, "x0 < x1"}},
      {"LessOrEqual", {2, "x0 <= x1"}},
      {"And", {2, "x0 && x1"}},
      {"Or", {2, "x0 || x1"}},
      {"Xor", {2, "(x0 != 0) != (x1 != 0)"}},
      {"Where", {3, "x0 != 0 ? x1 : x2"}},
      {"Not", {1, "x0 == 0"}},
      {"Neg", {1, "-x0"}},
      {"Abs", {1, "x0 < 0 ? -x0 : x0"}},
      {"Identity", {1, "x0"}},
      {"Dropout", {1, "x0"}},
      {"Cast", {1, "x0"}},
      {"Reorder", {1, "x0"}},
      {"Exp", {1, "expf(x0)", Numbers::kF32}},
      {"Log", {1, "logf(x0)", Numbers::kF32}},
      {"Sqrt", {1, "sqrtf(x0)", Numbers::kF32}},
      {"Reciprocal", {1, "1.0f / x0", Numbers::kFloat}},
      {"Erf", {1, "erff(x0)", Numbers::kF32}},
      {"Sin", {1, "sinf(x0)", Numbers::kF32}},
      {"Cos", {1, "cosf(x0)", Numbers::kF32}},
      {"Floor", {1, "floorf(x0)", Numbers::kF32}},
      {"Ceil", {1, "ceilf(x0)", Numbers::kF32}},
      {"Round", {1, "rintf(x0)", Numbers::kF32}},
      {"Softplus", {1, "x0 > 20.0f ? x0 : log1pf(expf(x0))", Numbers::kF32}},
      {"IsNaN", {1, "x0 != x0", Numbers::kFloat}},
  };
  return table;
}

std::optional<float> scalar_of(const KernelCall& call, std::size_t i) {
  const Tensor* tensor = call.constant(static_cast<int>(i));
  if (tensor == nullptr || tensor->num_elements() != 1) return std::nullopt;
  return dispatch_dtype(tensor->dtype(), [&](auto tag) -> std::optional<float> {
    return static_cast<float>(tensor->data<decltype(tag)>()[0]);
  });
}

/// The activation that a node itself is, if it is one.
Result<std::string> activation_expression(const KernelCall& call) {
  const std::string& op = call.node.op;
  const Attributes& a = call.node.attributes;
  const auto code = [](Activation activation, float alpha = 0, float beta = 0) {
    return activation_code(activation, alpha, beta, "x0");
  };
  if (op == "Relu") return code(Activation::kRelu);
  if (op == "Sigmoid") return code(Activation::kSigmoid);
  if (op == "Tanh") return code(Activation::kTanh);
  if (op == "Silu") return code(Activation::kSilu);
  if (op == "HardSwish") return code(Activation::kHardSwish);
  if (op == "LeakyRelu") return code(Activation::kLeakyRelu, a.get_float("alpha", 0.01F));
  if (op == "Elu") return code(Activation::kElu, a.get_float("alpha", 1));
  if (op == "HardSigmoid")
    return code(Activation::kHardSigmoid, a.get_float("alpha", 0.2F), a.get_float("beta", 0.5F));
  if (op == "Gelu")
    return code(a.get_string("approximate", "none") == "tanh" ? Activation::kGeluTanh
                                                              : Activation::kGelu);
  if (op == "Clip") {
    std::string text = "x0";
    for (std::size_t i = 1; i < 3; ++i) {
      if (call.inputs.size() <= i || call.inputs[i].is_absent) continue;
      const std::optional<float> limit = scalar_of(call, i);
      if (!limit) return refuse("limit {} of Clip is computed", i);
      text = fmt::format("{}({}, {})", i == 1 ? "max_or_nan" : "min_or_nan", text, literal(*limit));
    }
    return text;
  }
  return refuse("no code for {}", op);
}

Result<Pieces> plan_expression(const KernelCall& call, int arity, std::string expression,
                               Numbers numbers) {
  const OperandDesc& out = call.outputs[0];
  Piece piece;
  piece.spec.dims = out.shape.dims();
  piece.spec.out = {out.dtype, own_strides(out), "", "", "0"};
  piece.spec.expression = std::move(expression);
  bool has_double = out.dtype == DType::kF64;
  bool has_float = is_float(out.dtype);
  for (int i = 0; i < arity; ++i) {
    const OperandDesc& in = input(call, static_cast<std::size_t>(i));
    if (in.is_absent) return refuse("operand {} is absent", i);
    if (in.shape.rank() > out.shape.rank()) return refuse("operand {} has a higher rank", i);
    piece.spec.in.push_back({in.dtype, aligned_strides(in, out.shape), "", "", "0"});
    piece.inputs.push_back(i);
    has_double = has_double || in.dtype == DType::kF64;
    has_float = has_float || is_float(in.dtype);
  }
  if (!has_float && numbers != Numbers::kAny)
    return refuse("{} of {}", call.node.op, to_string(out.dtype));
  if (has_double && (numbers == Numbers::kF32 || !call.node.post.empty()))
    return refuse("{} of f64", call.node.op);
  piece.spec.compute = has_double ? "double" : has_float ? "float" : "long long";
  std::vector<int> extra;
  if (const auto posts = append_post_ops(call, 0, piece.spec, extra); !posts)
    return Refusal{posts.reason()};
  piece.inputs.insert(piece.inputs.end(), extra.begin(), extra.end());
  piece.in_offsets.assign(piece.inputs.size(), 0);
  return Pieces{std::move(piece)};
}

Result<Pieces> plan_batch_norm(const KernelCall& call) {
  const OperandDesc& out = call.outputs[0];
  if (call.outputs.size() > 1 && !call.outputs[1].is_absent) return refuse("training outputs");
  Piece piece;
  piece.spec.dims = out.shape.dims();
  piece.spec.out = {out.dtype, own_strides(out), "", "", "0"};
  piece.spec.in.push_back({input(call, 0).dtype, own_strides(input(call, 0)), "", "", "0"});
  piece.inputs = {0};
  for (int i = 1; i <= 4; ++i) {
    std::vector<std::int64_t> strides(piece.spec.dims.size(), 0);
    strides[1] = 1;
    piece.spec.in.push_back({input(call, static_cast<std::size_t>(i)).dtype, strides, "", "", "0"});
    piece.inputs.push_back(i);
  }
  piece.spec.expression = fmt::format("(x0 - x3) * rsqrtf(x4 + {}) * x1 + x2",
                                      literal(call.node.attributes.get_float("epsilon", 1e-5F)));
  std::vector<int> extra;
  if (const auto posts = append_post_ops(call, 0, piece.spec, extra); !posts)
    return Refusal{posts.reason()};
  piece.inputs.insert(piece.inputs.end(), extra.begin(), extra.end());
  piece.in_offsets.assign(piece.inputs.size(), 0);
  return Pieces{std::move(piece)};
}

/// A layout that says nothing: all but one axis hold one element.
bool is_row_major(const OperandDesc& desc) {
  return desc.is_dense() &&
         (desc.layout == Layout::kRowMajor ||
          has_dense_strides(desc.shape, Layout::kRowMajor, dense_strides(desc.shape, desc.layout)));
}

Result<Pieces> plan_flat_copy(const KernelCall& call) {
  if (!is_row_major(input(call, 0)) || !is_row_major(call.outputs[0]))
    return refuse("{} needs dense row-major operands", call.node.op);
  Piece piece = make_copy(call, 0, 0);
  piece.spec.dims = {call.outputs[0].shape.num_elements()};
  piece.spec.out.strides = {1};
  piece.spec.in[0].strides = {1};
  return Pieces{std::move(piece)};
}

Result<Pieces> plan_transpose(const KernelCall& call) {
  Piece piece = make_copy(call, 0, 0);
  const int rank = input(call, 0).shape.rank();
  std::vector<std::int64_t> perm = call.node.attributes.get_ints("perm");
  if (perm.empty())
    for (int axis = rank; axis-- > 0;) perm.push_back(axis);
  const std::vector<std::int64_t> own = own_strides(input(call, 0));
  for (std::size_t axis = 0; axis < perm.size(); ++axis)
    piece.spec.in[0].strides[axis] = own[static_cast<std::size_t>(perm[axis])];
  return Pieces{std::move(piece)};
}

Result<Pieces> plan_expand(const KernelCall& call) {
  Piece piece = make_copy(call, 0, 0);
  piece.spec.in[0].strides = aligned_strides(input(call, 0), call.outputs[0].shape);
  return Pieces{std::move(piece)};
}

Result<Pieces> plan_concat(const KernelCall& call) {
  const OperandDesc& out = call.outputs[0];
  const int axis = normalize_axis(call.node.attributes.get_int("axis", 0), out.shape.rank());
  const std::int64_t stride = own_strides(out)[static_cast<std::size_t>(axis)];
  std::int64_t offset = 0;
  Pieces pieces;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    Piece piece = make_copy(call, static_cast<int>(i), 0);
    piece.spec.dims = input(call, i).shape.dims();
    piece.out_offset = static_cast<std::size_t>(offset * stride) * size_of(out.dtype);
    offset += input(call, i).shape[axis];
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

Result<Pieces> plan_split(const KernelCall& call) {
  const OperandDesc& in = input(call, 0);
  const int axis = normalize_axis(call.node.attributes.get_int("axis", 0), in.shape.rank());
  const std::int64_t stride = own_strides(in)[static_cast<std::size_t>(axis)];
  std::int64_t offset = 0;
  Pieces pieces;
  for (std::size_t i = 0; i < call.outputs.size(); ++i) {
    if (call.outputs[i].is_absent) return refuse("part {} is not used", i);
    Piece piece = make_copy(call, 0, static_cast<int>(i));
    piece.in_offsets[0] = static_cast<std::size_t>(offset * stride) * size_of(in.dtype);
    offset += call.outputs[i].shape[axis];
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

Result<Pieces> plan_slice(const KernelCall& call) {
  const OperandDesc& in = input(call, 0);
  const auto ints = [&](int i) -> std::optional<std::vector<std::int64_t>> {
    const Tensor* tensor = call.constant(i);
    if (tensor == nullptr) return std::nullopt;
    return ints_of(*tensor);
  };
  const bool has_axes = call.inputs.size() > 3 && !call.inputs[3].is_absent;
  const bool has_steps = call.inputs.size() > 4 && !call.inputs[4].is_absent;
  const auto starts = ints(1);
  if (!starts || (has_axes && !ints(3)) || (has_steps && !ints(4)))
    return refuse("the range of Slice is computed");
  Piece piece = make_copy(call, 0, 0);
  const std::vector<std::int64_t> own = own_strides(in);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < starts->size(); ++i) {
    const int axis =
        normalize_axis(has_axes ? (*ints(3))[i] : static_cast<std::int64_t>(i), in.shape.rank());
    const auto a = static_cast<std::size_t>(axis);
    const std::int64_t step = has_steps ? (*ints(4))[i] : 1;
    // An axis that the range leaves whole may be the batch, of which this call is a part.
    const std::int64_t size = in.shape[axis];
    std::int64_t start = (*starts)[i] < 0 ? (*starts)[i] + size : (*starts)[i];
    start = std::clamp<std::int64_t>(start, 0, step < 0 ? size - 1 : size);
    offset += start * own[a];
    // A step beyond the only element may be any number.
    piece.spec.in[0].strides[a] = call.outputs[0].shape[axis] > 1 ? own[a] * step : 0;
  }
  piece.in_offsets[0] = static_cast<std::size_t>(offset) * size_of(in.dtype);
  return Pieces{std::move(piece)};
}

/// y[a…, i…, b…] = data[a…, indices[i…], b…]; a negative index counts from the end.
Result<Pieces> plan_gather(const KernelCall& call) {
  const OperandDesc& data = input(call, 0);
  const OperandDesc& indices = input(call, 1);
  const OperandDesc& out = call.outputs[0];
  if (indices.dtype != DType::kI64 && indices.dtype != DType::kI32)
    return refuse("indices of {}", to_string(indices.dtype));
  const int axis = normalize_axis(call.node.attributes.get_int("axis", 0), data.shape.rank());
  const std::vector<std::int64_t> data_strides = own_strides(data);
  const std::vector<std::int64_t> index_strides = own_strides(indices);
  const int added = indices.shape.rank();
  std::string place = "0";
  std::string rest = "0";
  for (int i = 0; i < added; ++i)
    place += fmt::format(" + c{} * {}LL", axis + i, index_strides[static_cast<std::size_t>(i)]);
  for (int i = 0; i < data.shape.rank(); ++i) {
    if (i == axis) continue;
    const int at = i < axis ? i : i + added - 1;
    rest += fmt::format(" + c{} * {}LL", at, data_strides[static_cast<std::size_t>(i)]);
  }
  Piece piece;
  piece.spec.dims = out.shape.dims();
  piece.spec.out = {out.dtype, own_strides(out), "", "", "0"};
  if (piece.spec.dims.empty()) {
    piece.spec.dims = {1};
    piece.spec.out.strides = {1};
  }
  piece.spec.in.push_back({indices.dtype, {}, place, "", "0"});
  // The position comes from the other operand's array, wrapped into the table.
  const std::string row =
      fmt::format("((a0[{0}] % {1}LL + {1}LL) % {1}LL)", place, data.shape[axis]);
  piece.spec.in.push_back(
      {data.dtype,
       {},
       fmt::format("{} * {}LL + {}", row, data_strides[static_cast<std::size_t>(axis)], rest),
       "",
       "0"});
  piece.spec.expression = "x1";
  if (data.dtype == DType::kF64)
    piece.spec.compute = "double";
  else if (!is_float(data.dtype))
    piece.spec.compute = "long long";
  piece.inputs = {1, 0};
  piece.in_offsets = {0, 0};
  return Pieces{std::move(piece)};
}

Result<Pieces> plan(const KernelCall& call) {
  const std::string& op = call.node.op;
  for (const auto* operands : {&call.inputs, &call.outputs})
    for (const OperandDesc& desc : *operands)
      if (!desc.is_absent && channel_block(desc.layout) > 1) return refuse("blocked layout");
  if (call.outputs.empty() || call.outputs[0].is_absent) return refuse("no output");
  static const std::map<std::string, Result<Pieces> (*)(const KernelCall&), std::less<>> movers = {
      {"Reshape", plan_flat_copy},
      {"Flatten", plan_flat_copy},
      {"Squeeze", plan_flat_copy},
      {"Unsqueeze", plan_flat_copy},
      {"Transpose", plan_transpose},
      {"Expand", plan_expand},
      {"Gather", plan_gather},
      {"Concat", plan_concat},
      {"Split", plan_split},
      {"Slice", plan_slice},
      {"BatchNormalization", plan_batch_norm}};
  if (const auto found = movers.find(op); found != movers.end()) {
    if (!call.node.post.empty() && op != "BatchNormalization")
      return refuse("{} takes no post-ops", op);
    return found->second(call);
  }
  if (const auto found = expressions().find(op); found != expressions().end()) {
    if (op == "Dropout" && call.outputs.size() > 1 && !call.outputs[1].is_absent)
      return refuse("the mask of Dropout");
    const auto& [arity, code, numbers] = found->second;
    return plan_expression(call, arity, code, numbers);
  }
  if (op == "Max" || op == "Min" || op == "Sum") {
    std::string text = "x0";
    const int count = call.node.num_op_inputs;
    for (int i = 1; i < count; ++i)
      text = op == "Sum" ? fmt::format("{} + x{}", text, i)
                         : fmt::format("{}({}, x{})", op == "Max" ? "larger" : "smaller", text, i);
    if (count > 4) return refuse("{} of {} operands", op, count);
    return plan_expression(call, count, text, Numbers::kAny);
  }
  const Result<std::string> activation = activation_expression(call);
  if (!activation) return Refusal{activation.reason()};
  if (!is_float(call.outputs[0].dtype)) return refuse("{} of integers", op);
  return plan_expression(call, 1, *activation, Numbers::kF32);
}

class Elementwise final : public KernelImpl {
 public:
  explicit Elementwise(const Services& services) : services_(services) {}
  std::string_view name() const override { return "generated"; }
  Result<void> supports(const KernelCall& call) const override {
    const Result<Pieces> pieces = plan(call);
    if (!pieces) return Refusal{pieces.reason()};
    return {};
  }
  std::vector<std::string> variants(const KernelCall& /*call*/, int /*width*/) const override {
    return {std::string(kKey)};
  }
  std::optional<bool> knows(const std::string& key) const override { return key == kKey; }
  void prepare_ahead(const KernelCall& call,
                     const std::vector<std::string>& /*keys*/) const override {
    const Result<Pieces> pieces = plan(call);
    if (!pieces) return;  // prepare() will say why
    for (const Piece& piece : *pieces) PointwiseProgram::compile_ahead(services_, piece.spec);
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    if (key != kKey) fail(ErrorKind::kUnsupported, "'{}' is no variant here", key);
    const Result<Pieces> pieces = plan(call);
    if (!pieces) fail(ErrorKind::kUnsupported, "{}", pieces.reason());
    return std::make_unique<GeneratedKernel>(services_, *pieces);
  }

 private:
  Services services_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_elementwise(const Services& services) {
  return std::make_unique<Elementwise>(services);
}

}  // namespace gacer::cuda
