#include "backend/cuda/pointwise.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>

#include "backend/cuda/check.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 256;

constexpr const char* kPrelude = R"(
typedef unsigned short f16;
struct bf16 { unsigned short bits; };
struct half16 { unsigned short bits; };
template <typename T, int V> struct __align__(sizeof(T) * V) Pack { T at[V]; };
// NaN stays NaN.
__device__ float max_or_nan(float x, float low) { return x < low ? low : x; }
__device__ float min_or_nan(float x, float high) { return x > high ? high : x; }
template <typename C> __device__ C larger(C a, C b) { return a > b || a != a ? a : b; }
template <typename C> __device__ C smaller(C a, C b) { return a < b || a != a ? a : b; }
template <typename C, typename T> __device__ C load(T x) { return (C)x; }
template <> __device__ float load<float, half16>(half16 x) {
  float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y; }
template <> __device__ float load<float, bf16>(bf16 x) {
  return __int_as_float((unsigned)x.bits << 16); }
template <> __device__ double load<double, half16>(half16 x) { return load<float>(x); }
template <> __device__ double load<double, bf16>(bf16 x) { return load<float>(x); }
template <> __device__ long long load<long long, half16>(half16 x) { return (long long)load<float>(x); }
template <> __device__ long long load<long long, bf16>(bf16 x) { return (long long)load<float>(x); }
template <typename T> struct Store { template <typename C> static __device__ T of(C x) { return (T)x; } };
template <> struct Store<half16> { template <typename C> static __device__ half16 of(C x) {
  half16 y; float f = (float)x; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(f)); return y; } };
template <> struct Store<bf16> { template <typename C> static __device__ bf16 of(C x) {
  bf16 y; float f = (float)x; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(f)); return y; } };
template <> struct Store<bool> { template <typename C> static __device__ bool of(C x) { return x != 0; } };
)";

const char* c_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float";
    case DType::kF64:
      return "double";
    case DType::kF16:
      return "half16";
    case DType::kBF16:
      return "bf16";
    case DType::kI8:
      return "signed char";
    case DType::kI16:
      return "short";
    case DType::kI32:
      return "int";
    case DType::kI64:
      return "long long";
    case DType::kU8:
      return "unsigned char";
    case DType::kU16:
      return "unsigned short";
    case DType::kU32:
      return "unsigned";
    case DType::kU64:
      return "unsigned long long";
    case DType::kBool:
      return "bool";
  }
  fail(ErrorKind::kInternal, "bad dtype {}", static_cast<int>(dtype));
}

bool has_coordinates(const PointwiseSpec& spec) {
  return std::any_of(spec.in.begin(), spec.in.end(), [](const PointwiseSpec::Operand& operand) {
    return !operand.index.empty() || !operand.guard.empty();
  });
}

std::vector<PointwiseSpec::Operand*> operands(PointwiseSpec& spec) {
  std::vector<PointwiseSpec::Operand*> all = {&spec.out};
  for (PointwiseSpec::Operand& operand : spec.in) all.push_back(&operand);
  return all;
}

/// Axes in the order of the result's memory, neighbours merged where every operand allows it.
PointwiseSpec simplify(PointwiseSpec spec) {
  if (has_coordinates(spec)) return spec;
  std::vector<std::size_t> order(spec.dims.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t axis) { return spec.dims[axis] == 1; });
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return spec.out.strides[a] > spec.out.strides[b];
  });
  PointwiseSpec result = spec;
  const auto all = operands(spec);
  const auto made = operands(result);
  result.dims.clear();
  for (PointwiseSpec::Operand* operand : made) operand->strides.clear();
  for (const std::size_t axis : order) {
    bool merges = !result.dims.empty();
    for (std::size_t i = 0; i < all.size() && merges; ++i)
      merges = made[i]->strides.back() == all[i]->strides[axis] * spec.dims[axis];
    if (merges) {
      result.dims.back() *= spec.dims[axis];
      for (std::size_t i = 0; i < all.size(); ++i) made[i]->strides.back() = all[i]->strides[axis];
    } else {
      result.dims.push_back(spec.dims[axis]);
      for (std::size_t i = 0; i < all.size(); ++i)
        made[i]->strides.push_back(all[i]->strides[axis]);
    }
  }
  if (result.dims.empty()) {
    result.dims.push_back(1);
    for (PointwiseSpec::Operand* operand : made) operand->strides.push_back(1);
  }
  return result;
}

