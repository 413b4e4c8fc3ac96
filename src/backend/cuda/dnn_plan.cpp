#include "backend/cuda/dnn_plan.h"

#include <array>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/ranges.h>

#include "backend/cuda/check.h"

namespace gacer::cuda {
namespace {

void check_dnn(cudnnStatus_t status, const char* what, ErrorKind kind = ErrorKind::kDevice) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> detail = {};
  cudnnGetLastErrorString(detail.data(), detail.size());
  fail(kind, "cuDNN: {} failed: {} {}", what, cudnnGetErrorString(status), detail.data());
}

cudnnDataType_t dnn_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return CUDNN_DATA_FLOAT;
    case DType::kF16:
      return CUDNN_DATA_HALF;
    case DType::kBF16:
      return CUDNN_DATA_BFLOAT16;
    default:
      fail(ErrorKind::kUnsupported, "cuDNN convolution of {}", to_string(dtype));
  }
}

/// A backend descriptor that is destroyed with its owner.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check_dnn(cudnnBackendCreateDescriptor(type, &descriptor_), "creating a descriptor");
  }
  ~Descriptor() {
    if (descriptor_ != nullptr) cudnnBackendDestroyDescriptor(descriptor_);
  }
  Descriptor(Descriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
           const void* values) {
    check_dnn(cudnnBackendSetAttribute(descriptor_, name, type, count, values),
              "setting an attribute", ErrorKind::kUnsupported);
  }
  template <typename T>
  void set_one(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T value) {
    set(name, type, 1, &value);
  }
  void set_ints(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
    set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
  }
  void set_descriptor(cudnnBackendAttributeName_t name, const Descriptor& value) {
    set_one(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  /// Finalising is where cuDNN says that it does not support something.
  void finalize(const char* what) {
    check_dnn(cudnnBackendFinalize(descriptor_), what, ErrorKind::kUnsupported);
  }
  template <typename T>
  T get_one(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    T value = {};
    std::int64_t count = 0;
    check_dnn(cudnnBackendGetAttribute(descriptor_, name, type, 1, &count, &value),
              "reading an attribute");
    return value;
  }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

class DnnHandle {
 public:
  DnnHandle() { check_dnn(cudnnCreate(&handle_), "cudnnCreate"); }
  ~DnnHandle() { cudnnDestroy(handle_); }
  DnnHandle(const DnnHandle&) = delete;
  DnnHandle& operator=(const DnnHandle&) = delete;
  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// The operation graph of a DnnConv with everything it is made of.
class OperationGraph {
 public:
  OperationGraph(cudnnHandle_t handle, const DnnConv& conv)
      : conv_(conv), graph_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    const bool ends_here = !conv.has_bias && conv.pointwise.empty();
    Descriptor& x = add_tensor(kDnnX, conv.x, conv.x_strides);
    Descriptor& w = add_tensor(kDnnW, conv.w, conv.w_strides);
    Descriptor* value = &add_result(ends_here);
    add_convolution(x, w, *value);
    if (conv.has_bias) {
      std::vector<std::int64_t> dims(conv.y.size(), 1);
      dims[1] = conv.y[1];
      std::vector<std::int64_t> strides(conv.y.size(), 1);
      strides[0] = conv.y[1];
      if (conv.y_strides[1] != 1)
        for (std::size_t i = 2; i < strides.size(); ++i) strides[i] = 1;
      else
        for (std::size_t i = 2; i < strides.size(); ++i) strides[i] = conv.y[1];
      Descriptor& bias = add_tensor(kDnnBias, dims, strides);
      Descriptor& next = add_result(conv.pointwise.empty());
      DnnPointwise add;
      add.mode = CUDNN_POINTWISE_ADD;
      add_pointwise(add, *value, &bias, next);
      value = &next;
    }
    for (std::size_t i = 0; i < conv.pointwise.size(); ++i) {
      const DnnPointwise& op = conv.pointwise[i];
      Descriptor* operand =
          op.is_binary ? &add_tensor(op.operand, conv.y, op.operand_strides) : nullptr;
      if (op.is_hard_swish) {
        value = &add_hard_swish(*value, i + 1 == conv.pointwise.size());
        continue;
      }
      Descriptor& next = add_result(i + 1 == conv.pointwise.size());
      add_pointwise(op, *value, operand, next);
      value = &next;
    }
    std::vector<cudnnBackendDescriptor_t> ops;
    for (const auto& op : operations_) ops.push_back(op->get());
    graph_.set_one(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
    graph_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
               static_cast<std::int64_t>(ops.size()), ops.data());
    graph_.finalize("operation graph");
  }
  const Descriptor& get() const { return graph_; }

 private:
  Descriptor& keep(cudnnBackendDescriptorType_t type) {
    parts_.push_back(std::make_unique<Descriptor>(type));
    return *parts_.back();
  }
  Descriptor& add_tensor(std::int64_t id, const std::vector<std::int64_t>& dims,
                         const std::vector<std::int64_t>& strides, bool is_virtual = false) {
    constexpr std::int64_t kAlignment = 16;
    Descriptor& tensor = keep(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    tensor.set_one(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE,
                   is_virtual ? CUDNN_DATA_FLOAT : dnn_type(conv_.dtype));
    tensor.set_ints(CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
    tensor.set_ints(CUDNN_ATTR_TENSOR_STRIDES, strides);
    tensor.set_one(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
    tensor.set_one(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
    if (is_virtual) tensor.set_one(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true);
    tensor.finalize("tensor");
    return tensor;
  }
  Descriptor& add_result(bool is_last) {
    constexpr std::int64_t kFirstVirtual = 100;
    if (is_last) return add_tensor(kDnnY, conv_.y, conv_.y_strides);
    return add_tensor(kFirstVirtual + static_cast<std::int64_t>(parts_.size()), conv_.y,
                      conv_.y_strides, /*is_virtual=*/true);
  }
  void add_convolution(const Descriptor& x, const Descriptor& w, const Descriptor& y) {
    Descriptor& convolution = keep(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    convolution.set_one(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    convolution.set_one(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                        CUDNN_CROSS_CORRELATION);
    convolution.set_one(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64,
                        static_cast<std::int64_t>(conv_.strides.size()));
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, conv_.pads_begin);
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, conv_.pads_end);
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, conv_.strides);
    convolution.set_ints(CUDNN_ATTR_CONVOLUTION_DILATIONS, conv_.dilations);
    convolution.finalize("convolution");
    operations_.push_back(
        std::make_unique<Descriptor>(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR));
    Descriptor& op = *operations_.back();
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    op.set_descriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution);
    op.set_one(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0F);
    op.set_one(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0F);
    op.finalize("convolution operation");
  }
  /// x * clip(x, -3, 3) / 6 + x / 2, which needs no constants.
  Descriptor& add_hard_swish(const Descriptor& x, bool is_last) {
    DnnPointwise clip;
    clip.mode = CUDNN_POINTWISE_RELU_FWD;
    clip.lower_clip = -3;
    clip.upper_clip = 3;
    Descriptor& clipped = add_result(false);
    add_pointwise(clip, x, nullptr, clipped);
    DnnPointwise multiply;
    multiply.mode = CUDNN_POINTWISE_MUL;
    Descriptor& product = add_result(false);
    add_pointwise(multiply, x, &clipped, product);
    DnnPointwise add;
    add.mode = CUDNN_POINTWISE_ADD;
    Descriptor& sum = add_result(is_last);
    add_pointwise(add, product, &x, sum, 1.0F / 6, 0.5F);
    return sum;
  }
  void add_pointwise(const DnnPointwise& what, const Descriptor& x, const Descriptor* b,
                     const Descriptor& y, float alpha1 = 1, float alpha2 = 1) {
    Descriptor& pointwise = keep(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    pointwise.set_one(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, what.mode);
    pointwise.set_one(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    if (what.mode == CUDNN_POINTWISE_RELU_FWD) {
      if (what.lower_clip != 0)
        pointwise.set_one(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, what.lower_clip);
      if (what.upper_clip != 0)
        pointwise.set_one(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, what.upper_clip);
      if (what.slope != 0)
        pointwise.set_one(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE,
                          what.slope);
    }
    if (what.mode == CUDNN_POINTWISE_ELU_FWD)
      pointwise.set_one(CUDNN_ATTR_POINTWISE_ELU_ALPHA, CUDNN_TYPE_DOUBLE, what.slope);
    pointwise.finalize("pointwise");
    operations_.push_back(
        std::make_unique<Descriptor>(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    Descriptor& op = *operations_.back();
    op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
    op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != nullptr) op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    op.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    if (alpha1 != 1) op.set_one(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, alpha1);
    if (alpha2 != 1) op.set_one(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, alpha2);
    op.finalize("pointwise operation");
  }

  DnnConv conv_;
  std::vector<std::unique_ptr<Descriptor>> parts_;
  std::vector<std::unique_ptr<Descriptor>> operations_;
  Descriptor graph_;
};

/// The engine and knobs of a configuration, and whether its arithmetic is allowed.
struct Suggestion {
  DnnEngine engine;
  bool is_allowed = true;
};

Suggestion read_config(const Descriptor& config, bool is_exact) {
  Suggestion suggestion;
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.get();
  std::int64_t count = 0;
  check_dnn(cudnnBackendGetAttribute(config.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw),
            "reading an engine");
  suggestion.engine.index =
      engine.get_one<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64);
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes = {};
  check_dnn(cudnnBackendGetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                     CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), &count, notes.data()),
            "reading numerical notes");
  for (std::int64_t i = 0; i < count; ++i) {
    const auto note = notes[static_cast<std::size_t>(i)];
    if (is_exact && (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
                     note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
                     note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6))
      suggestion.is_allowed = false;
    if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) suggestion.is_allowed = false;
  }
  std::vector<std::unique_ptr<Descriptor>> choices;
  std::vector<cudnnBackendDescriptor_t> raws;
  for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; ++i) {
    choices.push_back(std::make_unique<Descriptor>(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
    raws.push_back(choices.back()->get());
  }
  check_dnn(cudnnBackendGetAttribute(config.get(), CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                     static_cast<std::int64_t>(raws.size()), &count, raws.data()),
            "reading knobs");
  for (std::int64_t i = 0; i < count; ++i) {
    const Descriptor& choice = *choices[static_cast<std::size_t>(i)];
    suggestion.engine.knobs.emplace_back(
        choice.get_one<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                               CUDNN_TYPE_KNOB_TYPE),
        choice.get_one<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64));
  }
  return suggestion;
}

std::vector<DnnEngine> ask_heuristics(const OperationGraph& graph, cudnnBackendHeurMode_t mode,
                                      int sm_target, bool is_exact) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set_descriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.get());
  heuristics.set_one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  if (sm_target > 0)
    heuristics.set_one(CUDNN_ATTR_ENGINEHEUR_SM_COUNT_TARGET, CUDNN_TYPE_INT32,
                       static_cast<std::int32_t>(sm_target));
  if (cudnnBackendFinalize(heuristics.get()) != CUDNN_STATUS_SUCCESS) return {};
  std::int64_t count = 0;
  if (cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count,
                               nullptr) != CUDNN_STATUS_SUCCESS ||
      count == 0)
    return {};
  std::vector<std::unique_ptr<Descriptor>> configs;
  std::vector<cudnnBackendDescriptor_t> raws;
  for (std::int64_t i = 0; i < count; ++i) {
    configs.push_back(std::make_unique<Descriptor>(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    raws.push_back(configs.back()->get());
  }
  check_dnn(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, raws.data()),
            "reading engine configurations");
  std::vector<DnnEngine> engines;
  for (std::int64_t i = 0; i < count; ++i) {
    Suggestion suggestion = read_config(*configs[static_cast<std::size_t>(i)], is_exact);
    suggestion.engine.sm_target = sm_target;
    if (suggestion.is_allowed) engines.push_back(std::move(suggestion.engine));
  }
  return engines;
}

