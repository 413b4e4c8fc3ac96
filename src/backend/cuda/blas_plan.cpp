#include "backend/cuda/blas_plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "backend/cuda/capture.h"
#include "backend/cuda/check.h"
#include "backend/cuda/owner.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/sm_target.h"
#include "base/dtype.h"

namespace gacer::cuda {
namespace {

constexpr std::uint64_t kMaxWorkspace = 32ULL << 20;
constexpr std::uint32_t kAlignment = 16;

void check_blas(cublasStatus_t status, const char* what, ErrorKind kind = ErrorKind::kDevice) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string text =
      fmt::format("cuBLASLt: {} failed: {}", what, cublasLtGetStatusName(status));
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    fail(ErrorKind::kOutOfMemory, "{}", describe_lack_of_memory(text));
  fail(kind, "{}", text);
}

cudaDataType_t blas_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return CUDA_R_32F;
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      fail(ErrorKind::kUnsupported, "cuBLASLt product of {}", to_string(dtype));
  }
}

class MatrixLayout {
 public:
  MatrixLayout(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t leading,
               std::int64_t batch, std::int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check_blas(cublasLtMatrixLayoutCreate(&made, blas_type(dtype), static_cast<std::uint64_t>(rows),
                                          static_cast<std::uint64_t>(columns), leading),
               "a matrix layout");
    layout_.reset(made);
    if (batch <= 1) return;
    const auto count = static_cast<std::int32_t>(batch);
    check_blas(cublasLtMatrixLayoutSetAttribute(get(), CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                sizeof count),
               "a batch count");
    check_blas(cublasLtMatrixLayoutSetAttribute(get(), CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                &stride, sizeof stride),
               "a batch stride");
  }
  cublasLtMatrixLayout_t get() const { return layout_.get(); }

 private:
  Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> layout_;
};

/// The product in cuBLASLt's column-major view: the transposed result, so b comes first.
class Problem {
 public:
  Problem(const BlasProduct& p, int sm_target)
      : first(p.dtype, p.trans_b ? p.k : p.n, p.trans_b ? p.n : p.k, p.ldb, p.batch, p.stride_b),
        second(p.dtype, p.trans_a ? p.m : p.k, p.trans_a ? p.k : p.m, p.lda, p.batch, p.stride_a),
        added(p.result, p.n, p.m, p.has_c ? p.ldc : p.ldy, p.batch,
              p.has_c ? p.stride_c : p.stride_y),
        result(p.result, p.n, p.m, p.ldy, p.batch, p.stride_y) {
    const cublasComputeType_t compute =
        p.dtype == DType::kF32 && p.allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasLtMatmulDesc_t made = nullptr;
    check_blas(cublasLtMatmulDescCreate(&made, compute, CUDA_R_32F), "a product");
    owner.reset(made);
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    using Act = BlasProduct::Act;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (p.act == Act::kRelu)
      epilogue = p.has_bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    else if (p.act == Act::kGeluTanh)
      epilogue = p.has_bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    else if (p.has_bias)
      epilogue = CUBLASLT_EPILOGUE_BIAS;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (p.has_bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, blas_type(p.result));
    if (sm_target > 0)
      set(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, static_cast<std::int32_t>(sm_target));
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t name, T value) {
    check_blas(cublasLtMatmulDescSetAttribute(operation(), name, &value, sizeof value),
               "a product's attribute", ErrorKind::kUnsupported);
  }

  cublasLtMatmulDesc_t operation() const { return owner.get(); }

  MatrixLayout first, second, added, result;
  Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> owner;
};

std::string to_hex(const cublasLtMatmulAlgo_t& algorithm) {
  std::string text;
  for (const std::uint64_t word : algorithm.data) text += fmt::format("{:016x}", word);
  return text;
}

std::optional<cublasLtMatmulAlgo_t> from_hex(std::string_view text) {
  cublasLtMatmulAlgo_t algorithm = {};
  if (text.size() != 16 * std::size(algorithm.data)) return std::nullopt;
  for (std::size_t i = 0; i < std::size(algorithm.data); ++i) {
    char* end = nullptr;
    const std::string word(text.substr(16 * i, 16));
    algorithm.data[i] = std::strtoull(word.c_str(), &end, 16);
    if (end != word.c_str() + 16) return std::nullopt;
  }
  return algorithm;
}