std::int64_t num_elements(const PointwiseSpec& spec) {
  return std::accumulate(spec.dims.begin(), spec.dims.end(), std::int64_t{1}, std::multiplies<>());
}

/// Neighbours that one thread may make with wide loads and stores; 1 when the layout forbids it.
int find_vector_width(PointwiseSpec& spec) {
  if (has_coordinates(spec)) return 1;
  std::size_t widest = 1;
  for (PointwiseSpec::Operand* operand : operands(spec))
    widest = std::max(widest, size_of(operand->dtype));
  int width = static_cast<int>(std::min<std::size_t>(8, 16 / widest));
  for (; width > 1; width /= 2) {
    bool fits = spec.dims.back() % width == 0 && spec.out.strides.back() == 1;
    for (PointwiseSpec::Operand* operand : operands(spec)) {
      const std::int64_t last = operand->strides.back();
      fits = fits && (last == 0 || last == 1);
      if (last != 1) continue;
      for (std::size_t axis = 0; axis + 1 < operand->strides.size(); ++axis)
        fits = fits && operand->strides[axis] % width == 0;
    }
    if (fits) return width;
  }
  return 1;
}

bool has_negative_strides(const PointwiseSpec& spec) {
  return std::any_of(spec.in.begin(), spec.in.end(), [](const PointwiseSpec::Operand& operand) {
    return std::any_of(operand.strides.begin(), operand.strides.end(),
                       [](std::int64_t stride) { return stride < 0; });
  });
}

/// Whether every element that an operand's strides reach has a number of 32 bits.
bool has_short_offsets(const PointwiseSpec& spec) {
  const auto is_short = [&](const PointwiseSpec::Operand& operand) {
    std::int64_t furthest = 0;
    for (std::size_t axis = 0; axis < operand.strides.size(); ++axis)
      furthest += (spec.dims[axis] - 1) * std::abs(operand.strides[axis]);
    return furthest < (std::int64_t{1} << 31);
  };
  return is_short(spec.out) && std::all_of(spec.in.begin(), spec.in.end(), is_short);
}

std::string offset_code(const std::vector<std::int64_t>& strides) {
  std::string code;
  for (std::size_t axis = 0; axis < strides.size(); ++axis)
    if (strides[axis] != 0)
      code += fmt::format("{}c{} * (Index){}", code.empty() ? "" : " + ", axis, strides[axis]);
  return code.empty() ? "0" : code;
}

std::string load_code(const PointwiseSpec& spec, std::size_t i, int vector) {
  const PointwiseSpec::Operand& operand = spec.in[i];
  const std::string type = c_type(operand.dtype);
  const std::string index = operand.index.empty() ? offset_code(operand.strides) : operand.index;
  if (vector > 1 && operand.strides.back() == 1)
    return fmt::format("    const Pack<{0}, {1}> p{2} = *(const Pack<{0}, {1}>*)(a{2} + ({3}));\n",
                       type, vector, i, index);
  if (operand.guard.empty())
    return fmt::format("    const C s{0} = load<C>(a{0}[{1}]);\n", i, index);
  return fmt::format("    const C s{0} = ({1}) ? load<C>(a{0}[{2}]) : (C)({3});\n", i,
                     operand.guard, index, operand.fill);
}