class BuiltPlan final : public DnnPlan {
 public:
  /// Built with `builder`, which may be another thread's handle; executed with `handle`.
  BuiltPlan(std::shared_ptr<DnnHandle> handle, std::shared_ptr<DnnHandle> builder,
            const DnnConv& conv, const DnnEngine& choice)
      : handle_(std::move(handle)),
        builder_(std::move(builder)),
        graph_(builder_->get(), conv),
        engine_(CUDNN_BACKEND_ENGINE_DESCRIPTOR),
        config_(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),
        plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    engine_.set_descriptor(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph_.get());
    engine_.set_one(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, choice.index);
    if (choice.sm_target > 0)
      engine_.set_one(CUDNN_ATTR_ENGINE_SM_COUNT_TARGET, CUDNN_TYPE_INT32,
                      static_cast<std::int32_t>(choice.sm_target));
    engine_.finalize("engine");
    std::vector<cudnnBackendDescriptor_t> raws;
    for (const auto& [type, value] : choice.knobs) {
      knobs_.push_back(std::make_unique<Descriptor>(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
      Descriptor& knob = *knobs_.back();
      knob.set_one(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
                   static_cast<cudnnBackendKnobType_t>(type));
      knob.set_one(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, value);
      knob.finalize("knob");
      raws.push_back(knob.get());
    }
    config_.set_descriptor(CUDNN_ATTR_ENGINECFG_ENGINE, engine_);
    if (!raws.empty())
      config_.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  static_cast<std::int64_t>(raws.size()), raws.data());
    config_.finalize("engine configuration");
    plan_.set_one(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, builder_->get());
    plan_.set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config_);
    plan_.finalize("execution plan");
    workspace_bytes_ = static_cast<std::size_t>(
        plan_.get_one<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64));
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }

  void execute(CUstream stream, const std::vector<std::pair<std::int64_t, void*>>& tensors,
               void* workspace) const override {
    check_dnn(cudnnSetStream(handle_->get(), stream), "cudnnSetStream");
    std::vector<std::int64_t> ids;
    std::vector<void*> pointers;
    for (const auto& [id, pointer] : tensors) {
      ids.push_back(id);
      pointers.push_back(pointer);
    }
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
             static_cast<std::int64_t>(pointers.size()), pointers.data());
    pack.set_ints(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
    pack.set_one(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
    pack.finalize("variant pack");
    check_dnn(cudnnBackendExecute(handle_->get(), plan_.get(), pack.get()), "execution");
  }

 private:
  std::shared_ptr<DnnHandle> handle_;
  std::shared_ptr<DnnHandle> builder_;
  OperationGraph graph_;
  Descriptor engine_;
  std::vector<std::unique_ptr<Descriptor>> knobs_;
  Descriptor config_;
  Descriptor plan_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace

std::string DnnConv::text() const {
  std::string result = fmt::format("{} x{}/{} w{}/{} y{}/{} p{}{} s{} d{} bias{} tf32{}",
                                   to_string(dtype), x, x_strides, w, w_strides, y, y_strides,
                                   pads_begin, pads_end, strides, dilations, has_bias, allow_tf32);
  for (const DnnPointwise& op : pointwise)
    result += fmt::format(" +{}({},{},{},{}:{})", op.is_hard_swish ? -1 : static_cast<int>(op.mode),
                          op.lower_clip, op.upper_clip, op.slope, op.is_binary, op.operand_strides);
  return result;
}

std::string DnnEngine::text() const {
  std::string result = fmt::format("eng{}", index);
  for (const auto& [type, value] : knobs) result += fmt::format(",k{}={}", type, value);
  return result;
}

DnnEngine parse_dnn_engine(const std::string& text, int sm_target) {
  const auto bad = [&]() -> DnnEngine {
    fail(ErrorKind::kUnsupported, "'{}' names no cuDNN engine", text);
  };
  DnnEngine engine;
  engine.sm_target = sm_target;
  const char* at = text.data();
  const char* end = at + text.size();
  const auto read = [&](std::string_view prefix, std::int64_t& value) {
    if (!std::string_view(at, static_cast<std::size_t>(end - at)).starts_with(prefix)) return false;
    const auto [next, code] = std::from_chars(at + prefix.size(), end, value);
    at = next;
    return code == std::errc{};
  };
  if (!read("eng", engine.index)) return bad();
  while (at != end) {
    std::int64_t type = 0;
    std::int64_t value = 0;
    if (!read(",k", type) || !read("=", value)) return bad();
    engine.knobs.emplace_back(type, value);
  }
  return engine;
}

namespace {

std::string plan_text(const DnnConv& conv, const DnnEngine& engine) {
  return fmt::format("sm{} {} {}", engine.sm_target, engine.text(), conv.text());
}

/// Threads that build plans, each with a handle of its own.
class Builders {
 public:
  using Result = std::shared_ptr<const DnnPlan>;

  Builders(const Context& context, std::shared_ptr<DnnHandle> handle)
      : context_(context), handle_(std::move(handle)) {
    const unsigned cores = std::max(2U, std::thread::hardware_concurrency());
    for (unsigned i = 0; i < std::min(12U, cores - 1); ++i)
      threads_.emplace_back([this] { work(); });
  }
  ~Builders() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_stopping_ = true;
      tasks_.clear();
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Builders(const Builders&) = delete;
  Builders& operator=(const Builders&) = delete;

  void forget() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const Task& task : tasks_) pending_.erase(task.text);
    tasks_.clear();
  }
  void add(const DnnConv& conv, const DnnEngine& engine) {
    const std::string text = plan_text(conv, engine);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pending_.count(text) != 0) return;
    tasks_.push_back({text, conv, engine, std::make_shared<std::promise<Result>>()});
    pending_[text] = tasks_.back().promise->get_future().share();
    changed_.notify_one();
  }
  /// The plan if it was begun here, waiting for it; nothing otherwise.
  Result take(const std::string& text) {
    std::shared_future<Result> future;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = pending_.find(text);
      if (found == pending_.end()) return nullptr;
      future = found->second;
      pending_.erase(found);
    }
    return future.get();
  }

 private:
  struct Task {
    std::string text;
    DnnConv conv;
    DnnEngine engine;
    std::shared_ptr<std::promise<Result>> promise;
  };

  void work() {
    std::shared_ptr<DnnHandle> own;
    while (true) {
      Task task;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return is_stopping_ || !tasks_.empty(); });
        if (is_stopping_) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      // Whatever goes wrong is told to whoever asks for the plan.
      try {
        context_.make_current();
        if (!own) own = std::make_shared<DnnHandle>();
        task.promise->set_value(
            std::make_shared<const BuiltPlan>(handle_, own, task.conv, task.engine));
      } catch (...) {
        task.promise->set_exception(std::current_exception());
      }
    }
  }

  const Context& context_;
  std::shared_ptr<DnnHandle> handle_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopping_ = false;
  std::deque<Task> tasks_;
  std::map<std::string, std::shared_future<Result>> pending_;
  std::vector<std::thread> threads_;
};

}  // namespace

