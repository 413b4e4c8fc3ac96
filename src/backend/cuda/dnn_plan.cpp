#include "backend/cuda/dnn_plan.h"

#include <array>
#include <charconv>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/ranges.h>

#include "backend/cuda/build_queue.h"
#include "backend/cuda/code_cache.h"
#include "backend/cuda/dnn_graph.h"

namespace gacer::cuda {
namespace {

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
  const cudnnStatus_t status = cudnnBackendFinalize(heuristics.get());
  if (is_refusal(status)) return {};
  check_dnn(status, "asking for engines");
  std::int64_t count = 0;
  const cudnnStatus_t counted =
      cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr);
  if (is_refusal(counted)) return {};
  check_dnn(counted, "counting engine configurations");
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

/// An engine with its knobs, on an operation graph: what a plan is built from.
struct Configuration {
  Configuration(cudnnHandle_t handle, const DnnConv& conv, const DnnEngine& choice)
      : graph(handle, conv),
        engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR),
        config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) {
    engine.set_descriptor(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.get());
    engine.set_one(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, choice.index);
    if (choice.sm_target > 0)
      engine.set_one(CUDNN_ATTR_ENGINE_SM_COUNT_TARGET, CUDNN_TYPE_INT32,
                     static_cast<std::int32_t>(choice.sm_target));
    engine.finalize("engine");
    std::vector<cudnnBackendDescriptor_t> raws;
    for (const auto& [type, value] : choice.knobs) {
      knobs.push_back(std::make_unique<Descriptor>(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
      Descriptor& knob = *knobs.back();
      knob.set_one(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
                   static_cast<cudnnBackendKnobType_t>(type));
      knob.set_one(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, value);
      knob.finalize("knob");
      raws.push_back(knob.get());
    }
    config.set_descriptor(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (!raws.empty())
      config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                 static_cast<std::int64_t>(raws.size()), raws.data());
    config.finalize("engine configuration");
  }

  OperationGraph graph;
  Descriptor engine;
  std::vector<std::unique_ptr<Descriptor>> knobs;
  Descriptor config;
};

class BuiltPlan final : public DnnPlan {
 public:
  /// Built with `builder`, which may be another thread's handle; executed with `handle`.
  BuiltPlan(std::shared_ptr<DnnHandle> handle, std::shared_ptr<DnnHandle> builder,
            const DnnConv& conv, const DnnEngine& choice)
      : BuiltPlan(std::move(handle), std::move(builder)) {
    configuration_ = std::make_unique<Configuration>(builder_->get(), conv, choice);
    plan_.set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration_->config);
    finalize();
  }
  /// From what text() of such a plan gave, with nothing left to compile.
  BuiltPlan(std::shared_ptr<DnnHandle> handle, std::shared_ptr<DnnHandle> builder,
            const std::string& text)
      : BuiltPlan(std::move(handle), std::move(builder)) {
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
              static_cast<std::int64_t>(text.size()), text.data());
    finalize();
  }

  /// The plan with its code, if cuDNN can write its engine down (those that are compiled at run
  /// time); else empty.
  std::string text() const {
    constexpr auto kName = CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;
    std::int64_t size = 0;
    if (cudnnBackendGetAttribute(plan_.get(), kName, CUDNN_TYPE_CHAR, 0, &size, nullptr) !=
            CUDNN_STATUS_SUCCESS ||
        size <= 0)
      return "";
    std::string result(static_cast<std::size_t>(size), '\0');
    if (cudnnBackendGetAttribute(plan_.get(), kName, CUDNN_TYPE_CHAR, size, &size, result.data()) !=
        CUDNN_STATUS_SUCCESS)
      return "";
    return result;
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
  BuiltPlan(std::shared_ptr<DnnHandle> handle, std::shared_ptr<DnnHandle> builder)
      : handle_(std::move(handle)),
        builder_(std::move(builder)),
        plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    plan_.set_one(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, builder_->get());
  }
  void finalize() {
    plan_.finalize("execution plan");
    workspace_bytes_ = static_cast<std::size_t>(
        plan_.get_one<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64));
  }

  std::shared_ptr<DnnHandle> handle_;
  std::shared_ptr<DnnHandle> builder_;
  std::unique_ptr<Configuration> configuration_;  ///< none for a plan from text
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

std::optional<DnnEngine> parse_dnn_engine(const std::string& text, int sm_target) {
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
  if (!read("eng", engine.index)) return std::nullopt;
  while (at != end) {
    std::int64_t type = 0;
    std::int64_t value = 0;
    if (!read(",k", type) || !read("=", value)) return std::nullopt;
    engine.knobs.emplace_back(type, value);
  }
  return engine;
}