std::string make_source(const PointwiseSpec& spec, int vector, std::int64_t threads) {
  const std::int64_t total = threads * vector;
  // Counts that fit are divided faster; strides against the order of memory need a sign.
  const bool is_short = total < (std::int64_t{1} << 31) && has_short_offsets(spec);
  const char* index = is_short ? "unsigned" : "unsigned long long";
  if (has_negative_strides(spec)) index = "long long";
  std::string source = kPrelude;
  source += fmt::format("typedef {} Index;\ntypedef {} C;\n", index, spec.compute);
  source += fmt::format("extern \"C\" __global__ void __launch_bounds__({}) pointwise({}* y",
                        kThreads, c_type(spec.out.dtype));
  // An input may be the output itself (in place), so nothing is declared restrict.
  for (std::size_t i = 0; i < spec.in.size(); ++i)
    source += fmt::format(", const {}* a{}", c_type(spec.in[i].dtype), i);
  source += fmt::format(
      ") {{\n  for (Index i = (Index)blockIdx.x * {} + threadIdx.x; i < (Index){}; "
      "i += (Index)gridDim.x * {}) {{\n    Index rest = i;\n",
      kThreads, threads, kThreads);
  for (std::size_t axis = spec.dims.size(); axis-- > 0;) {
    const bool is_last = axis + 1 == spec.dims.size();
    const std::int64_t size = is_last ? spec.dims[axis] / vector : spec.dims[axis];
    const std::string value =
        axis == 0 ? std::string("rest") : fmt::format("rest % (Index){}", size);
    source += fmt::format("    const Index c{} = ({}){};\n", axis, value,
                          is_last && vector > 1 ? fmt::format(" * {}", vector) : "");
    if (axis > 0) source += fmt::format("    rest /= (Index){};\n", size);
  }
  for (std::size_t i = 0; i < spec.in.size(); ++i) source += load_code(spec, i, vector);
  const std::string out_type = c_type(spec.out.dtype);
  source +=
      fmt::format("    Pack<{0}, {1}> r;\n#pragma unroll\n    for (int v = 0; v < {1}; ++v) {{\n",
                  out_type, vector);
  for (std::size_t i = 0; i < spec.in.size(); ++i) {
    const bool is_pack = vector > 1 && spec.in[i].strides.back() == 1;
    source += is_pack ? fmt::format("      const C x{0} = load<C>(p{0}.at[v]);\n", i)
                      : fmt::format("      const C x{0} = s{0};\n", i);
  }
  source += fmt::format("      r.at[v] = Store<{}>::of({});\n    }}\n", out_type, spec.expression);
  source += fmt::format("    *(Pack<{0}, {1}>*)(y + ({2})) = r;\n  }}\n}}\n", out_type, vector,
                        offset_code(spec.out.strides));
  return source;
}

}  // namespace

std::string literal(float value) {
  return fmt::format("__int_as_float(0x{:08x})", std::bit_cast<std::uint32_t>(value));
}

std::string activation_code(Activation activation, float alpha, float beta, const std::string& x) {
  const std::string a = literal(alpha);
  const std::string b = literal(beta);
  switch (activation) {
    case Activation::kIdentity:
      return x;
    case Activation::kRelu:
      return fmt::format("({0} < 0 ? 0 : {0})", x);
    case Activation::kLeakyRelu:
      return fmt::format("({0} < 0 ? {1} * {0} : {0})", x, a);
    case Activation::kClip:
      return fmt::format("({0} < {1} ? {1} : {0} > {2} ? {2} : {0})", x, a, b);
    case Activation::kSigmoid:
      return fmt::format("(1.0f / (1.0f + __expf(-{})))", x);
    case Activation::kHardSigmoid:
      return fmt::format("max_or_nan(min_or_nan({} * {} + {}, 1.0f), 0.0f)", a, x, b);
    case Activation::kHardSwish:
      return fmt::format("({0} * fmaxf(0.0f, fminf(1.0f, {0} * (1.0f / 6.0f) + 0.5f)))", x);
    case Activation::kSilu:
      return fmt::format("({0} / (1.0f + __expf(-{0})))", x);
    case Activation::kGelu:
      return fmt::format("(0.5f * {0} * (1.0f + erff({0} * 0.70710678118654752f)))", x);
    case Activation::kGeluTanh:
      return fmt::format(
          "(0.5f * {0} * (1.0f + tanhf(0.79788456080286536f * ({0} + 0.044715f * {0} * {0} * "
          "{0}))))",
          x);
    case Activation::kTanh:
      return fmt::format("tanhf({})", x);
    case Activation::kElu:
      return fmt::format("({0} < 0 ? {1} * expm1f({0}) : {0})", x, a);
  }
  fail(ErrorKind::kInternal, "bad activation {}", static_cast<int>(activation));
}

std::vector<std::int64_t> own_strides(const OperandDesc& desc) {
  return desc.is_dense() ? dense_strides(desc.shape, desc.layout) : desc.strides;
}