std::string family() { return fmt::format("cublaslt/{}/", cublasLtGetVersion()); }

}  // namespace

std::string BlasProduct::text() const {
  return fmt::format(
      "{}>{} {}x{}x{}*{} a{}{}:{} b{}{}:{} c{}:{} y{}:{} alpha{} c{} bias{} act{} tf{}",
      to_string(dtype), to_string(result), m, n, k, batch, lda, trans_a ? "T" : "", stride_a, ldb,
      trans_b ? "T" : "", stride_b, ldc, stride_c, ldy, stride_y, alpha, has_c, has_bias,
      static_cast<int>(act), allow_tf32);
}

Result<void> take_post_ops(const KernelCall& call,
                           std::optional<std::int64_t> (*pitch)(const OperandDesc&),
                           BlasCall& plan) {
  const OperandDesc& y = call.outputs[0];
  const auto& posts = call.node.post;
  std::size_t taken = 0;
  if (taken < posts.size() && posts[taken].kind == PostOp::Kind::kAdd && !plan.product.has_c) {
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(posts[taken].input)];
    const auto rows = pitch(operand);
    if (operand.shape == y.shape && operand.dtype == y.dtype && rows && plan.product.batch == 1) {
      plan.product.has_c = true;
      plan.product.ldc = *rows;
      plan.c = posts[taken].input;
      ++taken;
    }
  }
  if (taken < posts.size() && posts[taken].kind == PostOp::Kind::kActivation) {
    if (posts[taken].activation == Activation::kRelu) {
      plan.product.act = BlasProduct::Act::kRelu;
      ++taken;
    } else if (posts[taken].activation == Activation::kGeluTanh) {
      plan.product.act = BlasProduct::Act::kGeluTanh;
      ++taken;
    }
  }
  plan.posts_taken = taken;
  if (taken == posts.size()) return {};
  PointwiseSpec spec;
  spec.dims = y.shape.dims();
  spec.out = {y.dtype, own_strides(y), "", "", "0"};
  spec.in.push_back(spec.out);
  if (const auto rest = append_post_ops(call, taken, spec, plan.rest_inputs); !rest) return rest;
  plan.rest = std::move(spec);
  return {};
}

struct Blas::State {
  explicit State(const Services& given) : services(given) {
    services.context().make_current();
    check_blas(cublasLtCreate(&handle), "cublasLtCreate");
  }
  ~State() { cublasLtDestroy(handle); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Services services;
  cublasLtHandle_t handle = nullptr;
  std::map<std::string, std::vector<std::string>> keys;
};

namespace {

class BlasKernel final : public Kernel {
 public:
  BlasKernel(const Services& services, std::shared_ptr<const void> owner, cublasLtHandle_t handle,
             const KernelCall& call, const BlasCall& plan, int sm_target,
             const cublasLtMatmulAlgo_t& algorithm)
      : owner_(std::move(owner)),
        handle_(handle),
        plan_(plan),
        problem_(plan.product, sm_target),
        algorithm_(algorithm) {
    const DType dtype = plan.product.dtype;
    if (!plan.bias.empty()) {
      bias_ = services.upload(bytes_as(plan.product.result, plan.bias));
      problem_.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_->data());
    }
    cublasLtMatmulHeuristicResult_t fit = {};
    check_blas(cublasLtMatmulAlgoCheck(handle_, problem_.operation(), problem_.first.get(),
                                       problem_.second.get(), problem_.added.get(),
                                       problem_.result.get(), &algorithm_, &fit),
               "the algorithm's check", ErrorKind::kUnsupported);
    workspace_bytes_ = fit.workspaceSize;
    if (plan.packs_b) weight_ = services.upload_as(*call.constant(plan.b), dtype);
    if (plan.rest) rest_.emplace(services, *plan.rest);
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  bool reads_input(int input) const override {
    return input == plan_.a || (input == plan_.b && !plan_.packs_b) || input == plan_.c ||
           std::find(plan_.rest_inputs.begin(), plan_.rest_inputs.end(), input) !=
               plan_.rest_inputs.end();
  }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    const auto input = [&](int i) { return bindings.inputs[static_cast<std::size_t>(i)]; };
    const void* a = input(plan_.a);
    const void* b = plan_.packs_b ? weight_->data() : input(plan_.b);
    void* y = bindings.outputs[0];
    const void* c = plan_.product.has_c ? input(plan_.c) : y;
    for (const void* pointer : {a, b, c, static_cast<const void*>(y)})
      if (reinterpret_cast<std::uintptr_t>(pointer) % kAlignment != 0)
        fail(ErrorKind::kUnsupported, "an operand begins at an address that is no multiple of {}",
             kAlignment);
    const float alpha = plan_.product.alpha;
    const float beta = plan_.product.has_c ? 1.0F : 0.0F;
    check_blas(cublasLtMatmul(handle_, problem_.operation(), &alpha, b, problem_.first.get(), a,
                              problem_.second.get(), &beta, c, problem_.added.get(), y,
                              problem_.result.get(), &algorithm_, bindings.workspace,
                              workspace_bytes_, stream),
               "cublasLtMatmul");
    if (!rest_) return;
    std::vector<void*> in = {y};
    for (const int i : plan_.rest_inputs) in.push_back(input(i));
    rest_->record(stream, y, in);
  }