namespace {

std::string plan_text(const DnnConv& conv, const DnnEngine& engine) {
  return fmt::format("sm{} {} {}", engine.sm_target, engine.text(), conv.text());
}

/// A plan from the cache on disk, or a new one, which goes there.
std::shared_ptr<const DnnPlan> build(const Context& context, std::shared_ptr<DnnHandle> handle,
                                     std::shared_ptr<DnnHandle> builder, const DnnConv& conv,
                                     const DnnEngine& engine) {
  static const CodeCache cache(CodeCache::default_folder());
  const std::string key =
      fmt::format("cuDNN {} on {}\n{}", Dnn::version(), context.name(), plan_text(conv, engine));
  if (const std::optional<std::string> text = cache.find(key)) {
    try {
      return std::make_shared<const BuiltPlan>(handle, builder, *text);
    } catch (const Error&) {
      // Written by another driver, say: it is built and written anew.
    }
  }
  auto plan = std::make_shared<const BuiltPlan>(handle, builder, conv, engine);
  if (const std::string text = plan->text(); !text.empty()) cache.store(key, text);
  return plan;
}

/// cuDNN takes a while to open: a thread of its own does it while models are read.
using FutureHandle = std::shared_future<std::shared_ptr<DnnHandle>>;

FutureHandle open_handle(const Context& context) {
  // Deferred where there is no thread for it.
  return std::async(std::launch::async | std::launch::deferred,
                    [&context] {
                      context.make_current();
                      return std::make_shared<DnnHandle>();
                    })
      .share();
}

/// The handle, or what went wrong, as an error of the caller's own.
std::shared_ptr<DnnHandle> get(const FutureHandle& handle) {
  try {
    return handle.get();
  } catch (const Error& error) {
    throw Error(error);
  }
}

/// Plans built ahead, by each thread with a handle of its own.
class Builders {
 public:
  Builders(const Context& context, WorkerPool& workers, FutureHandle handle)
      : context_(context), handle_(std::move(handle)), queue_(workers) {}

  void add(const DnnConv& conv, const DnnEngine& engine) {
    queue_.add(plan_text(conv, engine), [this, conv, engine] {
      context_.make_current();
      return build(context_, get(handle_), own_handle(), conv, engine);
    });
  }
  /// The plan if it was added here; nothing otherwise, or if a thread had no memory for it or for
  /// its handle.
  std::shared_ptr<const DnnPlan> take(const std::string& text) {
    try {
      return queue_.take(text).value_or(nullptr);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kUnsupported) throw;
      return nullptr;  // whoever asks builds it, and learns whether it fails there too
    }
  }

 private:
  std::shared_ptr<DnnHandle> own_handle() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<DnnHandle>& handle = handles_[std::this_thread::get_id()];
    if (!handle) handle = std::make_shared<DnnHandle>();
    return handle;
  }

  const Context& context_;
  FutureHandle handle_;
  std::mutex mutex_;
  std::map<std::thread::id, std::shared_ptr<DnnHandle>> handles_;
  BuildQueue<std::shared_ptr<const DnnPlan>> queue_;  ///< goes first: its work uses the rest
};

}  // namespace

struct Dnn::State {
  explicit State(const Services& services)
      : context(services.context()),
        handle(open_handle(context)),
        builders(context, services.workers(), handle) {}

  Context& context;
  FutureHandle handle;
  std::map<std::string, std::vector<DnnEngine>> engines;
  std::map<std::string, std::shared_ptr<const DnnPlan>> plans;
  Builders builders;
};

Dnn::Dnn(const Services& services) : state_(std::make_unique<State>(services)) {}
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
    const OperationGraph graph(get(state_->handle)->get(), conv);
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
  plan = state_->builders.take(plan_text(conv, engine));
  if (plan) return plan;
  state_->context.make_current();
  const std::shared_ptr<DnnHandle> handle = get(state_->handle);
  plan = build(state_->context, handle, handle, conv, engine);
  return plan;
}

void Dnn::build_ahead(const std::vector<std::pair<DnnConv, DnnEngine>>& wanted) {
  for (const auto& [conv, engine] : wanted) {
    const auto known = state_->plans.find(plan_text(conv, engine));
    if (known == state_->plans.end() || known->second == nullptr)
      state_->builders.add(conv, engine);
  }
}

}  // namespace gacer::cuda