std::vector<std::int64_t> aligned_strides(const OperandDesc& desc, const Shape& out) {
  const std::vector<std::int64_t> own = own_strides(desc);
  std::vector<std::int64_t> strides(static_cast<std::size_t>(out.rank()), 0);
  const int shift = out.rank() - desc.shape.rank();
  for (int axis = 0; axis < desc.shape.rank(); ++axis)
    if (desc.shape[axis] > 1)
      strides[static_cast<std::size_t>(axis + shift)] = own[static_cast<std::size_t>(axis)];
  return strides;
}

Result<void> append_post_ops(const KernelCall& call, std::size_t first, PointwiseSpec& spec,
                             std::vector<int>& post_inputs) {
  const OperandDesc& out = call.outputs[0];
  for (std::size_t i = first; i < call.node.post.size(); ++i) {
    const PostOp& post = call.node.post[i];
    if (post.kind == PostOp::Kind::kActivation) {
      // The value so far is evaluated once: the activation's code names it several times.
      const std::string code = activation_code(post.activation, post.alpha, post.beta, "t");
      spec.expression =
          fmt::format("[&](float t) -> float {{ return {}; }}((float)({}))", code, spec.expression);
      continue;
    }
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(post.input)];
    if (operand.shape.rank() > out.shape.rank())
      return refuse("the operand of post-op {} has rank {}", i, operand.shape.rank());
    spec.expression = fmt::format("(({}) {} x{})", spec.expression,
                                  post.kind == PostOp::Kind::kAdd ? "+" : "*", spec.in.size());
    spec.in.push_back({operand.dtype, aligned_strides(operand, out.shape), "", "", "0"});
    post_inputs.push_back(post.input);
  }
  return {};
}

PointwiseProgram::PointwiseProgram(const Services& services, const PointwiseSpec& given) {
  PointwiseSpec spec = simplify(given);
  scalar_ = make_form(services, spec, 1);
  vector_width_ = find_vector_width(spec);
  if (vector_width_ == 1) return;
  vector_ = make_form(services, spec, vector_width_);
  for (const PointwiseSpec::Operand* operand : operands(spec))
    alignments_.push_back(operand->strides.back() == 1
                              ? size_of(operand->dtype) * static_cast<std::size_t>(vector_width_)
                              : 1);
}

void PointwiseProgram::compile_ahead(const Services& services, const PointwiseSpec& given) {
  PointwiseSpec spec = simplify(given);
  const int widest = find_vector_width(spec);
  for (const int vector : {1, widest}) {
    const std::int64_t threads = num_elements(spec) / vector;
    if (threads > 0) services.compile_ahead(make_source(spec, vector, threads));
  }
}

PointwiseProgram::Form PointwiseProgram::make_form(const Services& services,
                                                   const PointwiseSpec& spec, int vector) {
  Form form;
  form.threads = num_elements(spec) / vector;
  if (form.threads == 0) return form;
  modules_.push_back(services.compile(make_source(spec, vector, form.threads)));
  form.kernel = modules_.back()->module->kernel("pointwise");
  return form;
}

void PointwiseProgram::record(CUstream stream, void* out, std::span<void* const> in) const {
  bool is_aligned = vector_width_ > 1;
  const auto check_alignment = [&](const void* pointer, std::size_t i) {
    is_aligned = is_aligned && reinterpret_cast<std::uintptr_t>(pointer) % alignments_[i] == 0;
  };
  if (is_aligned) check_alignment(out, 0);
  for (std::size_t i = 0; is_aligned && i < in.size(); ++i) check_alignment(in[i], i + 1);
  const Form& form = is_aligned ? vector_ : scalar_;
  if (form.threads == 0) return;
  std::vector<void*> pointers = {out};
  pointers.insert(pointers.end(), in.begin(), in.end());
  std::vector<void*> arguments;
  for (void*& pointer : pointers) arguments.push_back(&pointer);
  constexpr std::int64_t kMaxBlocks = 1 << 20;
  const std::int64_t blocks = std::min(kMaxBlocks, (form.threads + kThreads - 1) / kThreads);
  launch_kernel(stream, form.kernel, {static_cast<unsigned>(blocks)}, {kThreads}, 0,
                arguments.data());
}

}  // namespace gacer::cuda