 private:
  std::shared_ptr<const void> owner_;  ///< of the handle
  cublasLtHandle_t handle_;
  BlasCall plan_;
  Problem problem_;
  cublasLtMatmulAlgo_t algorithm_;
  std::size_t workspace_bytes_ = 0;
  std::shared_ptr<CudaBuffer> bias_;
  std::shared_ptr<CudaBuffer> weight_;
  std::optional<PointwiseProgram> rest_;
};

}  // namespace

Blas::Blas(const Services& services) : state_(std::make_shared<State>(services)) {}
Blas::~Blas() = default;

std::vector<std::string> Blas::variants(const BlasProduct& product, int sm_target,
                                        std::size_t count) const {
  const std::string name = fmt::format("sm{} n{} {}", sm_target, count, product.text());
  if (const auto known = state_->keys.find(name); known != state_->keys.end()) return known->second;
  state_->services.context().make_current();
  const Problem problem(product, sm_target);
  cublasLtMatmulPreference_t made = nullptr;
  check_blas(cublasLtMatmulPreferenceCreate(&made), "a preference");
  const Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    return cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value);
  };
  cublasStatus_t status = set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMaxWorkspace);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    if (status == CUBLAS_STATUS_SUCCESS) status = set(attribute, kAlignment);
  std::vector<cublasLtMatmulHeuristicResult_t> results(count);
  int found = 0;
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulAlgoGetHeuristic(
        state_->handle, problem.operation(), problem.first.get(), problem.second.get(),
        problem.added.get(), problem.result.get(), preference.get(), static_cast<int>(count),
        results.data(), &found);
  // "Not supported" is an answer: there are no variants.
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)
    found = 0;
  else
    check_blas(status, "the heuristic");
  std::vector<std::string> keys;
  for (int i = 0; i < found; ++i)
    keys.push_back(family() + sm_target_text(sm_target) + "/" +
                   to_hex(results[static_cast<std::size_t>(i)].algo));
  return state_->keys[name] = keys;
}

bool Blas::knows(const std::string& key) { return key.starts_with(family()); }

std::unique_ptr<Kernel> Blas::prepare(const KernelCall& call, const BlasCall& plan,
                                      const std::string& key) const {
  const std::string prefix = family();
  const std::size_t slash = key.find('/', prefix.size());
  if (!key.starts_with(prefix) || slash == std::string::npos)
    fail(ErrorKind::kUnsupported, "'{}' is no variant of cuBLASLt {}", key, cublasLtGetVersion());
  const std::string target = key.substr(prefix.size(), slash - prefix.size());
  const auto algorithm = from_hex(std::string_view(key).substr(slash + 1));
  if (!algorithm) fail(ErrorKind::kUnsupported, "'{}' holds no algorithm", key);
  const std::optional<int> sm_target = parse_sm_target(target);
  if (!sm_target) fail(ErrorKind::kUnsupported, "'{}' names no number of SMs", key);
  state_->services.context().make_current();
  return std::make_unique<BlasKernel>(state_->services, state_, state_->handle, call, plan,
                                      *sm_target, *algorithm);
}

}  // namespace gacer::cuda