struct Dnn::State {
  Context& context;
  std::shared_ptr<DnnHandle> handle;
  std::map<std::string, std::vector<DnnEngine>> engines;
  std::map<std::string, std::shared_ptr<const DnnPlan>> plans;
  std::unique_ptr<Builders> builders;
};

Dnn::Dnn(const Services& services)
    : state_(std::make_unique<State>(State{services.context(), nullptr, {}, {}, nullptr})) {
  services.context().make_current();
  state_->handle = std::make_shared<DnnHandle>();
}
Dnn::~Dnn() = default;

std::string Dnn::version() {
  const std::size_t version = cudnnGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

const std::vector<DnnEngine>& Dnn::engines(const DnnConv& conv, int sm_target) {
  const std::string key = fmt::format("sm{} {}", sm_target, conv.text());
  if (const auto known = state_->engines.find(key); known != state_->engines.end())
    return known->second;
  state_->context.make_current();
  std::vector<DnnEngine> found;
  try {
    const OperationGraph graph(state_->handle->get(), conv);
    const bool is_exact = conv.dtype == DType::kF32 && !conv.allow_tf32;
    found = ask_heuristics(graph, CUDNN_HEUR_MODE_A, sm_target, is_exact);
    if (found.empty()) found = ask_heuristics(graph, CUDNN_HEUR_MODE_FALLBACK, sm_target, is_exact);
  } catch (const Error& error) {
    // A graph that cuDNN does not know has no engines; anything else is a failure.
    if (error.kind() != ErrorKind::kUnsupported) throw;
  }
  return state_->engines[key] = std::move(found);
}

std::shared_ptr<const DnnPlan> Dnn::plan(const DnnConv& conv, const DnnEngine& engine) {
  std::shared_ptr<const DnnPlan>& plan = state_->plans[plan_text(conv, engine)];
  if (plan) return plan;
  if (state_->builders) plan = state_->builders->take(plan_text(conv, engine));
  if (plan) return plan;
  state_->context.make_current();
  plan = std::make_shared<const BuiltPlan>(state_->handle, state_->handle, conv, engine);
  return plan;
}

void Dnn::build_ahead(const std::vector<std::pair<DnnConv, DnnEngine>>& wanted) {
  if (!state_->builders)
    state_->builders = std::make_unique<Builders>(state_->context, state_->handle);
  state_->builders->forget();
  for (const auto& [conv, engine] : wanted) {
    const auto known = state_->plans.find(plan_text(conv, engine));
    if (known == state_->plans.end() || known->second == nullptr)
      state_->builders->add(conv, engine);
  }
}

}  // namespace gacer::cuda
